// Package memstore keeps records in memory, for tests, for the demonstration, and inside store/sealed for an agent
// that has no keystore.
//
// It is no cache and has no durability: what it holds is gone with the process. Every View sees the state at its
// beginning; an Update works on a copy of the tables it changes, so it is meant for thousands of records, not millions.
//
// Not a public API.
package memstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Engine implements store.Engine. Use New.
type Engine struct {
	now  func() time.Time
	turn chan struct{} // holds one token while an Update runs

	mu       sync.Mutex // guards what follows
	state    state
	released chan struct{} // closed and replaced whenever a lease is given back
	closed   chan struct{}
}

// state is never changed once it is published.
type state struct {
	tables map[string]table
	leases map[string]grant
}

// New returns an empty engine.
func New() *Engine { return NewAt(time.Now) }

// NewAt is New with a clock.
func NewAt(now func() time.Time) *Engine {
	return &Engine{
		now:      now,
		turn:     make(chan struct{}, 1),
		state:    state{tables: map[string]table{}, leases: map[string]grant{}},
		released: make(chan struct{}),
		closed:   make(chan struct{}),
	}
}

// View runs fn on the present state.
func (e *Engine) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := e.load()
	if err != nil {
		return err
	}
	t := &tx{state: s, now: e.now()}
	defer t.end()
	return fn(t)
}

// Tables returns the names of all tables that have a row, sorted.
func (e *Engine) Tables(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := e.load()
	if err != nil {
		return nil, err
	}
	var names []string
	for name, rows := range s.tables {
		if len(rows) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Update runs fn, one at a time.
func (e *Engine) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	return e.change(ctx, func(s *state) error {
		now := e.now()
		for _, l := range held {
			if !s.leases[l.Name()].held(l.Fence(), now) {
				return store.ErrFenced
			}
		}
		t := &tx{state: *s, now: now, own: map[string]bool{}}
		defer t.end()
		if err := fn(t); err != nil {
			return err
		}
		s.tables = t.state.tables
		return nil
	})
}

// change runs fn on a shallow copy of the state and publishes it when fn returns nil. fn must clone a map before it
// writes to it.
func (e *Engine) change(ctx context.Context, fn func(*state) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.turn <- struct{}{}:
	case <-e.closed:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.turn }()
	s, err := e.load()
	if err != nil {
		return err
	}
	if err := fn(&s); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = s
	return nil
}

func (e *Engine) load() (state, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return state{}, store.ErrClosed
	default:
		return e.state, nil
	}
}

// Close forgets everything. It waits for an Update that runs.
func (e *Engine) Close() error {
	e.mu.Lock()
	select {
	case <-e.closed:
		e.mu.Unlock()
		return store.ErrClosed
	default:
	}
	close(e.closed)
	e.mu.Unlock()

	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = state{}
	return nil
}

func (s *state) setLease(name string, g grant) {
	s.leases = maps.Clone(s.leases)
	s.leases[name] = g
}
