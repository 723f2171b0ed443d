package mytokentest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func start(t *testing.T, edit ...func(*mytokentest.Options)) (*mytokentest.Server, *mytoken.Client) {
	t.Helper()
	srv := mytokentest.Start(t, edit...)
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	conf, err := mytoken.Discover(t.Context(), hc, srv.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	return srv, mytoken.New(hc, conf, mytoken.Options{Application: "test"})
}

func TestWholeLife(t *testing.T) {
	for name, edit := range map[string]func(*mytokentest.Options){
		"plain":              func(*mytokentest.Options) {},
		"short_tokens":       func(o *mytokentest.Options) { o.Short = true },
		"rotating":           func(o *mytokentest.Options) { o.RotateOnAT, o.RotateOnOther = true, true },
		"oidc_document_only": func(o *mytokentest.Options) { o.OIDCDocumentOnly = true },
	} {
		t.Run(name, func(t *testing.T) { wholeLife(t, edit) })
	}
}

func wholeLife(t *testing.T, edit func(*mytokentest.Options)) {
	srv, c := start(t, edit, func(o *mytokentest.Options) { o.Approve = true })
	ctx := t.Context()
	w, err := c.Start(ctx, mytoken.Request{Issuer: mytokentest.Provider, Include: []string{"agent"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Poll(ctx, w); !errors.Is(err, mytoken.ErrPending) {
		t.Fatalf("before the consent: %v", err)
	}
	srv.Agree(w.URI)
	got, err := c.Poll(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	mt := got.Token
	use := func(u *mytoken.Issued, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if u != nil {
			mt = u.Token
		}
	}
	at, err := c.AccessToken(ctx, mt, mytoken.AccessRequest{Scope: []string{"openid"}})
	use(at.Update, err)
	child, err := c.Subtoken(ctx, mt, mytoken.Request{Capabilities: mytoken.Capabilities{"AT"}, Name: "child"})
	use(child.Update, err)
	if _, err := c.Subtoken(ctx, child.Token, mytoken.Request{}); err == nil || mytoken.NeedsLogin(err) {
		t.Fatalf("a child without create_mytoken made one: %v", err)
	}
	tree, update, err := c.Subtokens(ctx, mt)
	use(update, err)
	if len(tree.Children) != 1 || tree.Children[0].Name != "child" {
		t.Fatalf("%+v", tree)
	}
	all, update, err := c.List(ctx, mt)
	use(update, err)
	events, update, err := c.History(ctx, mt)
	use(update, err)
	info, err := c.Introspect(ctx, mt)
	use(info.Update, err)
	if len(all) != 1 || len(events) < 3 || !info.Valid {
		t.Fatalf("%d trees, %d events, %+v", len(all), len(events), info)
	}
	code, err := c.Transfer(ctx, mt)
	use(nil, err)
	moved, err := c.Redeem(ctx, code.Code)
	use(nil, err)
	if !moved.Token.Equal(mt) {
		t.Fatal("the transfer code stands for another mytoken")
	}
	if _, err := c.Redeem(ctx, code.Code); err == nil {
		t.Fatal("a transfer code is good twice")
	}
	if _, err := c.Revoke(ctx, mytoken.Revocation{Token: mt, Recursive: true}); err != nil {
		t.Fatal(err)
	}
	if !srv.Revoked(child.Token.Expose()) {
		t.Fatal("the child lives on")
	}
	if _, err := c.AccessToken(ctx, mt, mytoken.AccessRequest{}); !mytoken.NeedsLogin(err) {
		t.Fatalf("after the end: %v", err)
	}
}

func TestDecisions(t *testing.T) {
	srv, c := start(t)
	for name, tt := range map[string]struct {
		decide func(uri string)
		want   error
	}{
		"declined": {srv.Decline, mytoken.ErrDeclined},
		"too_late": {srv.Expire, mytoken.ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := c.Start(t.Context(), mytoken.Request{Issuer: mytokentest.Provider})
			if err != nil {
				t.Fatal(err)
			}
			tt.decide(w.URI)
			if _, err := c.Wait(t.Context(), w); !errors.Is(err, tt.want) {
				t.Fatal(err)
			}
		})
	}
	t.Run("nobody_decides", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := mytoken.Consent{Expires: time.Now().Add(time.Millisecond), Interval: time.Second}
			if _, err := c.Wait(t.Context(), w); !errors.Is(err, mytoken.ErrExpired) {
				t.Fatal(err)
			}
		})
	})
	t.Run("server_in_trouble_meanwhile", func(t *testing.T) {
		w, err := c.Start(t.Context(), mytoken.Request{Issuer: mytokentest.Provider})
		if err != nil {
			t.Fatal(err)
		}
		srv.Fail(mytokentest.PathMytoken, 503, "down")
		srv.Agree(w.URI)
		if _, err := c.Wait(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCustody: a mytoken that rotates with auto_revoke is lost at the first second use of a replaced one. Thirty callers
// at once do not make that happen.
func TestCustody(t *testing.T) {
	srv, c := start(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	keeper := custody.New(memstore.New(), custody.Options{})
	t.Cleanup(func() { _ = keeper.Close(context.Background()) })
	if err := keeper.Put(t.Context(), "kit", secret.FromString(srv.Mint())); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			r := flow.Request{Scope: []string{"openid", string(rune('a' + i%5))}}
			toks, err := keeper.Refresh(t.Context(), "kit", c, r)
			if err != nil || toks.Access.Empty() {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last, err := keeper.Token(t.Context(), "kit")
	if err != nil || !srv.Current(last.Expose()) {
		t.Fatalf("the mytoken in custody is not the newest: %v", err)
	}
}
