package service

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/core/secret"
)

// withMytoken is a world with a mytoken server beside its provider.
func withMytoken(t *testing.T, edit ...func(*mytokentest.Options)) (*world, *mytokentest.Server) {
	t.Helper()
	w := newWorld(t)
	edit = append([]func(*mytokentest.Options){func(o *mytokentest.Options) { o.Now = w.clock.now }}, edit...)
	return w, mytokentest.Start(t, edit...)
}

// mtAccount is the JSON of an account of version 5 at the mytoken server.
func mtAccount(srv *mytokentest.Server, name, mt string, more map[string]any) secret.Text {
	m := map[string]any{
		"name": name, "client_name": "oidc-agent:" + name + "-host", "issuer_url": mytokentest.Provider,
		"mytoken_url": srv.URL, "config_endpoint": srv.URL + "/.well-known/openid-configuration",
		"device_authorization_endpoint": "", "daeSetByUser": 0, "client_id": "mytoken", "client_secret": "mytoken",
		"refresh_token": mt, "cert_path": "", "audience": "", "mytoken_profile": map[string]any{},
	}
	for k, v := range more {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return secret.New(b)
}

func TestMytokenLogin(t *testing.T) {
	w, srv := withMytoken(t)
	mt := srv.Mint()
	w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", mt, nil)})
	rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit", Scope: "storage.read:/", Audience: "a b"})
	if rep.AccessToken.Empty() || rep.Issuer != mytokentest.Provider || rep.ExpiresAt == 0 {
		t.Fatalf("%+v", rep)
	}
	last := srv.Requests()[len(srv.Requests())-1].Form
	want := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {mt}, "scope": {"storage.read:/"}, "audience": {"a b"},
	}
	if !maps.EqualFunc(last, want, slices.Equal) {
		t.Fatalf("sent %v, want %v", last, want)
	}
	// By issuer it is found as well, and the bare token is cached.
	before := srv.Count(mytokentest.PathAccess)
	w.must(proto.Request{Type: proto.TypeAccessToken, Issuer: strings.TrimSuffix(mytokentest.Provider, "/")})
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit"})
	if got := srv.Count(mytokentest.PathAccess); got != before {
		t.Fatalf("%d requests, want %d: the token of the test refresh was cached", got, before)
	}
}

func TestMytokenAccountFaults(t *testing.T) {
	w, srv := withMytoken(t)
	mt := srv.Mint()
	for _, tt := range []struct {
		name string
		more map[string]any
		want string
	}{
		{"nobody_there", map[string]any{"mytoken_url": w.op.URL, "config_endpoint": ""}, proto.TextNotMytoken},
		{"not_a_url", map[string]any{"mytoken_url": "mytoken", "config_endpoint": ""}, proto.TextNotMytoken},
		{
			"other_provider",
			map[string]any{"issuer_url": "https://elsewhere.example"},
			"The mytoken server " + srv.URL + " does not support the provider https://elsewhere.example",
		},
		{"revoked", map[string]any{"refresh_token": strings.Repeat("x", 64)}, "invalid_token:"},
		{"no_token", map[string]any{"refresh_token": ""}, proto.TextNoRefreshToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rep := w.refused(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, tt.name, mt, tt.more)}, tt.want)
			if strings.Contains(rep.Info.Text(), mt) {
				t.Fatal("the mytoken is in the help")
			}
		})
	}
	t.Run("issuer_from_the_mytoken", func(t *testing.T) {
		w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "bare", mt, map[string]any{"issuer_url": ""})})
	})
}

// TestMytokenRotates: a replaced mytoken is kept like a replaced refresh token.
func TestMytokenRotates(t *testing.T) {
	w, srv := withMytoken(t, func(o *mytokentest.Options) { o.RotateOnAT, o.RotateOnOther = true, true })
	w.makeKeystore()
	mt := srv.Mint()
	cfg := mtAccount(srv, "kit", mt, nil)
	if err := w.Admin().SaveLogin(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	fresh := proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew}
	for range 3 {
		w.must(fresh)
	}
	w.end(w.Service) // only what is on disk lives on
	w.restart(Switches{})
	w.unlockKeystore()
	w.must(fresh)
	rt := w.currentToken("kit")
	if rt == mt || !srv.Current(rt) {
		t.Fatalf("the mytoken in the keystore is not the newest")
	}
	t.Run("superseded_one_from_a_file", func(t *testing.T) {
		w.must(proto.Request{Type: proto.TypeRemove, Account: "kit"})
		w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", mt, nil)})
		w.must(fresh)
	})
	t.Run("answer_cut_off", func(t *testing.T) {
		srv.Cut(mytokentest.PathAccess)
		w.must(fresh)
		if !srv.Current(w.currentToken("kit")) {
			t.Fatal("the mytoken of an answer that was cut off is lost")
		}
	})
}

