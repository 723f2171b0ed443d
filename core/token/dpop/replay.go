package dpop

import (
	"crypto/sha256"
	"sync"
	"time"
)

// replays remembers the proofs that were used. They lie in two windows, each as long as a proof can be good for: what
// was put into one before the last change of windows has ended when that one is thrown away, whole.
type replays struct {
	span          time.Duration
	limit, perKey int

	mu       sync.Mutex
	since    time.Time // begin of now
	now, old window
}

type window struct {
	proofs map[[16]byte]struct{}
	keys   map[string]int // how many are of each
}

func newWindow() window { return window{map[[16]byte]struct{}{}, map[string]int{}} }

func newReplays(o Options) *replays {
	return &replays{
		span: o.Age + o.Ahead + time.Second, limit: o.Remember, perKey: o.PerKey, now: newWindow(), old: newWindow(),
	}
}

// add remembers a proof of key, by its name. The error is ErrReplay when it is known, and ErrTooMany when there is no
// room.
func (r *replays) add(key, id string, at time.Time) error {
	name := shortName(key, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	_, used := r.now.proofs[name]
	if _, before := r.old.proofs[name]; used || before {
		return ErrReplay
	}
	if r.now.keys[key]+r.old.keys[key] >= r.share() {
		return ErrTooMany
	}
	r.now.proofs[name] = struct{}{}
	r.now.keys[key]++
	return nil
}

// share is how many proofs one key may have. It shrinks as the second half of the room fills, so that whoever has a few
// keys, which any client can make, leaves room for the others; 0 when there is none; r.mu is held.
func (r *replays) share() int {
	used := len(r.now.proofs) + len(r.old.proofs)
	switch free := r.limit - used; {
	case free <= 0:
		return 0
	case used < r.limit/2:
		return r.perKey
	default:
		return min(r.perKey, free/32+1)
	}
}

// shortName is half of a hash: nobody can find two proofs of one key with the same one, which would harm only
// themselves.
func shortName(key, id string) (name [16]byte) {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write([]byte{0})
	h.Write([]byte(id))
	var sum [sha256.Size]byte
	copy(name[:], h.Sum(sum[:0]))
	return name
}

// turn begins a new window when the span of the present one is over; r.mu is held.
func (r *replays) turn(at time.Time) {
	switch age := at.Sub(r.since); {
	case age < r.span:
		return
	case age < 2*r.span:
		r.old = r.now
	default:
		r.old = newWindow()
	}
	r.now, r.since = newWindow(), at
}

func (r *replays) count(at time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	return len(r.now.proofs) + len(r.old.proofs)
}
