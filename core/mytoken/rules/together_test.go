package rules

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// guarded is a mytoken in a store that does one transaction at a time.
type guarded struct {
	mu sync.Mutex
	*fake
}

// reserve and settle are the two transactions of a use; between them the provider is called, outside of any.
func (g *guarded) reserve(cs []Candidate) (Candidate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, n, err := Pick(cs, func(k Key) (Counter, error) { return g.counters[CounterKey{k, Access}], nil })
	if err == nil {
		g.counters[CounterKey{c.Key, Access}] = n
	}
	return c, err
}

func (g *guarded) settle(c Candidate, step func(Counter) (Counter, error)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := step(g.counters[CounterKey{c.Key, Access}])
	g.counters[CounterKey{c.Key, Access}] = n
	return err
}

// use asks for one access token, up to three times where the provider cannot be reached, and counts those it got.
func (g *guarded) use(ctx context.Context) (int64, error) {
	u := Use{Kind: Access, Now: start, Client: netip.MustParseAddr("192.0.2.7"), Scopes: claims.Scopes{"a"}}
	for range 3 {
		cs, err := Candidates(ctx, g.rs, u, World{})
		if err != nil {
			return 0, err
		}
		c, err := g.reserve(cs)
		if errors.Is(err, ErrRestricted) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if rand.IntN(4) > 0 {
			return 1, g.settle(c, Counter.Commit)
		}
		if err := g.settle(c, Counter.GiveBack); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// TestManyAtOnce: however many come together, and through however many mytokens made from it, a limit is met to the last
// use. Some calls never reach the provider and are given back; somebody else has them then.
func TestManyAtOnce(t *testing.T) {
	for _, limit := range []int64{1, 3, 50} {
		line := []*guarded{{fake: newFake(mytoken.Restrictions{{UsagesAT: &limit}})}}
		if limit > 1 {
			for _, n := range []int64{1, limit / 3} {
				child, _, err := line[0].child(mytoken.Restrictions{{UsagesAT: &n}})
				if err != nil || child == nil {
					t.Fatal(err)
				}
				line = append(line, &guarded{fake: child})
			}
		}
		var (
			wg sync.WaitGroup
			ok atomic.Int64
		)
		for i := range 600 {
			wg.Go(func() {
				n, err := line[i%len(line)].use(t.Context())
				if err != nil {
					t.Error(err)
				}
				ok.Add(n)
			})
		}
		wg.Wait()
		// Those who gave back may have been the last: what is left is there to be had, and not more.
		for _, g := range line {
			for {
				if done, err := g.try(atom{kind: Access, scope: "openid", audience: "a", from: 3}); !done || err != nil {
					break
				}
				ok.Add(1)
			}
		}
		if ok.Load() != limit {
			t.Errorf("limit %d: %d access tokens", limit, ok.Load())
		}
	}
}

func BenchmarkUse(b *testing.B) {
	rs, err := Settle(mytoken.Restrictions{
		{Scope: "a b", Audience: []string{"x"}, Expires: mytoken.At(start.AddDate(1, 0, 0)), UsagesAT: new(int64)},
		{Scope: "storage.read:/vo compute", Hosts: []string{"10.0.0.0/8", "192.0.2.0/24"}, Audience: []string{"x", "y"}},
		{Scope: "c", Expires: mytoken.At(start.AddDate(1, 0, 0))},
	}, Setting{Now: start})
	if err != nil {
		b.Fatal(err)
	}
	u := Use{
		Kind: Access, Now: start, Client: netip.MustParseAddr("192.0.2.7"), Scopes: claims.Scopes{"storage.read:/vo/run7"},
		Audience: []string{"y"},
	}
	b.ReportAllocs()
	for b.Loop() {
		cs, err := Candidates(b.Context(), rs, u, World{})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := Pick(cs, func(Key) (Counter, error) { return Counter{}, nil }); err != nil {
			b.Fatal(err)
		}
	}
}
