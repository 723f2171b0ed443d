package service

import (
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
)

// inDoubt reports whether the keystore has a refresh of a login whose outcome is not known.
func (w *world) inDoubt(name string) bool {
	w.t.Helper()
	sh, err := w.keystore()
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := sh.keeper.State(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Pending != nil
}

// TestInterruptedRefreshIsCompleted: the provider's answer was lost with the agent. The next agent asks again as soon as
// it can, while the provider still takes the old refresh token; nobody has to want a token for that, and a login that
// was not interrupted is left alone.
func TestInterruptedRefreshIsCompleted(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.Rotation = issuer.Grace })
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	w.save("quiet", map[string]any{"refresh_token": w.refreshToken()})
	w.op.Fault(issuer.Fault{Path: "/token", Drop: true})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	if rep := w.ask(force); rep.Error == "" || !w.inDoubt("a") {
		t.Fatalf("the answer was not lost: %q", rep.Error)
	}
	w.end(w.Service)
	w.op.ClearFaults()
	// At the first attempt the provider is not there yet.
	w.op.Fault(issuer.Fault{Path: "/token", Status: 503, Times: 1})
	w.restart(Switches{})
	before := w.refreshes()
	start := time.Now()
	w.unlockKeystore()
	if took := time.Since(start); took > settlingPause/2 {
		t.Errorf("unlocking waited %v for the provider", took)
	}
	for end := time.Now().Add(15 * time.Second); w.inDoubt("a"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the refresh was not completed")
		}
	}
	if n := w.refreshes() - before; n > 3 {
		t.Errorf("%d refreshes for one login", n)
	}
	w.clock.add(time.Minute) // the grace period is over
	w.must(force)
}

// TestEndWhileCompleting: an agent that is told to end does not wait for a provider that is away.
func TestEndWhileCompleting(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.Rotation = issuer.Grace })
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	w.op.Fault(issuer.Fault{Path: "/token", Drop: true})
	w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	w.end(w.Service)
	w.restart(Switches{})
	before := w.refreshes()
	w.unlockKeystore()
	for w.refreshes() == before {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	w.end(w.Service)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
}
