package service

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// ftsLogin loads a login of the client that the sample policy lets turn submission tokens into transfer tokens, and
// returns such a submission token of alice.
func (w *world) ftsLogin() (submission secret.Text) {
	w.t.Helper()
	w.add("fts", map[string]any{"client_id": "web", "client_secret": "web-secret"})
	toks := w.op.Tokens("alice", "openid offline_access fts:submit-transfer storage.read:/", url.Values{
		"audience": {"https://fts.example"},
	})
	return toks.Access
}

// transferPolicy lets the client of the test's logins do what the sample lets FTS do.
func transferPolicy(o *issuer.Options) {
	p := issuer.SamplePolicy()[0]
	p.Client = "web"
	o.Policy = []issuer.ExchangeRule{p}
}

func exchangeOf(subject secret.Text) control.GrantRequest {
	return control.GrantRequest{
		Login: "fts", Kind: control.GrantExchange, Subject: subject, Scope: "storage.read:/ storage.create:/",
		Audience: "https://se1.example https://se2.example",
	}
}

func TestExchange(t *testing.T) {
	w := newWorld(t, transferPolicy)
	subject := w.ftsLogin()
	g, err := w.Admin().Grant(t.Context(), exchangeOf(subject))
	if err != nil {
		t.Fatal(err)
	}
	if g.Access.Empty() || g.Issuer != w.op.URL || g.Saved != "" || g.Expires.IsZero() ||
		setOf(g.Scope) != "storage.create:/ storage.read:/" {
		t.Errorf("granted %+v", g)
	}
	form := w.op.Requests()[len(w.op.Requests())-1].Form
	if form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("the request was %v", form)
	}
}

// TestExchangeKept: the refresh token of an exchange becomes a login of its own, in memory without a keystore, and
// stays out of what is answered.
func TestExchangeKept(t *testing.T) {
	for _, saved := range []string{control.SavedMemory, control.SavedKeystore} {
		t.Run(saved, func(t *testing.T) {
			w := newWorld(t, transferPolicy)
			if saved == control.SavedKeystore {
				w.makeKeystore()
			}
			r := exchangeOf(w.ftsLogin())
			r.SaveAs = "transfer"
			g, err := w.Admin().Grant(t.Context(), r)
			if err != nil || g.Saved != saved || g.Access.Empty() {
				t.Fatalf("granted %+v, %v", g, err)
			}
			rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "transfer"})
			if !strings.Contains(rep.Scope, "storage.create:/") || rep.AccessToken.Equal(g.Access) {
				t.Errorf("the kept login gives %+v", rep)
			}
			if _, err := w.Admin().Grant(t.Context(), r); exitCodeOf(err) != cli.No {
				t.Errorf("a second one of that name: %v", err)
			}
			r.Subject, r.Replace = w.ftsLogin(), true
			if _, err := w.Admin().Grant(t.Context(), r); err != nil {
				t.Errorf("replaced: %v", err)
			}
			w.must(proto.Request{Type: proto.TypeAccessToken, Account: "transfer"})
		})
	}
}

func exitCodeOf(err error) int {
	var e *cli.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return -1
}

func TestGrantRefused(t *testing.T) {
	w := newWorld(t, transferPolicy)
	subject := w.ftsLogin()
	for name, c := range map[string]struct {
		edit func(*control.GrantRequest)
		code int
		says string
	}{
		"a login that is not there":  {func(r *control.GrantRequest) { r.Login = "none" }, cli.NotFound, "none"},
		"a name that is a path":      {func(r *control.GrantRequest) { r.Login = "../x" }, cli.No, "Bad Request"},
		"more than the policy gives": {func(r *control.GrantRequest) { r.Scope = "storage.modify:/" }, cli.No, "invalid_scope"},
		"a subject that is no token": {
			func(r *control.GrantRequest) { r.Subject = secret.FromString("private-nonsense") }, cli.No, "invalid_request",
		},
		"the login itself replaced": {func(r *control.GrantRequest) { r.SaveAs = "fts" }, cli.Usage, "fts"},
		"a name that cannot be one": {func(r *control.GrantRequest) { r.SaveAs = "a/b" }, cli.Usage, "name"},
		"a resource that is no URI": {func(r *control.GrantRequest) { r.Resource = []string{"se1"} }, cli.No, "absolute URI"},
	} {
		t.Run(name, func(t *testing.T) {
			r := exchangeOf(subject)
			c.edit(&r)
			_, err := w.Admin().Grant(t.Context(), r)
			if exitCodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v (%d), want %d %q", err, exitCodeOf(err), c.code, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "private-nonsense") {
				t.Error("the error repeats the token")
			}
		})
	}
}

