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

// besideSilent serves clients that have connected and say nothing, or half a request.
func besideSilent(tb testing.TB) (path string) {
	path = start(tb, ServeOptions{}, fake)
	for _, said := range []string{"", "x", `{"request":`} {
		c := dial(tb, path)
		_, _ = c.Write([]byte(said))
	}
	return path
}

// TestSilentClientDelaysNobody: a server that looked after one client at a time would wait for the silent ones until they
// are thrown out, which takes defaultPartial and longer.
func TestSilentClientDelaysNobody(t *testing.T) {
	path := besideSilent(t)
	begin := time.Now()
	for range 20 {
		call(t, Client{Path: path})
	}
	if took := time.Since(begin); took >= defaultPartial {
		t.Errorf("twenty requests took %v", took)
	}
}

// BenchmarkBesideSilent gives the times of answers, in ms, when the agent is asked a thousand times a second.
func BenchmarkBesideSilent(b *testing.B) {
	path := besideSilent(b)
	for b.Loop() {
		took := load(b, path)
		for _, q := range []struct {
			name string
			part int // in a thousand
		}{{"p50-ms", 500}, {"p99.9-ms", 999}} {
			b.ReportMetric(float64(took[len(took)*q.part/1000-1].Microseconds())/1000, q.name)
		}
	}
}

// rate is how many requests a second are made.
const rate = 1000

// load asks rate times a second for a second and returns what the answers took, shortest first.
func load(t testing.TB, path string) []time.Duration {
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
	return slices.Sorted(func(yield func(time.Duration) bool) {
		for d := range took {
			if !yield(d) {
				return
			}
		}
	})
}
