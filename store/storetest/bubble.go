package storetest

import (
	"testing"
	"testing/synctest"
	"time"
)

// Clock is the time of an engine that does not judge by time.Now. Facts that need time to pass then run outside a
// testing/synctest bubble, and say so to the engine's clock.
type Clock struct {
	// Now is the engine's present.
	Now func() time.Time
	// Sleep returns when d has passed for the engine, and when what the engine does at that time had its chance.
	Sleep func(d time.Duration)
	// Slack is how much later than at its time something may happen.
	Slack time.Duration
}

// bubbleSlack is for engines that look at the time again and again.
const bubbleSlack = time.Second

func bubbleClock(*testing.T) Clock {
	return Clock{Now: time.Now, Sleep: time.Sleep, Slack: bubbleSlack}
}

func (f fact) run(t *testing.T, s suite) {
	if s.clock != nil {
		f.test(start(t, s.open, s.clock, true))
		return
	}
	if !f.bubble {
		f.test(start(t, s.open, bubbleClock, false))
		return
	}
	synctest.Test(t, func(t *testing.T) { f.test(start(t, s.open, bubbleClock, false)) })
}

// passing runs fn while time goes on. In a bubble it does so by itself.
func (h harness) passing(fn func()) {
	if !h.handed {
		fn()
		return
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
				h.clock.Sleep(h.clock.Slack / 16)
			}
		}
	}()
	defer func() { close(done); <-stopped }()
	fn()
}
