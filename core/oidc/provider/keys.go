package provider

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// KeysOptions are the settings of a key cache; zero values are the defaults.
type KeysOptions struct {
	Lifetimes Lifetimes // of issuers for which Trust says nothing else
	Dir       *Dir      // keeps the sets across restarts; nil: memory only
	Now       func() time.Time
	Log       *slog.Logger
}

// Keys is a cache of the key sets of issuers, for use by many goroutines. Ask it for trusted issuers only: unless Trust
// has named them, it keeps an entry for each issuer it was asked for. Close it to wait for fetches that run in the
// background.
//
// An answer from memory takes no lock. Everything else, the directory included, happens in one fetch at a time and
// issuer, which all who ask wait for.
type Keys struct {
	hc   Getter
	life Lifetimes
	dir  *Dir
	now  func() time.Time
	log  *slog.Logger

	generations atomic.Uint64
	done        chan struct{} // closed by Close
	moved       chan struct{} // tells Run that there may be something to do
	fetches     sync.WaitGroup

	entries sync.Map // issuer to *entry
	mu      sync.Mutex
	closed  bool
	limited bool // Trust was called: other issuers are refused
}

// NewKeys returns an empty cache that fetches with hc. Lifetimes that make no sense are replaced by the defaults: Check
// them where they come from.
func NewKeys(hc Getter, o KeysOptions) *Keys {
	k := &Keys{hc: hc, life: o.Lifetimes.orDefault(), dir: o.Dir, now: o.Now, log: o.Log}
	k.done, k.moved = make(chan struct{}), make(chan struct{}, 1)
	if k.now == nil {
		k.now = time.Now
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	return k
}

func (l Lifetimes) orDefault() Lifetimes {
	if l.Check() != nil {
		l = Lifetimes{}
	}
	return l.withDefaults()
}

// Close ends running fetches and waits for them. Candidates fails with ErrClosed afterwards unless it has its answer at
// hand.
func (k *Keys) Close() {
	k.mu.Lock() // so that no fetch starts after Wait began
	if !k.closed {
		k.closed = true
		close(k.done)
	}
	k.mu.Unlock()
	k.fetches.Wait()
}

// Candidates returns the keys of issuer that may have signed a token with header h: at most four, never none. It
// fetches when it has no keys, or has none with this kid and has not fetched for that reason within the last minute;
// otherwise it answers from memory. The error is ErrUnknownKey, ErrNotKept, an *UnavailableError, or that of ctx.
func (k *Keys) Candidates(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error) {
	e, err := k.entry(issuer)
	if err != nil {
		return nil, err
	}
	begin := k.now()
	set, err := k.current(ctx, e, begin)
	if err != nil {
		return nil, err
	}
	if list := set.Candidates(h); len(list) > 0 {
		return list, nil
	}
	if !h.HasKeyID || set.HasID(h.KeyID) {
		return nil, ErrUnknownKey
	}
	if now := e.held.Load(); now != nil && now.set == set && now.fetched.After(begin) {
		return nil, ErrUnknownKey // this very token has made us ask the issuer
	}
	if set, err = k.obtain(ctx, e, ask{why: force, kid: h.KeyID}); err != nil {
		return nil, err
	}
	if list := set.Candidates(h); len(list) > 0 {
		return list, nil
	}
	return nil, ErrUnknownKey
}

// Set returns the key set of issuer, from memory where possible. The error is ErrNotKept, an *UnavailableError or that
// of ctx.
func (k *Keys) Set(ctx context.Context, issuer string) (*jose.KeySet, error) {
	e, err := k.entry(issuer)
	if err != nil {
		return nil, err
	}
	return k.current(ctx, e, k.now())
}

func (k *Keys) current(ctx context.Context, e *entry, now time.Time) (*jose.KeySet, error) {
	if h := e.held.Load(); h.fresh(now) {
		return h.set, nil
	}
	return k.obtain(ctx, e, ask{why: need})
}

// entry returns what is known of issuer. The error is ErrNotKept.
func (k *Keys) entry(issuer string) (*entry, error) {
	if e, ok := k.entries.Load(issuer); ok {
		return e.(*entry), nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.limited {
		return nil, fmt.Errorf("keys of %s: %w", issuer, ErrNotKept)
	}
	e, _ := k.entries.LoadOrStore(issuer, &entry{issuer: issuer, life: k.life})
	return e.(*entry), nil
}

// held is a key set in use. It does not change: requests read it without a lock.
type held struct {
	set        *jose.KeySet
	fetched    time.Time
	maxAge     time.Duration
	refreshAt  time.Time // fetch again from then on
	lookAt     time.Time // refreshAt, or later when an attempt has failed
	expires    time.Time // not to be used from then on
	generation uint64
	fromDisk   bool
}

func (h *held) usable(now time.Time) bool { return h != nil && now.Before(h.expires) }

func (h *held) fresh(now time.Time) bool { return h.usable(now) && now.Before(h.lookAt) }

// within sets the times by lifetimes.
func (h *held) within(l Lifetimes) {
	h.refreshAt, h.expires = h.fetched.Add(l.refresh(h.maxAge)), h.fetched.Add(l.Expiry)
	h.lookAt = h.refreshAt
}

// entry is what is known of one issuer.
type entry struct {
	issuer  string
	held    atomic.Pointer[held] // written with mu held
	waiting atomic.Int32         // for a fetch

	mu       sync.Mutex
	life     Lifetimes
	forced   time.Time // last fetch for an unknown kid
	retryAt  time.Time // no fetch before, after a failure
	failures int       // since the last success
	err      error     // of the last attempt, nil after a success
	errAt    time.Time
	flight   *flight
}

// unavailable is the error for those who ask in vain; e.mu is held.
func (e *entry) unavailable(now time.Time) error {
	return &UnavailableError{Issuer: e.issuer, RetryAfter: max(e.retryAt.Sub(now), time.Second), Err: e.err}
}
