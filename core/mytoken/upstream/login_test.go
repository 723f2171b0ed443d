package upstream_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

func TestLogin(t *testing.T) {
	t.Run("who_has_logged_in", func(t *testing.T) {
		f := newFake(t)
		a, err := f.login(f.provider(), draft("compute.read", "se"))
		if err != nil {
			t.Fatal(err)
		}
		if a.Subject != "alice" || a.Email != "alice@example.org" || !a.Verified || a.Refresh.Empty() || a.Template != "" {
			t.Fatalf("%+v", a)
		}
		if age := time.Since(a.AuthTime); age < 30*time.Second || age > 5*time.Minute {
			t.Fatalf("logged in %v ago", age)
		}
	})
	t.Run("what_is_asked_for", func(t *testing.T) {
		f := newFake(t)
		s := draft("compute.read", "se")
		to, err := f.provider().Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"scope": "openid compute.read offline_access", "audience": "se", "prompt": "consent", "client_id": "box",
			"state": s.State.Expose(), "nonce": s.Nonce.Expose(), "redirect_uri": redirectURI, "response_type": "code",
			"code_challenge_method": "S256", "resource": "",
		} {
			if got := query(t, to).Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if strings.Contains(to, s.Verifier.Expose()) {
			t.Error("the verifier is in the URL")
		}
	})
	t.Run("scopes_of_the_provider_where_none_is_named", func(t *testing.T) {
		f := newFake(t)
		p := f.provider(func(c *upstream.Config) { c.Scopes = []string{"openid", "storage.read:/"} })
		to, err := p.Start(t.Context(), draft(""))
		if err != nil || query(t, to).Get("scope") != "openid storage.read:/ offline_access" {
			t.Fatalf("%s %v", to, err)
		}
		if info := p.Info(); fmt.Sprint(info.Scopes) != "[storage.read:/]" {
			t.Fatalf("%v", info.Scopes)
		}
	})
	t.Run("google", func(t *testing.T) {
		f := newFake(t)
		p := f.provider(func(c *upstream.Config) { c.Kind, c.Audience = "google", "" })
		to, err := p.Start(t.Context(), draft("profile"))
		if err != nil {
			t.Fatal(err)
		}
		q := query(t, to)
		if q.Get("access_type") != "offline" || q.Get("scope") != "openid profile" || q.Get("prompt") != "consent" {
			t.Fatalf("%v", q)
		}
	})
	t.Run("subject_from_a_signed_access_token", func(t *testing.T) {
		f := newFake(t)
		f.tokens = map[string]any{"id_token": nil}
		f.at = map[string]any{"sub": "bob", "email": "bob@example.org"}
		a, err := f.login(f.provider(), draft("openid"))
		if err != nil || a.Subject != "bob" || a.Email != "bob@example.org" {
			t.Fatalf("%+v %v", a, err)
		}
	})
	t.Run("no_subject_from_an_access_token_that_anybody_wrote", func(t *testing.T) {
		f, other := newFake(t), newFake(t)
		other.at = map[string]any{}
		forged := other.sign("at+jwt", map[string]any{"iss": f.URL, "sub": "mallory", "aud": "x"})
		f.tokens = map[string]any{"id_token": nil, "access_token": forged}
		a, err := f.login(f.provider(), draft("openid"))
		if err != nil || a.Subject != "alice" { // of userinfo
			t.Fatalf("%+v %v", a, err)
		}
	})
	t.Run("userinfo_that_fails_costs_only_the_mail_address", func(t *testing.T) {
		f := newFake(t)
		f.answer("/me", text(500, "text/plain", "no"))
		a, err := f.login(f.provider(), draft("openid"))
		if err != nil || a.Subject != "alice" || a.Email != "" {
			t.Fatalf("%+v %v", a, err)
		}
	})
	t.Run("granted_without_audience_asked", func(t *testing.T) {
		f := newFake(t)
		f.at = map[string]any{"aud": "any"}
		a, err := f.login(f.provider(), draft("compute.read"))
		if err != nil || a.Granted.Audience != nil || a.Granted.Scopes != nil && len(a.Granted.Scopes) == 0 {
			t.Fatalf("%+v %v", a.Granted, err)
		}
		a, err = f.login(f.provider(), draft("compute.read", "any"))
		if err != nil || fmt.Sprint(a.Granted.Audience) != "[any]" {
			t.Fatalf("%+v %v", a.Granted, err)
		}
	})
}