// currentToken is the refresh token the keystore has now.
func (w *world) currentToken(name string) string {
	w.t.Helper()
	out, err := w.Admin().ExportLogin(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := parsed(w.t, out)
	return cfg.RefreshToken.Expose()
}

func parsed(t *testing.T, text secret.Text) login.Config {
	t.Helper()
	var cfg login.Config
	err := text.Use(func(b []byte) (err error) { cfg, err = login.ParseConfig(b); return err })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

type deviceAnswer struct {
	Code     string  `json:"device_code"`
	UserCode *string `json:"user_code"`
	URI      string  `json:"verification_uri"`
	Complete string  `json:"verification_uri_complete"`
	Interval int     `json:"interval"`
	Expires  int     `json:"expires_in"`
}

func device(t *testing.T, rep proto.Reply) (d deviceAnswer) {
	t.Helper()
	if rep.Status != proto.StatusAccepted || rep.Device.Empty() {
		t.Fatalf("%+v", rep)
	}
	if err := rep.Device.Use(func(b []byte) error { return json.Unmarshal(b, &d) }); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMytokenGen(t *testing.T) {
	w, srv := withMytoken(t)
	gen := proto.Request{
		Type: proto.TypeGen, Config: mtAccount(srv, "kit", "", map[string]any{"mytoken_profile": "agent"}),
		Flow: []string{"mt_oidc"},
	}
	rep := w.must(gen)
	d := device(t, rep)
	if d.UserCode != nil || d.URI == "" || d.URI != d.Complete || d.Interval != 1 || d.Expires < 290 {
		t.Fatalf("%+v", d)
	}
	name, app, include := srv.Asked(d.URI)
	if name != "mytoken for oidc-agent:kit-host" || app != "oidc-agent" || !slices.Equal(include, []string{"agent"}) {
		t.Fatalf("%q %q %q", name, app, include)
	}
	poll := proto.Request{Type: proto.TypeDevice, Device: rep.Device}
	w.refused(poll, proto.TextPending)
	srv.Fail(mytokentest.PathMytoken, http.StatusBadGateway, "<html>")
	w.refused(poll, proto.TextPending)
	srv.Agree(d.URI)
	rep = w.must(poll)
	cfg := parsed(t, rep.Config)
	if cfg.MytokenURL != srv.URL || cfg.Issuer != mytokentest.Provider || !srv.Current(cfg.RefreshToken.Expose()) ||
		string(cfg.MytokenProfile) != `"agent"` || cfg.ClientID != "mytoken" || cfg.ClientSecret.Expose() != "mytoken" {
		t.Fatalf("%+v", cfg)
	}
	if w.token("kit") == "" {
		t.Fatal("no token")
	}
	w.refused(poll, proto.TextWrongDeviceCode)
}

func TestMytokenGenFaults(t *testing.T) {
	w, srv := withMytoken(t)
	gen := func(name string, more map[string]any) proto.Request {
		return proto.Request{Type: proto.TypeGen, Config: mtAccount(srv, name, "", more)}
	}
	t.Run("declined", func(t *testing.T) {
		rep := w.must(gen("a", nil))
		srv.Decline(device(t, rep).URI)
		w.refused(proto.Request{Type: proto.TypeDevice, Device: rep.Device}, "access_denied: user declined consent")
	})
	t.Run("too_late", func(t *testing.T) {
		rep := w.must(gen("b", nil))
		srv.Expire(device(t, rep).URI)
		w.refused(proto.Request{Type: proto.TypeDevice, Device: rep.Device},
			"expired_token: polling or transfer code is expired")
	})
	t.Run("profile_that_is_none", func(t *testing.T) {
		w.refused(gen("c", map[string]any{"mytoken_profile": map[string]any{"restrictions": 7}}),
			"Bad Request: mytoken_profile is not usable")
	})
	t.Run("unknown_profile", func(t *testing.T) {
		w.refused(gen("d", map[string]any{"mytoken_profile": "nobody"}),
			"invalid_request: unknown include name: 'nobody'")
	})
	t.Run("not_a_mytoken_configuration", func(t *testing.T) {
		w.refused(proto.Request{Type: proto.TypeGen, Config: w.account("e", nil), Flow: []string{"mt_oidc"}},
			proto.TextNotMytoken)
	})
	t.Run("with_a_mytoken_at_hand", func(t *testing.T) {
		rep := w.must(proto.Request{
			Type: proto.TypeGen, Config: mtAccount(srv, "f", srv.Mint(), nil), Flow: []string{"refresh"},
		})
		if rep.Config.Empty() {
			t.Fatalf("%+v", rep)
		}
	})
	t.Run("one_access_token", func(t *testing.T) {
		r := gen("g", nil)
		r.OnlyAT = true
		rep := w.must(r)
		d := device(t, rep)
		srv.Agree(d.URI)
		rep = w.must(proto.Request{Type: proto.TypeDevice, Device: rep.Device, OnlyAT: true})
		if rep.AccessToken.Empty() || !rep.Config.Empty() || srv.Count(mytokentest.PathRevoke) != 1 {
			t.Fatalf("%+v", rep)
		}
	})
}

func TestMytokenReauthenticate(t *testing.T) {
	w, srv := withMytoken(t)
	mt := srv.Mint("AT")
	w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", mt, nil)})
	w.must(proto.Request{Type: proto.TypeDelete, Config: mtAccount(srv, "other", mt, nil)})
	if !srv.Revoked(mt) {
		t.Fatal("delete did not revoke")
	}
	rep := w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew}, "invalid_token:")
	if !strings.Contains(rep.Info.Text(), "oidc-gen kit --reauthenticate") {
		t.Fatalf("help %q", rep.Info.Text())
	}
	rep = w.must(proto.Request{Type: proto.TypeReauthenticate, Account: "kit"})
	srv.Agree(device(t, rep).URI)
	w.must(proto.Request{Type: proto.TypeDevice, Device: rep.Device})
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew})
}

