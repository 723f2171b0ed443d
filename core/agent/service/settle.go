package service

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of the work on logins that were in the middle of a refresh when the agent ended.
const (
	settlingAtOnce = 4
	settlingTries  = 6
	settlingPause  = time.Second // doubles: a machine that has just started has no network yet
)

// settlePending refreshes in the background the saved logins whose last refresh was sent and not answered. A provider
// that rotates takes the old refresh token again for a short time only, so this cannot wait until somebody asks.
func (s *Service) settlePending(sh *shelf) {
	s.wg.Go(func() {
		ctx, done := s.untilStop()
		defer done()
		var g errgroup.Group
		g.SetLimit(settlingAtOnce)
		for _, l := range s.logins.list() {
			if s.isPending(ctx, sh, l) {
				g.Go(func() error { s.settleOne(ctx, sh, l); return nil })
			}
		}
		_ = g.Wait() // none returns an error
	})
}

func (s *Service) settleOne(ctx context.Context, sh *shelf, l loaded) {
	for pause := settlingPause; pause < settlingPause<<settlingTries; pause *= 2 {
		g, err := s.fetch(ctx, l, cacheKey{login: l.name}, nil)
		g.wipe()
		if err == nil {
			s.opts.Log.InfoContext(ctx, "an interrupted refresh has been completed", "login", l.name)
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		if !s.isPending(ctx, sh, l) {
			return
		}
	}
}

// isPending reports whether the keystore's login l is served and has a refresh whose outcome is not known.
func (s *Service) isPending(ctx context.Context, sh *shelf, l loaded) bool {
	now, ok := s.logins.get(l.name)
	if !ok || !now.stored {
		return false
	}
	st, err := sh.keeper.State(ctx, l.name)
	return err == nil && st.Pending != nil && !st.NeedsLogin
}

// untilStop returns a context that ends with the service. Call done when it is not needed any more.
func (s *Service) untilStop() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-watching }
}
