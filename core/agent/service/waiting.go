package service

import (
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Bounds of flows that wait for a person.
const (
	maxWaiting  = 32
	waitingLife = 10 * time.Minute
)

// waiter is a flow that a person has to finish somewhere else.
type waiter struct {
	key     string // the state, or the name of the device code
	setup   setup
	expires time.Time

	code   *flow.CodeLogin
	device flow.Device
	client *flow.Client
	// consent is a login at a mytoken server, which looks like a device flow to clients.
	consent *consent
	cancel  func() // ends its redirect listener; may be nil

	mu      sync.Mutex
	busy    bool // somebody is finishing it
	done    bool
	fetched bool
	out     outcome
	err     error
}

// outcome is what a finished flow has to give, sealed until somebody comes for it.
type outcome struct {
	config vault.Sealed
	access vault.Sealed // with only_at, instead of config
	issuer string
	expiry time.Time
}

// begin reports whether the caller is the one to finish the flow. A code is good for one exchange.
func (w *waiter) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy || w.done {
		return false
	}
	w.busy = true
	return true
}

// again gives the flow back unfinished: a device code is asked about many times.
func (w *waiter) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
}

func (w *waiter) finish(out outcome, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy, w.done, w.out, w.err = false, true, out, err
}

// taken is what a client finds when it asks for a finished flow.
type taken struct {
	out   outcome
	err   error
	done  bool
	first bool // nobody has asked before
}

// take gives the outcome to the first who asks.
func (w *waiter) take() taken {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		return taken{}
	}
	t := taken{out: w.out, err: w.err, done: true, first: !w.fetched}
	w.fetched, w.out = true, outcome{}
	return t
}

func (w *waiter) end() {
	if w.cancel != nil {
		w.cancel()
	}
}

// waiting holds the flows by key.
type waiting struct {
	now func() time.Time

	mu   sync.Mutex
	rows map[string]*waiter
}

func newWaiting(now func() time.Time) *waiting {
	return &waiting{now: now, rows: make(map[string]*waiter)}
}

// put adds a flow. When there are too many, finished ones and then the oldest make room: a person who begins again and
// again should not be kept out by what was given up.
func (q *waiting) put(w *waiter) {
	q.sweep()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.rows) >= maxWaiting {
		q.dropOldest()
	}
	q.rows[w.key] = w
}

func (q *waiting) dropOldest() {
	var oldest *waiter
	for _, w := range q.rows {
		if oldest == nil || w.expires.Before(oldest.expires) {
			oldest = w
		}
	}
	if oldest != nil {
		oldest.end()
		delete(q.rows, oldest.key)
	}
}

func (q *waiting) get(key string) (*waiter, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, ok := q.rows[key]
	if !ok || remaining(w.expires, q.now()) <= 0 {
		return nil, false
	}
	return w, true
}

func (q *waiting) remove(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w, ok := q.rows[key]; ok {
		w.end()
		delete(q.rows, key)
	}
}

func (q *waiting) sweep() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for key, w := range q.rows {
		if remaining(w.expires, now) <= 0 {
			w.end()
			delete(q.rows, key)
		}
	}
}

func (q *waiting) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.rows {
		w.end()
	}
	clear(q.rows)
}

func (q *waiting) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.rows)
}