func TestMytokenProviders(t *testing.T) {
	w, srv := withMytoken(t)
	rep := w.must(proto.Request{Type: proto.TypeMytokenProviders, Issuer: srv.URL + "/"})
	var list []struct {
		Issuer string   `json:"issuer"`
		Name   string   `json:"name"`
		Scopes []string `json:"scopes_supported"`
	}
	if err := rep.Info.Into(&list); err != nil || len(list) != 1 || list[0].Issuer != mytokentest.Provider ||
		list[0].Name != "Example" || len(list[0].Scopes) != 2 {
		t.Fatalf("%v %+v", err, list)
	}
	w.refused(proto.Request{Type: proto.TypeMytokenProviders, Issuer: w.op.URL}, proto.TextNotMytoken)
	w.refused(proto.Request{Type: proto.TypeMytokenProviders}, "Bad Request: issuer is missing")
}

// TestMytokenRenewed: the login has ended, and the person who wants a token logs in again on the pages of the server.
func TestMytokenRenewed(t *testing.T) {
	w, srv := withMytoken(t)
	w.opts.Asker = &person{yes: true, open: srv.Agree}
	mt := srv.Mint()
	w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", mt, nil)})
	w.must(proto.Request{Type: proto.TypeDelete, Config: mtAccount(srv, "other", mt, nil)})
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew})

	t.Run("for_a_mytoken", func(t *testing.T) {
		mt := srv.Mint()
		w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "two", mt, nil)})
		w.must(proto.Request{Type: proto.TypeDelete, Config: mtAccount(srv, "other", mt, nil)})
		r := subtoken("")
		r.Account = "two"
		if m := members(t, w.must(r)); m["mytoken"] == "" {
			t.Fatal("no mytoken")
		}
	})
}

// TestMytokenRevoked: a mytoken is ended at its server, and the provider behind it never sees it.
func TestMytokenRevoked(t *testing.T) {
	w, srv := withMytoken(t)
	w.makeKeystore()
	mt := srv.Mint()
	if err := w.Admin().SaveLogin(t.Context(), mtAccount(srv, "kit", mt, nil)); err != nil {
		t.Fatal(err)
	}
	out, err := w.Admin().Revoke(t.Context(), control.RevokeRequest{Login: "kit", Remove: true})
	if err != nil || out.Confirmed != control.ConfirmedInactive || !out.Removed || !srv.Revoked(mt) {
		t.Fatalf("%+v %v", out, err)
	}
	cfg := parsed(t, mtAccount(srv, "kit", mt, map[string]any{"issuer_url": w.op.URL}))
	before := len(w.op.Requests())
	if _, err := w.client(t.Context(), cfg, nil); err == nil || len(w.op.Requests()) != before {
		t.Fatalf("a client of the provider for a mytoken: %v", err)
	}
}

// TestMytokenAutogen: nobody has a login for the issuer, and the person prefers a mytoken server.
func TestMytokenAutogen(t *testing.T) {
	w, srv := withMytoken(t)
	p := &person{yes: true, open: srv.Agree}
	w.opts.Asker, w.opts.Mytoken = p, MytokenChoice{Server: srv.URL, Profile: "agent"}
	w.opts.Issuers = func() login.Catalogue { return login.Catalogue{} }
	if rep := w.must(proto.Request{Type: proto.TypeAccessToken, Issuer: mytokentest.Provider}); rep.AccessToken.Empty() {
		t.Fatal("no token")
	}
	if len(w.loadedNames()) != 1 || len(p.asked) < 2 {
		t.Fatalf("%v %+v", w.loadedNames(), p.asked)
	}
	t.Run("not_its_provider", func(t *testing.T) {
		w.refused(proto.Request{Type: proto.TypeAccessToken, Issuer: "https://elsewhere.example"}, proto.TextNotLoaded)
	})
}
