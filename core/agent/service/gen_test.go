package service

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// eventually asks until the answer satisfies done.
func (w *world) eventually(r proto.Request, done func(proto.Reply) bool) proto.Reply {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		rep := w.ask(r)
		if done(rep) {
			return rep
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: still %s %q %q", r.Type, rep.Status, rep.Error, rep.Info.Text())
		}
	}
}

func visit(t *testing.T, uri string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(uri)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func (w *world) config(rep proto.Reply) login.Config {
	w.t.Helper()
	cfg, err := parseConfig(rep.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

func TestCodeFlow(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}})
	if rep.Status != proto.StatusAccepted || rep.State == "" || !strings.Contains(rep.URI, "state="+url.QueryEscape(rep.State)) {
		t.Fatalf("got %s, state %q", rep.Status, rep.State)
	}
	lookup := proto.Request{Type: proto.TypeStateLookup, State: rep.State}
	if got := w.must(lookup); got.Status != proto.StatusNotFound {
		t.Errorf("before the login: %s", got.Status)
	}
	visit(t, w.op.Login(rep.URI, "alice"))
	done := w.eventually(lookup, func(r proto.Reply) bool { return r.Status != proto.StatusNotFound })
	cfg := w.config(done)
	if cfg.Name != "a" || cfg.RefreshToken.Empty() || cfg.Issuer != w.op.URL || cfg.RefreshScope == "" {
		t.Errorf("config %+v", cfg.WithoutSecrets())
	}
	var issued int
	err := done.Config.Use(func(b []byte) error { return unmarshalMember(b, "client_id_issued_at", &issued) })
	if err != nil || issued != 1234567 {
		t.Errorf("a member that nobody here knows is lost: %v", err)
	}
	if again := w.must(lookup); again.Status != proto.StatusFoundButReceived || !again.Config.Empty() {
		t.Errorf("second lookup: %s", again.Status)
	}
	n := w.refreshes()
	w.token("a")
	if w.refreshes() != n {
		t.Error("the token of the login itself was not used")
	}
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
}

func TestCodeFlowByHand(t *testing.T) {
	w := newWorld(t)
	start := func() proto.Reply {
		return w.must(proto.Request{
			Type: proto.TypeGen, Flow: []string{"code"}, NoWebserver: true,
			Config: w.account("a", map[string]any{"redirect_uris": []string{"http://localhost:4242"}}),
		})
	}
	exchange := func(uri string) proto.Request {
		return proto.Request{Type: proto.TypeCodeExchange, RedirectURI: secret.FromString(uri), FromGen: true}
	}
	rep := start()
	w.refused(exchange("http://localhost:4242/?code=x"), proto.TextNoState)
	w.refused(exchange("http://localhost:4242/?state="+rep.State), proto.TextNoCode)
	w.refused(exchange("http://localhost:4242/?code=x&state=somebody-elses"), proto.TextWrongState)
	w.refused(exchange("http://localhost:4242/?code=x&state="+strings.Repeat("a", 600)), proto.TextStateMalformed)
	final := w.op.Login(rep.URI, "alice")
	cfg := w.config(w.must(exchange(final)))
	if cfg.RefreshToken.Empty() {
		t.Error("no refresh token in the answer")
	}
	if again := w.ask(exchange(final)); !again.Config.Empty() || again.Status != proto.StatusFoundButReceived {
		t.Errorf("the same redirect again: %s %q", again.Status, again.Error)
	}
	// A person who refuses ends the flow with what the provider says.
	rep = start()
	if got := w.ask(exchange(w.op.Login(rep.URI, "deny"))); !strings.HasPrefix(got.Error, "access_denied") {
		t.Errorf("refused login: %q", got.Error)
	}
}

func TestCodeFlowExpires(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}})
	w.clock.add(waitingLife + time.Second)
	if got := w.must(proto.Request{Type: proto.TypeStateLookup, State: rep.State}); got.Status != proto.StatusNotFound {
		t.Errorf("after its time: %s", got.Status)
	}
	w.sweep(t.Context())
	if n := w.pending.len(); n != 0 {
		t.Errorf("%d flows still wait", n)
	}
}