// TestGrantAsksThePerson: a login that asks before each token asks also before its client is used.
func TestGrantAsksThePerson(t *testing.T) {
	w := newWorld(t, transferPolicy)
	subject := w.ftsLogin()
	w.must(proto.Request{
		Type: proto.TypeAdd, Confirm: true, Config: w.account("careful", map[string]any{"refresh_token": w.refreshToken()}),
	})
	r := exchangeOf(subject)
	r.Login = "careful"
	if _, err := w.Admin().Grant(t.Context(), r); err == nil || !strings.Contains(err.Error(), proto.TextForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	w.add("svc", nil)
	g, err := w.Admin().Grant(t.Context(), control.GrantRequest{
		Login: "svc", Kind: control.GrantCredentials, Scope: "storage.read:/",
	})
	if err != nil || g.Access.Empty() || g.Scope != "storage.read:/" {
		t.Errorf("granted %+v, %v", g, err)
	}
}

func TestRevokeLogin(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.add("work", nil)
	a := w.Admin()
	config, err := a.ExportLogin(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SaveLogin(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	out, err := a.Revoke(t.Context(), control.RevokeRequest{Login: "work"})
	if err != nil || out.Confirmed != control.ConfirmedInactive || out.Removed || out.Issuer != w.op.URL {
		t.Fatalf("revoked %+v, %v", out, err)
	}
	rep := w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "work"}, proto.TextNoRefreshToken)
	if !strings.Contains(rep.Info.Text(), "oidc-gen work --reauthenticate") {
		t.Errorf("help is %q", rep.Info.Text())
	}
	list, err := a.Logins(t.Context())
	if err != nil || len(list) != 1 || !list[0].NeedsLogin {
		t.Errorf("logins are %+v, %v", list, err)
	}
	if again, err := a.Revoke(t.Context(), control.RevokeRequest{Login: "work"}); err != nil || !again.Nothing {
		t.Errorf("once more %+v, %v", again, err)
	}
	again, err := a.Revoke(t.Context(), control.RevokeRequest{Login: "work", DeleteClient: true, Remove: true})
	if err != nil || !again.Nothing || !again.Removed || again.Client != control.ClientKept {
		t.Errorf("again %+v, %v", again, err)
	}
	if _, err := a.Revoke(t.Context(), control.RevokeRequest{Login: "work"}); exitCodeOf(err) != cli.NotFound {
		t.Errorf("what is gone: %v", err)
	}
}

func TestRevokeToken(t *testing.T) {
	w := newWorld(t)
	w.add("work", nil)
	token := secret.FromString(w.token("work"))
	out, err := w.Admin().Revoke(t.Context(), control.RevokeRequest{Login: "work", Token: token})
	if err != nil || out.Confirmed != control.ConfirmedInactive {
		t.Errorf("revoked %+v, %v", out, err)
	}
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "work", MinValid: proto.ForceNew})
}

// TestRevokeUnreachable: what could not be revoked is kept, so that it can be tried again.
func TestRevokeUnreachable(t *testing.T) {
	w := newWorld(t)
	w.add("work", nil)
	w.op.Stop()
	_, err := w.Admin().Revoke(context.Background(), control.RevokeRequest{Login: "work", DeleteClient: true, Remove: true})
	if exitCodeOf(err) != cli.Temporary {
		t.Errorf("got %v (%d)", err, exitCodeOf(err))
	}
	w.op.Restart(true)
	out, err := w.Admin().Revoke(context.Background(), control.RevokeRequest{Login: "work", Remove: true})
	if err != nil || !out.Removed {
		t.Errorf("later: %+v, %v", out, err)
	}
}

// TestUsualScope: a smaller usual scope is what a token has when nothing is asked for, from the first one on.
func TestUsualScope(t *testing.T) {
	w := newWorld(t)
	w.must(proto.Request{Type: proto.TypeAdd, Config: w.account("small", map[string]any{
		"refresh_token": w.refreshToken(), "auth_scope": loginScope, "refresh_scope": "openid storage.read:/home",
	})})
	usual := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "small"})
	if usual.Scope != "openid storage.read:/home" || !usual.Narrowed {
		t.Errorf("usual %+v", usual)
	}
	more := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "small", Scope: "storage.read:/"})
	if more.Scope != "storage.read:/" || !more.Narrowed {
		t.Errorf("more %+v", more)
	}
	w.add("whole", nil)
	if whole := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "whole"}); whole.Narrowed {
		t.Errorf("whole %+v", whole)
	}
}

func TestNarrowed(t *testing.T) {
	for _, c := range []struct {
		usual, has string
		want       bool
	}{
		{"", "a b", false},
		{"a b", "b a offline_access", false},
		{"a", "a b", true},
		{"storage.read:/home", "storage.read:/", true},
		{"storage.read:/", "storage.read:/home", false},
		{"c", "a b", false},
		{"offline_access a", "a b", true},
	} {
		if got := narrowed(c.usual, c.has); got != c.want {
			t.Errorf("narrowed(%q, %q) = %v", c.usual, c.has, got)
		}
	}
}
