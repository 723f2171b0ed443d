package desk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// brokenMinter makes nothing.
type brokenMinter struct{}

func (brokenMinter) Issue(mint.Order) (secret.Text, mytoken.Claims, error) {
	return secret.Text{}, mytoken.Claims{}, errors.New("the key is broken")
}

// flaky is a store that stops taking changes.
type flaky struct {
	store.Engine
	broken atomic.Bool
	after  atomic.Int64 // changes that still succeed, when it is set to more than none
}

var errDisk = errors.New("the disk is full")

func (f *flaky) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if f.after.Load() > 0 && f.after.Add(-1) == 0 {
		f.broken.Store(true)
	}
	if f.broken.Load() {
		return errDisk
	}
	return f.Engine.Update(ctx, fn, held...)
}

// A login whose mytoken cannot be kept is ended at the provider.
func TestLoginThatCannotBeKept(t *testing.T) {
	eng := &flaky{Engine: memstore.New()}
	b := newBed(t, setup{eng: eng})
	begun, err := b.Begin(t.Context(), b.ask(nil), desk.Caller{Origin: home()})
	if err != nil {
		t.Fatal(err)
	}
	in := b.back(b.agree(begun), "alice")
	p, _ := b.o.Upstream.Provider(b.op.URL)
	b.o.Upstream = fakes{b.o.Upstream, &fake{Provider: breaker{p, eng}}}
	_, err = b.another().LandIn(t.Context(), in)
	if !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if errors.As(err, new(*desk.Error)) {
		t.Errorf("what goes wrong inside is told as a refusal: %v", err)
	}
	if n := b.posted("/revoke", "token_type_hint", "refresh_token"); n != 1 {
		t.Errorf("the refresh token was revoked %d times", n)
	}
}

// breaker is a provider after whose answer the disk is full.
type breaker struct {
	desk.Provider
	eng *flaky
}

func (b breaker) Finish(ctx context.Context, f desk.Finish) (desk.Authenticated, error) {
	a, err := b.Provider.Finish(ctx, f)
	b.eng.broken.Store(true)
	return a, err
}

// Wherever a process dies on the way from the provider's redirect, there is no mytoken that nobody has: the one who polls
// gets it, or it was never made.
func TestLandCrash(t *testing.T) {
	polled := 0
	for n := range int64(12) {
		eng := &flaky{Engine: memstore.New()}
		b := newBed(t, setup{eng: eng})
		begun, err := b.Begin(t.Context(), b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		in := b.back(b.agree(begun), "alice")
		eng.after.Store(n + 1)
		_, _ = b.LandIn(t.Context(), in)
		eng.after.Store(0)
		eng.broken.Store(false)
		kept, err := b.ledger.List(t.Context(), ledger.UserID(b.op.URL, subjectOf(t, "alice")))
		if err != nil {
			t.Fatal(err)
		}
		i, err := b.another().Poll(t.Context(), begun.PollingCode, home())
		switch {
		case err == nil:
			polled++
			if _, err := b.access(i, desk.AccessRequest{}); err != nil || len(kept) != 1 {
				t.Errorf("after %d changes: %d kept, %v", n, len(kept), err)
			}
		case len(kept) != 0:
			t.Errorf("after %d changes: a mytoken that nobody gets: %v", n, err)
		}
	}
	if polled == 0 || polled == 12 {
		t.Errorf("%d of 12 were polled: the test does not reach what it is about", polled)
	}
}

func subjectOf(t *testing.T, name string) string {
	t.Helper()
	for _, u := range issuer.SampleUsers() {
		if u.Name == name {
			return u.Subject
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}
