package desk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
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
}

var errDisk = errors.New("the disk is full")

func (f *flaky) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
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
