package proto

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkCall is one request with its connection: ns/op is the time of a lone client.
func BenchmarkCall(b *testing.B) {
	for _, plain := range []bool{true, false} {
		name := "encrypted"
		if plain {
			name = "plain"
		}
		b.Run(name, func(b *testing.B) {
			path := start(b, ServeOptions{}, fake)
			b.ReportAllocs()
			for b.Loop() {
				call(b, Client{Path: path, Plain: plain})
			}
		})
	}
}

func call(tb testing.TB, c Client) {
	r, err := c.Call(context.Background(), Request{Type: TypeAccessToken, Account: "acc"})
	if err != nil || r.Err() != nil {
		tb.Fatal(r.Err(), err)
	}
}

// TestSilentClientDelaysNobody asks as often as it has to be served while other clients have connected and say nothing or half a
// request. A machine that is busy with other things is slow without them, too; a second and third try tell the two
// apart, because a client that is in the way is so each time.
func TestSilentClientDelaysNobody(t *testing.T) {
	const limit = 50 * time.Millisecond
	path := start(t, ServeOptions{}, fake)
	for _, said := range []string{"", "x", `{"request":`} {
		c := dial(t, path)
		_, _ = c.Write([]byte(said))
	}
	var best time.Duration
	for range 3 {
		best = load(t, path)
		t.Logf("%d requests/s: p99.9 is %v", rate, best)
		if best < limit {
			return
		}
	}
	t.Errorf("p99.9 is %v three times, want less than %v", best, limit)
}

// load asks rate times a second for a second and returns the time that 99.9 % of the answers took at most.
func load(t *testing.T, path string) time.Duration {
	t.Helper()
	const n = rate
	took := make(chan time.Duration, n)
	tick := time.NewTicker(time.Second / n)
	defer tick.Stop()
	var wg sync.WaitGroup
	for range n {
		<-tick.C
		wg.Go(func() {
			begin := time.Now()
			r, err := (Client{Path: path}).Call(t.Context(), Request{Type: TypeAccessToken, Account: "acc"})
			if err != nil || r.Err() != nil {
				t.Error(r.Err(), err)
			}
			took <- time.Since(begin)
		})
	}
	wg.Wait()
	close(took)
	all := slices.Sorted(func(yield func(time.Duration) bool) {
		for d := range took {
			if !yield(d) {
				return
			}
		}
	})
	return all[max(n*999/1000-1, 0)]
}
