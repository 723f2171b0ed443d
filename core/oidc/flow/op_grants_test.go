package flow_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func refreshFacts(t *testing.T, o *op) {
	t.Run("rotation_gives_a_new_token_and_reuse_ends_the_family", func(t *testing.T) {
		c := o.native()
		first := o.mustLogin(t, c, "openid offline_access")
		second, err := c.Refresh(t.Context(), first.Refresh, flow.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if second.Refresh.Empty() || second.Refresh.Equal(first.Refresh) {
			t.Fatal("no new refresh token")
		}
		if second.IDError != nil || second.Subject != first.Subject {
			t.Fatalf("subject %q, then %q (%v)", first.Subject, second.Subject, second.IDError)
		}
		if _, err := c.Refresh(t.Context(), first.Refresh, flow.Request{}); !flow.NeedsLogin(err) {
			t.Fatalf("reuse: %v", err)
		}
		if _, err := c.Refresh(t.Context(), second.Refresh, flow.Request{}); !flow.NeedsLogin(err) {
			t.Fatalf("family after reuse: %v", err)
		}
	})
	t.Run("without_rotation_the_old_token_goes_on", func(t *testing.T) {
		c := o.client(flow.ClientConfig{ID: "web-norotate", Secret: secret.FromString("web-secret")}, "")
		first := o.mustLogin(t, c, "openid offline_access")
		for range 3 {
			next, err := c.Refresh(t.Context(), first.Refresh, flow.Request{})
			if err != nil {
				t.Fatal(err)
			}
			if !next.Refresh.Empty() && !next.Refresh.Equal(first.Refresh) {
				t.Fatal("it rotated")
			}
		}
	})
	t.Run("scope_narrows", func(t *testing.T) {
		c := o.native()
		first := o.mustLogin(t, c, "openid offline_access wlcg.groups storage.read:/data storage.create:/data")
		tok, err := c.Refresh(t.Context(), first.Refresh, flow.Request{Scope: scopes("openid storage.read:/data")})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := claims(t, tok.Access).String("scope"); strings.Contains(got, "storage.create") ||
			!strings.Contains(got, "storage.read:/data") {
			t.Fatalf("scope %q", got)
		}
	})
	t.Run("revoked_refresh_token_needs_login", func(t *testing.T) {
		c := o.web("")
		tok := o.mustLogin(t, c, "openid offline_access")
		if err := c.Revoke(t.Context(), tok.Refresh, "refresh_token"); err != nil {
			t.Fatal(err)
		}
		_, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{})
		if !flow.NeedsLogin(err) || flow.Temporary(err) {
			t.Fatalf("got %v", err)
		}
		if err := c.Revoke(t.Context(), tok.Refresh, "refresh_token"); err != nil {
			t.Fatalf("revoking again is no error (RFC 7009 2.2): %v", err)
		}
	})
}

