package custody

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// serialOf reads the number out of a token of op.
func serialOf(t secret.Text) (n int) {
	_, err := fmt.Sscanf(t.Expose()[3:], "%d", &n)
	if err != nil {
		panic(err)
	}
	return n
}

// mortalNode is a keeper in a process that dies at its n-th step.
func (b *bed) mortalNode(n int, after bool) (*Keeper, mortalOP) {
	p := &process{left: n, after: after}
	eng := b.eng
	b.eng = mortal{eng, p}
	k := b.node()
	b.eng = eng
	return k, mortalOP{b.op, p}
}

// A process dies at each step it takes, just before or just after it, while it refreshes three times. Another takes
// over. With a grace provider the login lives; with a strict one it does unless the answer was not saved, and then
// the person hears of it at the first attempt.
func TestCrashAtEachStep(t *testing.T) {
	for name, r := range map[string]rotation{"strict": strict, "grace": grace, "keeping": keeping} {
		t.Run(name, func(t *testing.T) {
			lost, runs := 0, 0
			for n, more := 1, true; more; n++ {
				for _, after := range []bool{false, true} {
					in(t, func(t *testing.T) {
						b := newBed(t, r)
						dead, l := crashAt(t, b, n, after)
						more = dead
						runs++
						lost += l
					})
				}
			}
			t.Logf("%d runs, %d forced new logins", runs, lost)
			if r != strict && lost != 0 {
				t.Errorf("%d logins lost", lost)
			}
			if r == strict && lost == 0 {
				t.Error("not one crash came between the provider's answer and its saving: the test does not test")
			}
		})
	}
}

func crashAt(t *testing.T, b *bed, n int, after bool) (died bool, lost int) {
	k, mop := b.mortalNode(n, after)
	acked := 0
	for range 3 {
		tokens, err := k.Refresh(t.Context(), id, mop, flow.Request{})
		if err != nil || mop.p.dead { // what a dead process returns reaches nobody
			break
		}
		acked = serialOf(tokens.Access)
	}
	rt, err := b.Token(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if have := serialOf(rt); have < acked {
		t.Errorf("step %d: an access token of generation %d was handed out, the store has %d", n, acked, have)
	}
	before, _, _ := b.op.seen()
	saved := rt.Expose() == b.op.newest
	err = b.refresh()
	calls, _, _ := b.op.seen()
	if calls-before != 1 {
		t.Errorf("step %d: %d calls to take over, want 1", n, calls-before)
	}
	switch {
	case err == nil:
		b.alive()
	case !errors.Is(err, ErrLoginAgain):
		t.Errorf("step %d: %v", n, err)
	case saved:
		t.Errorf("step %d: the newest token was saved and the login is lost all the same: %v", n, err)
	default:
		lost = 1
		if err := b.refresh(); !errors.Is(err, ErrLoginAgain) {
			t.Errorf("second attempt: %v", err)
		}
		if again, _, _ := b.op.seen(); again != calls {
			t.Error("the provider was asked again after it wanted a new login")
		}
	}
	return mop.p.dead, lost
}

// Random faults, callers, nodes and deaths. With a grace provider no login is ever lost.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(150) {
		in(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			b := newBed(t, grace)
			for range 4 {
				randomLife(t, b, rnd)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func randomLife(t *testing.T, b *bed, rnd *rand.Rand) {
	faults := []fault{lost, slowLost, before, err503, err500, err429, badScope, garbage, none, none, none, none}
	for range 6 {
		b.op.fail(faults[rnd.IntN(len(faults))])
	}
	b.op.mu.Lock()
	b.op.delay = time.Duration(rnd.IntN(50)) * time.Millisecond
	b.op.mu.Unlock()
	var wg sync.WaitGroup
	for range 1 + rnd.IntN(2) {
		k, mop := b.mortalNode(rnd.IntN(25), rnd.IntN(2) == 0)
		for i := range 4 {
			pause := time.Duration(rnd.IntN(60)) * time.Millisecond
			wg.Go(func() {
				time.Sleep(pause)
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond+pause*20)
				defer cancel()
				_, err := k.Refresh(ctx, id, mop, flow.Request{Scope: []string{fmt.Sprint(i)}})
				if errors.Is(err, ErrLoginAgain) {
					t.Errorf("lost: %v", err)
				}
			})
		}
	}
	wg.Wait()
	b.op.mu.Lock()
	b.op.faults, b.op.delay = nil, 0
	b.op.mu.Unlock()
	if err := b.refresh(); err != nil {
		t.Errorf("take over: %v", err)
		return
	}
	// Others may go on at once after the take over: the kept token and the provider's are compared when nobody moves.
	synctest.Wait()
	b.alive()
}