func TestManyFlowsWait(t *testing.T) {
	w := newWorld(t)
	r := proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}}
	var last proto.Reply
	for range maxWaiting + 5 {
		r.Config = w.account("a", nil)
		last = w.must(r)
	}
	if n := w.pending.len(); n > maxWaiting {
		t.Errorf("%d flows wait, at most %d may", n, maxWaiting)
	}
	visit(t, w.op.Login(last.URI, "alice"))
	w.eventually(proto.Request{Type: proto.TypeStateLookup, State: last.State},
		func(r proto.Reply) bool { return !r.Config.Empty() })
}

// TestDeviceFlowWithoutKeys: the provider has given its answer, and will not give it again.
func TestDeviceFlowWithoutKeys(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"device"}})
	var uri string
	err := rep.Device.Use(func(b []byte) error { return unmarshalMember(b, "verification_uri_complete", &uri) })
	if err != nil {
		t.Fatal(err)
	}
	w.op.ApproveDevice(uri, "alice")
	w.op.Fault(issuer.Fault{Path: "/jwks", Status: 503})
	time.Sleep(1100 * time.Millisecond)
	poll := proto.Request{Type: proto.TypeDevice, Device: rep.Device}
	if rep := w.ask(poll); rep.Error == "" || rep.Error == proto.TextPending {
		t.Errorf("a login that cannot be finished is said to be %q", rep.Error)
	}
	w.refused(poll, proto.TextWrongDeviceCode)
}

func TestDeviceFlow(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.DeviceInterval = time.Second })
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"device"}})
	if rep.Status != proto.StatusAccepted || rep.Device.Empty() {
		t.Fatalf("got %s", rep.Status)
	}
	poll := proto.Request{Type: proto.TypeDevice, Device: rep.Device}
	w.refused(poll, proto.TextPending)
	var uri string
	err := rep.Device.Use(func(b []byte) error { return unmarshalMember(b, "verification_uri_complete", &uri) })
	if err != nil {
		t.Fatal(err)
	}
	w.op.ApproveDevice(uri, "alice")
	w.clock.add(10 * time.Second)
	cfg := w.config(w.must(poll))
	if cfg.RefreshToken.Empty() {
		t.Error("no refresh token in the answer")
	}
	w.refused(poll, proto.TextWrongDeviceCode)
	w.token("a")
}

func TestRefreshFlow(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	rep := w.must(proto.Request{
		Type: proto.TypeGen, Config: w.account("a", map[string]any{"refresh_token": rt}), Flow: []string{"refresh"},
	})
	if cfg := w.config(rep); cfg.RefreshToken.Empty() || cfg.RefreshToken.Expose() == rt {
		t.Error("the provider rotates, so the login must come with another refresh token")
	}
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	dead := w.ask(proto.Request{
		Type: proto.TypeGen, Config: w.account("b", map[string]any{"refresh_token": "dead"}), Flow: []string{"refresh"},
	})
	if !strings.HasPrefix(dead.Error, "invalid_grant") {
		t.Errorf("dead refresh token: %q", dead.Error)
	}
	if got := w.loaded(); len(got) != 1 {
		t.Errorf("loaded after a failed set-up: %v", got)
	}
}

func TestNoFlow(t *testing.T) {
	w := newWorld(t)
	w.refused(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"refresh", "password"}},
		proto.TextNoFlow)
	rep := w.ask(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"telepathy"}})
	if !strings.HasPrefix(rep.Error, proto.TextBadRequest) {
		t.Errorf("unknown flow: %q", rep.Error)
	}
}

func TestOnlyAT(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}, OnlyAT: true})
	visit(t, w.op.Login(rep.URI, "alice"))
	done := w.eventually(proto.Request{Type: proto.TypeStateLookup, State: rep.State},
		func(r proto.Reply) bool { return r.Status != proto.StatusNotFound })
	if done.AccessToken.Empty() || !done.Config.Empty() {
		t.Error("want an access token and no configuration")
	}
	if got := w.loaded(); len(got) != 0 {
		t.Errorf("loaded %v, want nothing", got)
	}
}

