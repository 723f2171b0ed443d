//go:build unix

package token

import (
	"os"
	"os/signal"
	"syscall"
)

// renewSignal gives a channel on which SIGHUP asks for a new token at once.
func renewSignal() (renew <-chan struct{}, stop func()) {
	hup, out, done := make(chan os.Signal, 1), make(chan struct{}, 1), make(chan struct{})
	signal.Notify(hup, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hup:
				select {
				case out <- struct{}{}:
				default: // one is asked for already
				}
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(hup); close(done); <-ended }
}
