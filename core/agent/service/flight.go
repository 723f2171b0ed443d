package service

import (
	"context"
	"sync"
)

// flights runs at most one piece of work per key; who asks meanwhile gets the same result.
type flights[T any] struct {
	mu   sync.Mutex
	runs map[string]*flight[T]
	wg   sync.WaitGroup
}

type flight[T any] struct {
	done chan struct{}
	val  T
	err  error
}

// do returns the result of fn, started here or by somebody else. The work does not end with the caller: a client that
// hangs up must not stop a refresh half-way. fn gets a context without the caller's cancellation and sets its own
// deadline.
func (f *flights[T]) do(ctx context.Context, key string, fn func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	run, running := f.runs[key]
	if !running {
		run = &flight[T]{done: make(chan struct{})}
		if f.runs == nil {
			f.runs = make(map[string]*flight[T])
		}
		f.runs[key] = run
		f.wg.Go(func() { f.fly(context.WithoutCancel(ctx), key, run, fn) })
	}
	f.mu.Unlock()
	select {
	case <-run.done:
		return run.val, run.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

func (f *flights[T]) fly(ctx context.Context, key string, run *flight[T], fn func(context.Context) (T, error)) {
	defer close(run.done)
	defer func() {
		f.mu.Lock()
		delete(f.runs, key)
		f.mu.Unlock()
	}()
	run.val, run.err = fn(ctx)
}

// waitFor returns when the group has ended, or ctx. In the second case one goroutine stays until the group ends.
func waitFor(ctx context.Context, wg *sync.WaitGroup) error {
	idle := make(chan struct{})
	go func() { wg.Wait(); close(idle) }()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