func TestEnforced(t *testing.T) {
	f := newFake(t)
	f.answer("/claims", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer opaque-") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, 200, map[string]any{"groups": []string{"users", "staff"}, "none": nil})
	})
	templates := []upstream.Mapping{{Value: "admins", Template: ""}, {Value: "staff", Template: "wide"}, {Value: "users", Template: "tight"}}
	for _, c := range []struct {
		name   string
		source upstream.Source
		e      upstream.Enforced
		want   string
		err    error
	}{
		{"first_in_the_order_of_the_operator", upstream.Source{URL: "/claims", Claim: "groups"}, upstream.Enforced{Templates: templates}, "wide", nil},
		{"default", upstream.Source{URL: "/claims", Claim: "none"}, upstream.Enforced{Templates: templates, Default: "least"}, "least", nil},
		{"nothing_known_no_default", upstream.Source{URL: "/claims", Claim: "none"}, upstream.Enforced{Templates: templates}, "", nil},
		{"forbidden", upstream.Source{URL: "/claims", Claim: "none"}, upstream.Enforced{Templates: templates, Default: "least", Forbid: true}, "", desk.ErrAttributes},
		{"userinfo", upstream.Source{Claim: "email"}, upstream.Enforced{Templates: []upstream.Mapping{{Value: "alice@example.org", Template: "hers"}}}, "hers", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.source.URL != "" {
				c.source.URL = f.URL + c.source.URL
			}
			p := f.provider(func(conf *upstream.Config) { conf.Sources, conf.Enforced = []upstream.Source{c.source}, c.e })
			a, err := f.login(p, draft("openid"))
			if !errors.Is(err, c.err) || a.Template != c.want {
				t.Fatalf("%q, %v", a.Template, err)
			}
		})
	}
}

func TestDevice(t *testing.T) {
	f := newFake(t)
	p := f.provider()
	f.answer("/device", text(200, "application/json",
		`{"device_code":"dc","user_code":"ABCD","verification_uri":"https://op.example/d","expires_in":600,"interval":1}`))
	d, err := p.StartDevice(t.Context(), draft("compute.read", "se"))
	if err != nil || d.UserCode != "ABCD" || !p.Info().Device {
		t.Fatalf("%+v %v", d, err)
	}
	if form := f.forms("/device")[0]; form.Get("scope") != "openid compute.read offline_access" || form.Get("audience") != "se" {
		t.Fatalf("sent %v", form)
	}
	// Another process polls with what was kept.
	kept := desk.Device{Code: secret.FromString("dc"), Expires: d.Expires, Scopes: d.Scopes, Audience: d.Audience}
	for _, c := range []struct {
		said string
		want error
	}{
		{"authorization_pending", desk.ErrPending},
		{"slow_down", desk.ErrSlowDown},
		{"access_denied", flow.ErrAccessDenied},
		{"expired_token", flow.ErrExpiredCode},
	} {
		f.answer("/token", text(400, "application/json", `{"error":"`+c.said+`"}`))
		if _, err := p.PollDevice(t.Context(), kept, desk.Origin{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.said, err)
		}
	}
	f.answer("/token", nil)
	a, err := p.PollDevice(t.Context(), kept, desk.Origin{})
	if err != nil || a.Subject != "alice" || a.Refresh.Empty() {
		t.Fatalf("%+v %v", a, err)
	}
	forms := f.forms("/token")
	if last := forms[len(forms)-1]; last.Get("device_code") != "dc" || last.Get("audience") != "se" {
		t.Fatalf("sent %v", last)
	}
	delete(f.metadata, "device_authorization_endpoint")
	without := f.provider()
	if _, err := without.StartDevice(t.Context(), draft("openid")); !errors.Is(err, desk.ErrNoDevice) || without.Info().Device {
		t.Fatalf("got %v", err)
	}
}