func TestReauthenticate(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	w.add("a", map[string]any{"refresh_token": rt})
	w.op.Post("/revoke", "web", "web-secret", form("token", rt))
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	if rep := w.ask(force); rep.Error == "" {
		t.Fatal("the login still works")
	}
	rep := w.must(proto.Request{Type: proto.TypeReauthenticate, Account: "a", Flow: []string{"code"}})
	visit(t, w.op.Login(rep.URI, "alice"))
	w.eventually(proto.Request{Type: proto.TypeStateLookup, State: rep.State},
		func(r proto.Reply) bool { return !r.Config.Empty() })
	w.must(force)
	w.refused(proto.Request{Type: proto.TypeReauthenticate, Account: "b"}, proto.TextNotConfigured)
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{Type: proto.TypeRegister, Flow: []string{"code"}, Config: w.account("a", map[string]any{
		"client_id": "", "client_secret": "", "client_name": "oidc-agent:a-host",
		"redirect_uris": []string{"http://localhost:4242", "http://localhost:8080"},
	})})
	if rep.Client.Empty() || !strings.Contains(rep.MaxScopes, "openid") {
		t.Fatalf("client of %d bytes, max scopes %q", rep.Client.Len(), rep.MaxScopes)
	}
	var cfg login.Config
	if err := rep.Client.Use(func(b []byte) (err error) { cfg, err = login.ParseConfig(b); return err }); err != nil {
		t.Fatal(err)
	}
	del := proto.Request{
		Type: proto.TypeDeleteClient, RegistrationClientURI: cfg.RegistrationURI, RegistrationAccessToken: cfg.RegistrationToken,
	}
	w.must(del)
	rep = w.ask(proto.Request{Type: proto.TypeDeleteClient})
	if !strings.HasPrefix(rep.Error, proto.TextCannotDelete) {
		t.Errorf("delete without a registration: %q", rep.Error)
	}
	info := w.must(proto.Request{Type: proto.TypeScopes, Issuer: w.op.URL}).Info.Text()
	if !strings.Contains(info, "openid") {
		t.Errorf("scopes: %q", info)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	w.add("a", map[string]any{"refresh_token": rt}) // by now another one
	w.must(proto.Request{Type: proto.TypeDelete, Config: w.account("a", map[string]any{"refresh_token": rt})})
	if got := w.loaded(); len(got) != 0 {
		t.Errorf("still loaded: %v", got)
	}
	revoked := false
	for _, r := range w.op.Requests() {
		revoked = revoked || strings.HasSuffix(r.Path, "/revoke")
	}
	if !revoked {
		t.Error("nothing was revoked at the provider")
	}
	w.op.Fault(issuer.Fault{Path: "/revoke", Status: 503})
	w.add("b", nil)
	rep := w.ask(proto.Request{Type: proto.TypeDelete, Config: w.account("b", map[string]any{"refresh_token": "x"})})
	if !strings.HasPrefix(rep.Error, proto.TextCannotRevoke) {
		t.Errorf("provider in trouble: %q", rep.Error)
	}
	if got := w.loaded(); len(got) != 1 {
		t.Errorf("a login that could not be revoked is gone: %v", got)
	}
}

// TestDeleteClientElsewhere: who talks to the agent over a forwarded socket must not reach the services of this machine.
func TestDeleteClientElsewhere(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	reached := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer other.Close()
	for _, uri := range []string{other.URL + "/admin", "HTTP" + other.URL[4:], "http:" + other.URL[5:] + "/..", "//x", "%"} {
		rep := w.ask(proto.Request{
			Type: proto.TypeDeleteClient, RegistrationClientURI: uri, RegistrationAccessToken: secret.FromString("chosen"),
			Config: w.account("a", map[string]any{"issuer_url": other.URL}),
		})
		if !strings.HasPrefix(rep.Error, proto.TextCannotDelete) || reached > 0 {
			t.Errorf("%s: error %q, %d requests", uri, rep.Error, reached)
		}
	}
}
