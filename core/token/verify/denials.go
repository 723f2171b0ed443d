package verify

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// How long and how many refusals are remembered: for a client that tries the same token again and again, and not for
// one that makes up new ones.
const (
	denialLife = 5 * time.Second
	denialMax  = 1024
)

// denial is why a token is not genuine. issuer is nil when no key had to do with it.
type denial struct {
	err    error
	issuer *Issuer
	from   origin
	until  time.Time
}

// lasting reports whether the same token would be refused again as long as the keys are the same.
func (r *denial) lasting() bool {
	if r.issuer == nil {
		return !Temporary(r.err)
	}
	return r.from.usable() && (errors.Is(r.err, ErrNoKey) || errors.Is(r.err, jose.ErrSignature))
}

// denials remembers tokens that are not genuine, apart from the others, so that nobody can drive those out with bad
// ones. They lie in two maps; when one is full the older is thrown away. nil remembers nothing.
type denials struct {
	mu       sync.Mutex
	now, old map[[sha256.Size]byte]denial
}

func (r *denials) get(digest *[sha256.Size]byte, at time.Time) (denial, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.now[*digest]
	if !ok {
		known, ok = r.old[*digest]
	}
	// A clock that was set back makes nothing last longer.
	return known, ok && at.Before(known.until) && !at.Before(known.until.Add(-denialLife))
}

func (r *denials) add(digest *[sha256.Size]byte, one denial, at time.Time) {
	if r == nil || !one.lasting() {
		return
	}
	one.until = at.Add(denialLife)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || len(r.now) >= denialMax {
		r.now, r.old = map[[sha256.Size]byte]denial{}, r.now
	}
	r.now[*digest] = one
}

func (r *denials) count() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.now) + len(r.old)
}
