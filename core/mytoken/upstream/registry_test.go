package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// eventually waits for what a background search comes to.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// quick searches again at once.
func quick() upstream.Options {
	return upstream.Options{MinRetry: time.Millisecond, MaxRetry: 5 * time.Millisecond, Renew: 5 * time.Millisecond}
}

func TestDegraded(t *testing.T) {
	f := newFake(t)
	f.answer("/.well-known/openid-configuration", text(503, "text/html", "<h1>maintenance \x1b[31m</h1>"))
	r := registry(t, quick(), f.config())
	p := only(t, r)

	t.Run("the_server_starts_and_says_so", func(t *testing.T) {
		bad := r.Degraded()
		if len(bad) != 1 || bad[0].Name != "fake" || !strings.Contains(bad[0].Reason, "503") || bad[0].Next.IsZero() {
			t.Fatalf("%+v", bad)
		}
		if strings.ContainsRune(bad[0].Reason, '\x1b') || len(bad[0].Reason) > 400 {
			t.Fatalf("reason %q", bad[0].Reason)
		}
		if info := r.Providers(); !info[0].Down || info[0].Issuer != f.URL {
			t.Fatalf("%+v", info)
		}
	})
	t.Run("nothing_is_sent_meanwhile", func(t *testing.T) {
		_, start := p.Start(t.Context(), draft("openid"))
		_, finish := p.Finish(t.Context(), landing(draft("openid"), nil))
		_, ask := p.Ask(candidate("openid"))
		_, refresh := p.Refresh(t.Context(), secret.FromString("rt"), flow.Request{})
		revoke := p.Revoke(t.Context(), secret.FromString("rt"))
		_, device := p.StartDevice(t.Context(), draft("openid"))
		for name, err := range map[string]error{
			"start": start, "finish": finish, "ask": ask, "refresh": refresh, "revoke": revoke, "device": device,
		} {
			if !errors.Is(err, desk.ErrDown) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(f.forms("/token")) + len(f.forms("/revoke")) + len(f.forms("/device")); n > 0 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("it_comes_back_by_itself", func(t *testing.T) {
		f.answer("/.well-known/openid-configuration", nil)
		eventually(t, "ready", func() bool { return len(r.Degraded()) == 0 })
		if _, err := p.Start(t.Context(), draft("openid")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("one_that_was_found_stays_in_use", func(t *testing.T) {
		f.answer("/.well-known/openid-configuration", text(503, "text/plain", "again"))
		eventually(t, "the failure is noted", func() bool { return r.Status()[0].Reason != "" })
		if len(r.Degraded()) != 0 {
			t.Fatal("degraded")
		}
		if _, err := p.Start(t.Context(), draft("openid")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHostileDiscovery is documents by which nobody may log in.
func TestHostileDiscovery(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, c := range []struct {
		name string
		set  func(f *fake)
		says string
	}{
		{"of_another_issuer", func(f *fake) { f.metadata["issuer"] = other.URL }, other.URL},
		{"slash_at_the_end", func(f *fake) { f.metadata["issuer"] = f.URL + "/" }, `/"`},
		{"no_token_endpoint", func(f *fake) { delete(f.metadata, "token_endpoint") }, "no endpoints"},
		{"html", func(f *fake) {
			f.answer("/.well-known/openid-configuration", text(200, "text/html", "<html>"))
		}, "no discovery document"},
		{"endless", func(f *fake) { f.answer("/.well-known/openid-configuration", endless) }, "larger"},
		{"slow", func(f *fake) { f.answer("/.well-known/openid-configuration", slow) }, "no complete answer"},
		{"to_this_machine_by_file", func(f *fake) { f.metadata["token_endpoint"] = "file:///etc/passwd" }, "not an absolute URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			c.set(f)
			o := upstream.Options{HTTP: httpc.Options{Timeout: time.Second}}
			bad := registry(t, o, f.config()).Degraded()
			if len(bad) != 1 || !strings.Contains(bad[0].Reason, c.says) {
				t.Fatalf("%+v", bad)
			}
		})
	}
}

func TestProvider(t *testing.T) {
	f := newFake(t)
	r := registry(t, upstream.Options{}, f.config())
	t.Run("with_and_without_slash", func(t *testing.T) {
		for _, iss := range []string{f.URL, f.URL + "/"} {
			if p, ok := r.Provider(iss); !ok || p.Info().Issuer != f.URL {
				t.Errorf("%s: %v", iss, ok)
			}
		}
	})
	t.Run("unknown", func(t *testing.T) {
		for _, iss := range []string{"", "https://other.example", f.URL + "//", f.URL + "/x", strings.ToUpper(f.URL)} {
			if _, ok := r.Provider(iss); ok {
				t.Errorf("%q is known", iss)
			}
		}
	})
}

func TestClose(t *testing.T) {
	f := newFake(t)
	f.answer("/.well-known/openid-configuration", slow)
	r, err := upstream.New([]upstream.Config{f.config()}, upstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { r.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits for a provider that says nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.Settled(ctx) // returns, whatever it says
}

// TestConfig is what an operator may get wrong: all of it is said at once.
func TestConfig(t *testing.T) {
	good := upstream.Config{Issuer: "https://op.example", ClientID: "box"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*upstream.Config)
		says string
	}{
		{"http", func(c *upstream.Config) { c.Issuer = "http://op.example" }, "https"},
		{"no_issuer", func(c *upstream.Config) { c.Issuer = "" }, "issuer"},
		{"query_in_issuer", func(c *upstream.Config) { c.Issuer += "?a=b" }, "query"},
		{"no_client", func(c *upstream.Config) { c.ClientID = "" }, "client_id"},
		{"kind", func(c *upstream.Config) { c.Kind = "keyclok" }, "keyclok"},
		{"style", func(c *upstream.Config) { c.Audience = "aud" }, "aud"},
		{"method", func(c *upstream.Config) { c.Method = "tls_client_auth" }, "tls_client_auth"},
		{"basic_without_secret", func(c *upstream.Config) { c.Method = upstream.MethodBasic }, "secret"},
		{"key_without_key", func(c *upstream.Config) { c.Method = upstream.MethodKey }, "key"},
		{"two_scopes_in_one", func(c *upstream.Config) { c.Scopes = []string{"a b"} }, "a b"},
		{"claims_by_http", func(c *upstream.Config) {
			c.Sources = []upstream.Source{{URL: "http://169.254.169.254/latest", Claim: "a"}}
		}, "not https"},
		{"claims_by_file", func(c *upstream.Config) { c.Sources = []upstream.Source{{URL: "file:///etc/passwd", Claim: "a"}} }, "https"},
		{"no_claim", func(c *upstream.Config) { c.Sources = []upstream.Source{{}} }, "claim"},
		{"enforced_for_whom", func(c *upstream.Config) { c.Enforced.Forbid = true }, "claim source"},
		{"assertion", func(c *upstream.Config) { c.Assertion = "them" }, "them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := good
			c.edit(&conf)
			_, err := upstream.New([]upstream.Config{conf, {}}, nowhere())
			if !errors.Is(err, upstream.ErrConfig) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), `""`) {
				t.Fatalf("the fault of the other provider is not said: %v", err)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		again := good
		again.Issuer += "/"
		if _, err := upstream.New([]upstream.Config{good, again}, nowhere()); !errors.Is(err, upstream.ErrConfig) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestAccepts is restrictions that a provider cannot be held to: refused before anybody logs in.
func TestAccepts(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		name     string
		style    upstream.Style
		audience string
		ok       bool
		sent     map[string]string // parameter of the authorization request
	}{
		{"uri_as_resource", upstream.Resource, "https://se.example.org", true, map[string]string{"resource": "https://se.example.org"}},
		{"name_never_as_resource", upstream.Resource, "fedcloud", false, nil},
		{"host_never_as_resource", upstream.Resource, "se.cern.ch", false, nil},
		{"host_and_port_never_as_resource", upstream.Resource, "se.cern.ch:8443", false, nil},
		{"name_as_audience", upstream.ResourceOrAudience, "fedcloud", true, map[string]string{"audience": "fedcloud"}},
		{"host_and_port_as_audience", upstream.ResourceOrAudience, "se.cern.ch:8443", true, map[string]string{"audience": "se.cern.ch:8443"}},
		{"uri_as_resource_or_audience", upstream.ResourceOrAudience, "https://se.example.org", true, map[string]string{"resource": "https://se.example.org"}},
		{"uri_as_audience", upstream.Audience, "https://se.example.org", true, map[string]string{"audience": "https://se.example.org"}},
		{"none", upstream.None, "https://se.example.org", false, nil},
		{"two_in_one", upstream.Audience, "a b", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := f.provider(func(conf *upstream.Config) { conf.Audience = c.style })
			if p.Info().ResourceOnly != (c.style == upstream.Resource) {
				t.Error("ResourceOnly")
			}
			err := p.Info().Accepts(restrictions("", c.audience))
			if (err == nil) != c.ok || err != nil && !errors.Is(err, rules.ErrClauses) {
				t.Fatalf("got %v", err)
			}
			to, err := p.Start(t.Context(), draft("openid", c.audience))
			_, ask := p.Ask(candidate("", c.audience))
			if !c.ok {
				if !errors.Is(err, flow.ErrAudience) || !errors.Is(ask, flow.ErrAudience) {
					t.Fatalf("started all the same: %v, %v", err, ask)
				}
				return
			}
			if err != nil || ask != nil {
				t.Fatal(err, ask)
			}
			q := query(t, to)
			for _, name := range []string{"audience", "resource"} {
				if q.Get(name) != c.sent[name] {
					t.Errorf("%s is %q", name, q.Get(name))
				}
			}
		})
	}
	t.Run("clauses_with_different_scopes_where_none_narrows", func(t *testing.T) {
		fixed := true
		p := f.provider(func(c *upstream.Config) { c.Fixed = &fixed })
		if err := p.Accepts(append(restrictions("a b", ""), restrictions("b a", "")...)); err != nil {
			t.Errorf("same scopes: %v", err)
		}
		if err := p.Accepts(append(restrictions("a b", ""), restrictions("a", "")...)); !errors.Is(err, rules.ErrClauses) {
			t.Errorf("different scopes: %v", err)
		}
		if req, err := p.Ask(candidate("a")); err != nil || len(req.Scope) > 0 {
			t.Errorf("%v %v", req.Scope, err)
		}
	})
}

func TestHabit(t *testing.T) {
	f := newFake(t)
	p := f.provider()
	refresh := func() {
		if _, err := p.Refresh(t.Context(), secret.FromString("rt"), flow.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	f.tokens = map[string]any{"refresh_token": nil}
	refresh()
	if h := p.Habit(); h != custody.HabitUnknown {
		t.Fatalf("after one: %v", h)
	}
	refresh()
	refresh()
	if h := p.Habit(); h != custody.HabitKeeps {
		t.Fatalf("after three: %v", h)
	}
	f.tokens = map[string]any{"refresh_token": "another"}
	refresh()
	if h := p.Habit(); h != custody.HabitRotates {
		t.Fatalf("after a new one: %v", h)
	}
	keeps := f.provider(func(c *upstream.Config) { c.Habit = custody.HabitKeeps })
	if h := keeps.Habit(); h != custody.HabitKeeps {
		t.Fatalf("told: %v", h)
	}
}

// TestBefore: a configuration that is read anew while a provider is down costs nobody anything.
func TestBefore(t *testing.T) {
	f := newFake(t)
	old := registry(t, upstream.Options{}, f.config())
	f.tokens = map[string]any{"refresh_token": "another"}
	if _, err := only(t, old).Refresh(t.Context(), secret.FromString("rt"), flow.Request{}); err != nil {
		t.Fatal(err)
	}
	f.answer("/.well-known/openid-configuration", text(503, "text/plain", "no"))
	other := newFake(t)
	other.answer("/.well-known/openid-configuration", text(503, "text/plain", "no"))
	second := other.config()
	second.Name = "other"
	next := registry(t, upstream.Options{Before: old}, f.config(), second)
	old.Close()
	if bad := next.Degraded(); len(bad) != 1 || bad[0].Name != "other" {
		t.Fatalf("%+v", bad)
	}
	p := only(t, next)
	if _, err := p.Start(t.Context(), draft("openid")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Refresh(t.Context(), secret.FromString("rt"), flow.Request{}); err != nil {
		t.Fatal(err)
	}
	if h := only(t, next).Habit(); h != custody.HabitRotates {
		t.Fatalf("habit %v", h)
	}
}
