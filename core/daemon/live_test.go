package daemon_test

import (
	"testing"
	"testing/synctest"

	"github.com/oidcbox/oidcbox/core/daemon"
)

type generation struct {
	daemon.Users
	ended bool
}

func (g *generation) End() {
	g.Wait()
	g.ended = true
}

// TestLive holds what a reload promises: a request ends under the configuration it began under.
func TestLive(t *testing.T) {
	t.Run("old generation ends after its last request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var live daemon.Live[*generation]
			first, second := &generation{}, &generation{}
			live.Swap(first)
			request := live.Acquire()
			live.Swap(second)
			synctest.Wait()
			if request != first || live.Current() != second {
				t.Fatal("the request is not answered by the generation it began under")
			}
			if first.ended {
				t.Fatal("ended under a request")
			}
			request.Release()
			synctest.Wait()
			if !first.ended {
				t.Fatal("not ended after its last request")
			}
			live.End()
			if !second.ended {
				t.Fatal("End has left the generation of now open")
			}
		})
	})
	t.Run("none", func(*testing.T) {
		var live daemon.Live[*generation]
		live.End()
	})
}
