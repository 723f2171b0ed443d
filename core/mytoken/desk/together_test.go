package desk_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// Whatever is done at once with a mytoken and with those made from it, at three processes: there are no more access
// tokens than the first one was allowed, and when nothing was ended exactly as many.
func TestTogether(t *testing.T) {
	for _, ends := range []bool{false, true} {
		const allowed = 40
		b := faked(t, &fake{}, setup{})
		g := &grove{b: b, desks: []*desk.Desk{b.Desk, b.another(), b.another()}, all: []*desk.Issued{b.login(limited(allowed))}}
		var wg sync.WaitGroup
		for n := range 16 {
			rng := rand.New(rand.NewPCG(uint64(n), 11))
			wg.Go(func() {
				for range 12 {
					g.act(rng, ends)
				}
			})
		}
		wg.Wait()
		for _, i := range g.all {
			for range allowed + 1 {
				g.access(b.Desk, i)
			}
		}
		if n := g.given.Load(); n > allowed || !ends && n != allowed || n == 0 {
			t.Errorf("%d access tokens, %d allowed, ended: %v", n, allowed, ends)
		}
	}
}

// grove is a mytoken with all that was made from it.
type grove struct {
	b     *bed
	desks []*desk.Desk
	given atomic.Int64

	mu  sync.Mutex
	all []*desk.Issued
}

// act does one thing with one of them.
func (g *grove) act(rng *rand.Rand, ends bool) {
	d := g.desks[rng.IntN(len(g.desks))]
	g.mu.Lock()
	i := g.all[rng.IntN(len(g.all))]
	first := i == g.all[0]
	g.mu.Unlock()
	switch n := rng.IntN(10); {
	case n < 4:
		g.access(d, i)
	case n < 9 || !ends || first:
		request := []byte(`{"restrictions":[{"usages_AT":` + string(rune('1'+rng.IntN(5))) + `}]}`)
		child, err := d.Sub(g.b.t.Context(), request, g.b.caller(i))
		if err != nil {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all = append(g.all, child)
	default:
		v, err := d.Enter(g.b.t.Context(), g.b.caller(i), desk.Need{Free: true})
		if err != nil {
			return
		}
		defer v.Cancel(g.b.t.Context())
		if _, err := v.Revoke(g.b.t.Context(), "", rng.IntN(2) == 0); err != nil {
			g.b.t.Error(err)
		}
	}
}

func (g *grove) access(d *desk.Desk, i *desk.Issued) {
	if _, err := d.Access(g.b.t.Context(), desk.AccessRequest{}, g.b.caller(i)); err == nil {
		g.given.Add(1)
	}
}
