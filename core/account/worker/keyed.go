package worker

import (
	"context"
	"sync"
)

// keyed is a lock for each of many keys: one identity's account is changed by one request at a time.
type keyed struct {
	mu   sync.Mutex
	held map[string]*slot
}

type slot struct {
	ch      chan struct{} // holds one value while nobody has the lock
	waiting int
}

// lock waits for the key until ctx is done. The caller calls unlock once.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*slot{}
	}
	s := k.held[key]
	if s == nil {
		s = &slot{ch: make(chan struct{}, 1)}
		s.ch <- struct{}{}
		k.held[key] = s
	}
	s.waiting++
	k.mu.Unlock()
	select {
	case <-s.ch:
		return func() { s.ch <- struct{}{}; k.leave(key, s) }, nil
	case <-ctx.Done():
		k.leave(key, s)
		return nil, ctx.Err()
	}
}

func (k *keyed) leave(key string, s *slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.waiting--; s.waiting == 0 {
		delete(k.held, key)
	}
}