func audienceFacts(t *testing.T, o *op) {
	const se = "https://se.example.org"
	t.Run("audience_parameter_replaces_the_default", func(t *testing.T) {
		c := o.web(flow.AudienceParam)
		tok := o.mustLogin(t, c, "openid offline_access storage.read:/")
		next, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{Audience: []string{se}})
		if err != nil {
			t.Fatal(err)
		}
		if got := aud(t, next.Access); got != se {
			t.Fatalf("aud %q", got)
		}
	})
	t.Run("resource_at_login_and_refresh", func(t *testing.T) {
		c := o.web(flow.AudienceResource)
		tok, err := o.login(t, c, "alice", flow.Request{
			Scope: scopes("openid offline_access storage.read:/"), Audience: []string{se},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := aud(t, tok.Access); got != se {
			t.Fatalf("aud %q after login", got)
		}
		next, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{Audience: []string{se}})
		if err != nil {
			t.Fatal(err)
		}
		if got := aud(t, next.Access); got != se {
			t.Fatalf("aud %q after refresh", got)
		}
	})
	t.Run("resource_at_refresh_alone_is_refused_and_costs_nothing", func(t *testing.T) {
		c := o.client(flow.ClientConfig{ID: "web-norotate", Secret: secret.FromString("web-secret")}, "")
		tok := o.mustLogin(t, c, "openid offline_access")
		_, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{Audience: []string{"https://other.example.org"}})
		var e *flow.Error
		if !errors.As(err, &e) || e.Code != "invalid_target" || flow.NeedsLogin(err) || flow.Temporary(err) {
			t.Fatalf("got %v", err)
		}
		if _, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{}); err != nil {
			t.Fatalf("the token is still good: %v", err)
		}
	})
	t.Run("a_value_that_is_no_URI_is_sent_as_audience", func(t *testing.T) {
		c := o.web(flow.AudienceResource)
		tok := o.mustLogin(t, c, "openid offline_access storage.read:/")
		next, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{Audience: []string{"storage-element"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := aud(t, next.Access); got != "storage-element" {
			t.Fatalf("aud %q", got)
		}
	})
}

func deviceFacts(t *testing.T, o *op) {
	c := o.native()
	start := func(t *testing.T) flow.Device {
		t.Helper()
		d, err := c.StartDevice(t.Context(), flow.Request{Scope: scopes("openid offline_access")})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Run("pending_then_tokens", func(t *testing.T) {
		d := start(t)
		if d.UserCode == "" || d.URIComplete == "" || d.Interval != 5*time.Second {
			t.Fatalf("device %+v", d)
		}
		if _, err := c.PollDevice(t.Context(), d); !errors.Is(err, flow.ErrAuthorizationPending) {
			t.Fatalf("before approval: %v", err)
		}
		o.ApproveDevice(d.URIComplete, "bob")
		tok, err := c.PollDevice(t.Context(), d)
		if err != nil || tok.Refresh.Empty() || tok.Subject == "" {
			t.Fatalf("%+v, %v", tok, err)
		}
		if _, err := c.PollDevice(t.Context(), d); err == nil {
			t.Fatal("a device code is good once")
		}
	})
	t.Run("slow_down_and_503_are_waited_out", func(t *testing.T) {
		d := start(t)
		o.ApproveDevice(d.URIComplete, "alice")
		o.Fault(services.Fault{Path: "/token", Status: 400, Times: 1, Body: map[string]string{"error": "slow_down"}})
		o.Fault(services.Fault{Path: "/token", Status: 503, Times: 1, RetryAfter: 1})
		var waits []time.Duration
		c := flow.New(o.http, o.md, flow.ClientConfig{ID: "native"}, flow.Options{Keys: o.keys})
		flow.RecordSleep(c, &waits)
		if _, err := c.WaitDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}
		if len(waits) != 3 || waits[0] != want[0] || waits[1] != want[1] || waits[2] != want[2] {
			t.Fatalf("waits %v, want %v", waits, want)
		}
	})
	t.Run("refusal_is_access_denied", func(t *testing.T) {
		d := start(t)
		o.ApproveDevice(d.URIComplete, "deny")
		if _, err := c.PollDevice(t.Context(), d); !errors.Is(err, flow.ErrAccessDenied) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestProviderDeviceExpires(t *testing.T) {
	o := startOP(t, "OP_DEVICE_TTL=1")
	c := o.native()
	d, err := c.StartDevice(t.Context(), flow.Request{Scope: scopes("openid")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitDevice(t.Context(), d); !errors.Is(err, flow.ErrExpiredCode) {
		t.Fatalf("got %v", err)
	}
}

func machineTokensFacts(t *testing.T, o *op) {
	service := o.client(flow.ClientConfig{ID: "service", Secret: secret.FromString("service-secret")}, flow.AudienceParam)
	t.Run("client_credentials", func(t *testing.T) {
		tok, err := service.ClientCredentials(t.Context(), flow.Request{Scope: scopes("storage.read:/")})
		if err != nil || tok.Access.Empty() || !tok.Refresh.Empty() {
			t.Fatalf("%+v, %v", tok, err)
		}
	})
	t.Run("wrong_secret_is_unknown_client", func(t *testing.T) {
		c := o.client(flow.ClientConfig{ID: "service", Secret: secret.FromString("wrong")}, "")
		_, err := c.ClientCredentials(t.Context(), flow.Request{})
		if !flow.UnknownClient(err) || flow.NeedsLogin(err) || strings.Contains(err.Error(), "wrong") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("secret_in_the_body", func(t *testing.T) {
		reg, err := registration.Register(t.Context(), o.http, o.md.RegistrationEndpoint, registration.Request{
			GrantTypes: []string{"client_credentials"}, AuthMethod: "client_secret_post", Extra: map[string]any{
				"response_types": []string{}, "redirect_uris": []string{},
			},
		}, secret.Text{})
		if err != nil {
			t.Fatal(err)
		}
		o.ClearLog()
		c := o.client(flow.ClientConfig{ID: reg.ID, Secret: reg.Secret, AuthMethod: reg.AuthMethod}, "")
		if _, err := c.ClientCredentials(t.Context(), flow.Request{}); err != nil {
			t.Fatal(err)
		}
		if e := o.Log("/token")[0]; e.Auth != "" || e.Form["client_secret"] == nil {
			t.Fatalf("request %+v", e)
		}
	})
	t.Run("exchange_narrows", func(t *testing.T) {
		user := o.mustLogin(t, o.web(""), "openid offline_access storage.read:/ storage.create:/")
		o.ClearLog()
		tok, err := service.Exchange(t.Context(), flow.ExchangeRequest{
			Request: flow.Request{Scope: scopes("storage.read:/"), Audience: []string{"https://fts.example.org"}},
			Subject: user.Access,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := claims(t, tok.Access).String("scope"); got != "storage.read:/" {
			t.Fatalf("scope %q", got)
		}
		if got := aud(t, tok.Access); got != "https://fts.example.org" {
			t.Fatalf("aud %q", got)
		}
		if f := o.Log("/token")[0].Form; f["subject_token_type"] == nil {
			t.Fatal("subject_token_type was not sent")
		}
	})
	t.Run("exchange_does_not_widen", func(t *testing.T) {
		user := o.mustLogin(t, o.web(""), "openid storage.read:/")
		_, err := service.Exchange(t.Context(), flow.ExchangeRequest{
			Request: flow.Request{Scope: scopes("storage.create:/")}, Subject: user.Access,
		})
		var e *flow.Error
		if !errors.As(err, &e) || e.Code != "invalid_scope" {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("exchange_for_a_refresh_token", func(t *testing.T) {
		user := o.mustLogin(t, o.web(""), "openid storage.read:/")
		tok, err := service.Exchange(t.Context(), flow.ExchangeRequest{
			Request: flow.Request{Scope: scopes("storage.read:/ offline_access")}, Subject: user.Access,
			RequestedType: "urn:ietf:params:oauth:token-type:refresh_token",
		})
		if err != nil || tok.Refresh.Empty() || !tok.Access.Empty() {
			t.Fatalf("%+v, %v", tok, err)
		}
		if next, err := service.Refresh(t.Context(), tok.Refresh, flow.Request{}); err != nil || next.Access.Empty() {
			t.Fatalf("refresh with it: %v", err)
		}
	})
}

func inspectionFacts(t *testing.T, o *op) {
	c := o.web("")
	tok := o.mustLogin(t, c, "openid offline_access profile")
	info, err := c.Userinfo(t.Context(), tok.Access)
	if err != nil {
		t.Fatal(err)
	}
	if sub, _ := info.String("sub"); sub != tok.Subject {
		t.Fatalf("userinfo is about %q, the login about %q", sub, tok.Subject)
	}
	active := func() bool {
		t.Helper()
		in, err := c.Introspect(t.Context(), tok.Access)
		if err != nil {
			t.Fatal(err)
		}
		yes, _ := in.Bool("active")
		return yes
	}
	if !active() {
		t.Fatal("a fresh token is not active")
	}
	if err := c.Revoke(t.Context(), tok.Access, "access_token"); err != nil {
		t.Fatal(err)
	}
	if active() {
		t.Fatal("a revoked token is active")
	}
	if _, err := c.Userinfo(t.Context(), tok.Access); !flow.NeedsLogin(err) {
		t.Fatalf("userinfo with a revoked token: %v", err)
	}
}

// TestProviderRefusesJWT: bare oidc-provider takes no JWT at introspection and revocation.
func TestProviderRefusesJWT(t *testing.T) {
	o := startOP(t, "OP_JWT_INTROSPECT=0")
	c := o.web("")
	tok := o.mustLogin(t, c, "openid offline_access")
	_, err := c.Introspect(t.Context(), tok.Access)
	for what, err := range map[string]error{
		"introspection": err,
		"revocation":    c.Revoke(t.Context(), tok.Access, "access_token"),
	} {
		var e *flow.Error
		if !errors.As(err, &e) || e.Code != "unsupported_token_type" || flow.NeedsLogin(err) || flow.Temporary(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Revoke(t.Context(), tok.Refresh, "refresh_token"); err != nil {
		t.Errorf("the refresh token can be revoked all the same: %v", err)
	}
}

func TestProviderRestart(t *testing.T) {
	o := startOP(t)
	reg, err := registration.Register(t.Context(), o.http, o.md.RegistrationEndpoint, registration.Request{
		Name: "box", RedirectURIs: []string{"http://localhost/redirect"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		Scope: scopes("openid offline_access"),
	}, secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	static := o.native()
	dynamic := o.client(flow.ClientConfig{ID: reg.ID, Secret: reg.Secret}, "")
	a, b := o.mustLogin(t, static, "openid offline_access"), o.mustLogin(t, dynamic, "openid offline_access")

	o.Stop()
	_, err = static.Refresh(t.Context(), a.Refresh, flow.Request{})
	if !flow.Temporary(err) || flow.NeedsLogin(err) || !httpc.Unsent(err) {
		t.Fatalf("while it is down: %v", err)
	}
	o.Restart()
	o.ClearLog()
	if _, err := static.Refresh(t.Context(), a.Refresh, flow.Request{}); !flow.NeedsLogin(err) {
		t.Errorf("known client: %v", err)
	}
	if _, err := dynamic.Refresh(t.Context(), b.Refresh, flow.Request{}); !flow.UnknownClient(err) || flow.Temporary(err) {
		t.Errorf("forgotten client: %v", err)
	}
	if n := len(o.Log("/token")); n != 2 {
		t.Errorf("%d requests for two refreshes: something loops", n)
	}
}

func unavailableFacts(t *testing.T, o *op) {
	c := o.native()
	tok := o.mustLogin(t, c, "openid offline_access")
	for name, body := range map[string]any{
		"with_JSON": nil, "without_body": "", "with_HTML": "<html><body>Service Unavailable</body></html>",
		"that_claims_invalid_grant": map[string]string{"error": "invalid_grant"},
	} {
		t.Run("503_"+name, func(t *testing.T) {
			o.Fault(services.Fault{Path: "/token", Status: 503, Times: 1, RetryAfter: 7, Body: body})
			o.ClearLog()
			_, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{})
			if !flow.Temporary(err) || flow.NeedsLogin(err) || flow.RetryAfter(err) != 7*time.Second {
				t.Fatalf("got %v, retry after %v", err, flow.RetryAfter(err))
			}
			if n := len(o.Log("/token")); n != 1 {
				t.Fatalf("%d requests", n)
			}
		})
	}
	o.ClearFaults()
	if _, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{}); err != nil {
		t.Fatalf("the token has survived: %v", err)
	}
}

// TestProviderStrictOffline: without prompt=consent the provider drops offline_access without a word.
func TestProviderStrictOffline(t *testing.T) {
	o := startOP(t, "OP_STRICT_OFFLINE=1")
	if tok := o.mustLogin(t, o.native(), "openid offline_access"); tok.Refresh.Empty() {
		t.Fatal("no refresh token: prompt=consent was not sent")
	}
}

// dpopFacts: an answer bound to a key is none to be used as a bearer token, but its refresh token is kept.
func dpopFacts(t *testing.T, o *op) {
	c := o.native()
	o.Fault(services.Fault{Path: "/token", Status: 200, Times: 1, Body: map[string]any{
		"access_token": "at", "token_type": "DPoP", "expires_in": 3600, "refresh_token": "next",
	}})
	tok, err := c.Refresh(t.Context(), secret.FromString("old"), flow.Request{})
	if !errors.Is(err, flow.ErrTokenType) || !tok.Access.Empty() || tok.Refresh.Expose() != "next" {
		t.Fatalf("%v, %v", tok, err)
	}
}
