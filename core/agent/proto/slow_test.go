package proto

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestClientSaysThatItWaits: once, after the time, and not when the answer was quick.
func TestClientSaysThatItWaits(t *testing.T) {
	for name, c := range map[string]struct {
		limit time.Duration
		want  int
	}{
		"silent_past_the_time": {slowTime + time.Second, 1},
		"ended_before":         {slowTime - time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close() //nolint:errcheck // a pipe
				said := 0
				client := Client{
					Plain: true, Timeout: c.limit, Slow: func() { said++ },
					Dial: func(context.Context) (net.Conn, error) { return ours, nil },
				}
				if _, err := client.Call(t.Context(), Request{Type: TypeCheck}); err == nil {
					t.Error("a silent agent has answered")
				}
				synctest.Wait()
				if said != c.want {
					t.Errorf("said %d times, want %d", said, c.want)
				}
			})
		})
	}
}