// guests is two processes of one server.
func guests(t *testing.T) (*upstream.Guest, *upstream.Provider, *upstream.Provider) {
	t.Helper()
	const issuer = "https://mytoken.example.org" + upstream.GuestPath
	g := upstream.Guest{Issuer: issuer, RedirectURI: redirectURI, Key: secret.New([]byte(strings.Repeat("k", 32)))}
	one, two := g, g
	return &g, only(t, registry(t, upstream.Options{Guest: &one})), only(t, registry(t, upstream.Options{Guest: &two}))
}

// visit is a browser at the guest provider.
func visit(t *testing.T, g *upstream.Guest, to string) url.Values {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, to, nil))
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), redirectURI+"?") {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	return query(t, w.Header().Get("Location"))
}

func TestGuest(t *testing.T) {
	g, one, two := guests(t)
	s := draft("compute.read", "se")
	to, err := one.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	f := landing(s, nil)
	f.Query = visit(t, g, to)
	a, err := two.Finish(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("who", func(t *testing.T) {
		if !one.Info().Guest || one.Info().Down || a.Subject != upstream.GuestSubject(netip.MustParseAddr("::ffff:192.0.2.7")) ||
			!strings.HasPrefix(a.Subject, "guest-") || a.Email != "" {
			t.Fatalf("%+v", a)
		}
	})
	t.Run("refresh_in_any_process", func(t *testing.T) {
		asked := candidate("compute.read", "se")
		req, err := one.Ask(asked)
		if err != nil {
			t.Fatal(err)
		}
		next, err := one.Refresh(t.Context(), a.Refresh, req)
		if err != nil || next.Refresh.Equal(a.Refresh) || next.Access.Empty() {
			t.Fatalf("%+v %v", next, err)
		}
		if _, err := one.Check(asked, next); err != nil {
			t.Fatal(err)
		}
		again, err := two.Refresh(t.Context(), next.Refresh, req)
		if err != nil || again.Access.Equal(next.Access) {
			t.Fatal(err)
		}
	})
	t.Run("a_refresh_token_of_a_stranger", func(t *testing.T) {
		for _, rt := range []string{"", "x", strings.Repeat("A", 200), strings.Repeat("A", 1<<20), f.Query.Get("code")} {
			if _, err := one.Refresh(t.Context(), secret.FromString(rt), flow.Request{}); !flow.NeedsLogin(err) {
				t.Errorf("%.20q: %v", rt, err)
			}
		}
	})
	t.Run("code_of_another_login", func(t *testing.T) {
		other := landing(draft("openid"), nil)
		other.Query.Set("code", f.Query.Get("code"))
		if _, err := two.Finish(t.Context(), other); !flow.NeedsLogin(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("no_address_no_guest", func(t *testing.T) {
		nobody := f
		nobody.From.Client = netip.Addr{}
		if _, err := two.Finish(t.Context(), nobody); !errors.Is(err, desk.ErrNoSubject) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("code_that_is_too_old", func(t *testing.T) {
		late := *g
		late.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
		p := only(t, registry(t, upstream.Options{Guest: &late}))
		if _, err := p.Finish(t.Context(), f); !flow.NeedsLogin(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("the_browser_is_sent_nowhere_else", func(t *testing.T) {
		for name, value := range map[string]string{
			"redirect_uri": "https://evil.example/", "client_id": "other", "response_type": "token",
			"code_challenge": "", "code_challenge_method": "plain",
		} {
			q := query(t, to)
			q.Set(name, value)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, upstream.GuestPath+"/auth?"+q.Encode(), nil))
			if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
				t.Errorf("%s: %d", name, w.Code)
			}
		}
	})
	t.Run("not_revoked_is_said", func(t *testing.T) {
		if err := one.Revoke(t.Context(), a.Refresh); !errors.Is(err, flow.ErrNoEndpoint) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("settings", func(t *testing.T) {
		for _, bad := range []upstream.Guest{{}, {Issuer: "https://a", RedirectURI: "https://b", Key: secret.FromString("short")}} {
			if _, err := upstream.New(nil, upstream.Options{Guest: &bad}); !errors.Is(err, upstream.ErrConfig) {
				t.Errorf("got %v", err)
			}
		}
	})
}
