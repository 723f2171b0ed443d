package service

import (
	"context"
	"sync"
)

// gate lets operations in while the agent is open, and lets the one that locks it wait until all have left. Wiping
// the keys under a running refresh would lose a rotated refresh token between the provider's answer and the disk.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside int
	empty  chan struct{} // not nil while somebody waits for inside to become 0
}

// enter counts an operation in, or fails with ErrLocked. A nil error obliges the caller to leave.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrLocked
	}
	g.inside++
	return nil
}

// reenter counts an operation in again that left to wait for a person: it goes on to its end and leaves as it would
// have. When the agent was locked meanwhile the error is ErrLocked, and it has to end without touching anything.
func (g *gate) reenter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
	if g.closed {
		return ErrLocked
	}
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close refuses newcomers at once and returns when the last operation has left. When ctx ends first the gate is open
// again and the context's error is returned. A closed gate gives ErrLocked.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrLocked
	}
	g.closed = true
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed, g.empty = false, nil
		return ctx.Err()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
