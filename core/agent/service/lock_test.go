package service

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

func (w *world) lockWith(password string) proto.Reply {
	return w.ask(proto.Request{Type: proto.TypeLock, Password: secret.FromString(password)})
}

func (w *world) unlockWith(password string) proto.Reply {
	return w.ask(proto.Request{Type: proto.TypeUnlock, Password: secret.FromString(password)})
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	// The original cannot unlock again with a public client, or without a cached token.
	w.must(proto.Request{Type: proto.TypeAdd, PlainAdd: true, Config: w.account("public", map[string]any{
		"client_id": "native", "client_secret": "", "refresh_token": "not-tried",
	})})
	if rep := w.lockWith("swordfish"); rep.Error != "" || rep.Info.Text() != "Agent locked" {
		t.Fatalf("lock: %q %q", rep.Error, rep.Info.Text())
	}
	w.must(proto.Request{Type: proto.TypeCheck})
	for _, kind := range []string{
		proto.TypeAccessToken, proto.TypeLoadedAccounts, proto.TypeAccountInfo, proto.TypeAdd, proto.TypeGen,
		proto.TypeStatus, proto.TypeRemoveAll, proto.TypeFileRead, proto.TypeLock,
	} {
		w.refused(proto.Request{Type: kind, Account: "a", Password: secret.FromString("x")}, proto.TextLocked)
	}
	if _, _, err := w.memory().config(t.Context(), "a"); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("reading a login behind the lock: %v, want vault.ErrLocked", err)
	}
	if w.tokens.len() != 0 {
		t.Error("access tokens are still cached")
	}
	if rep := w.unlockWith("wrong"); rep.Error != proto.TextWrongPassword {
		t.Errorf("wrong password: %q", rep.Error)
	}
	if rep := w.unlockWith("swordfish"); rep.Error != "" || rep.Info.Text() != "Agent unlocked" {
		t.Fatalf("unlock: %q %q", rep.Error, rep.Info.Text())
	}
	w.token("a")
	if _, _, err := w.memory().config(t.Context(), "public"); err != nil {
		t.Error(err)
	}
}

// TestLockWaitsForRefresh: keys wiped under a running refresh would lose the new refresh token.
func TestLockWaitsForRefresh(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	w.op.Fault(issuer.Fault{Path: "/token", Delay: 300 * time.Millisecond})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	var wg sync.WaitGroup
	wg.Go(func() { w.must(force) })
	time.Sleep(50 * time.Millisecond) // the refresh has begun; were it not, the test would still be right
	if rep := w.lockWith("swordfish"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	wg.Wait()
	w.op.ClearFaults()
	if rep := w.unlockWith("swordfish"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	w.must(force)
}

// TestGuessing: each failure makes the next attempt wait longer; others are not delayed.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		for n, want := range []time.Duration{0, 100, 400, 900, 1600} {
			start := time.Now()
			if err := a.pause(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want*time.Millisecond {
				t.Errorf("pause after %d failures: %v, want %v", n, got, want*time.Millisecond)
			}
			a.add()
		}
		for range 100 {
			a.add()
		}
		start := time.Now()
		_ = a.pause(context.Background())
		if got := time.Since(start); got != 62500*time.Millisecond {
			t.Errorf("longest pause %v", got)
		}
		a.clear()
		start = time.Now()
		_ = a.pause(context.Background())
		if time.Since(start) != 0 {
			t.Error("a right password does not end the pauses")
		}
	})
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		if err := g.enter(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.close(ctx); !errors.Is(err, context.DeadlineExceeded) || g.isClosed() {
			t.Errorf("close with somebody inside: %v, closed %v; want it to give up and stay open", err, g.isClosed())
		}
		closed := make(chan error)
		go func() { closed <- g.close(t.Context()) }()
		synctest.Wait()
		if err := g.enter(); !errors.Is(err, ErrLocked) {
			t.Errorf("enter while closing: %v", err)
		}
		g.leave()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := g.close(t.Context()); !errors.Is(err, ErrLocked) {
			t.Errorf("close twice: %v", err)
		}
		g.open()
		if err := g.enter(); err != nil {
			t.Error(err)
		}
	})
}
