package flow_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

func startCode(t *testing.T, c *flow.Client, edit ...func(*flow.CodeRequest)) *flow.CodeLogin {
	t.Helper()
	r := flow.CodeRequest{Request: flow.Request{Scope: []string{"profile"}}, RedirectURI: "http://localhost:4242"}
	for _, e := range edit {
		e(&r)
	}
	l, err := c.StartCode(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRedirect(t *testing.T) {
	f := newFake(t)
	const other = "https://attacker.example"
	tests := []struct {
		name     string
		promised bool // authorization_response_iss_parameter_supported
		edit     func(url.Values)
		want     error // nil: tokens
		open     bool  // the login can still be finished afterwards
	}{
		{"code_and_state", false, func(url.Values) {}, nil, false},
		{"right_issuer", true, func(q url.Values) { q.Set("iss", f.md.Issuer) }, nil, false},
		{"right_issuer_that_was_not_promised", false, func(q url.Values) { q.Set("iss", f.md.Issuer) }, nil, false},
		{"other_issuer", true, func(q url.Values) { q.Set("iss", other) }, flow.ErrIssuer, false},
		{"other_issuer_that_was_not_promised", false, func(q url.Values) { q.Set("iss", other) }, flow.ErrIssuer, false},
		{"promised_issuer_missing", true, func(url.Values) {}, flow.ErrIssuer, false},
		{"empty_issuer", false, func(q url.Values) { q.Set("iss", "") }, flow.ErrIssuer, false},
		{"other_state", false, func(q url.Values) { q.Set("state", "x") }, flow.ErrState, true},
		{"state_missing", false, func(q url.Values) { q.Del("state") }, flow.ErrState, true},
		{"state_twice", false, func(q url.Values) { q.Add("state", "x") }, flow.ErrState, true},
		{"code_twice", false, func(q url.Values) { q.Add("code", "x") }, flow.ErrState, true},
		{"no_code", false, func(q url.Values) { q.Del("code") }, flow.ErrAnswer, false},
		{"blank_code", false, func(q url.Values) { q.Set("code", " ") }, flow.ErrAnswer, false},
		{"refusal", false, func(q url.Values) { q.Set("error", "access_denied") }, flow.ErrAccessDenied, false},
		{"refusal_from_another_issuer", false, func(q url.Values) {
			q.Set("error", "access_denied")
			q.Set("iss", other)
		}, flow.ErrIssuer, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, `{"access_token":"at","token_type":"Bearer"}`)
			f.md.ResponseIssSupported = tt.promised
			l := startCode(t, f.client(t))
			q := url.Values{"state": {l.State}, "code": {"c0de"}}
			tt.edit(q)
			_, err := l.Finish(t.Context(), q)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if tt.want != nil && len(f.requests()) > 0 {
				t.Fatal("the code was sent all the same")
			}
			f.md.ResponseIssSupported = false
			_, err = l.Finish(t.Context(), url.Values{"state": {l.State}, "code": {"c0de"}})
			if open := !errors.Is(err, flow.ErrUsed); open != tt.open {
				t.Fatalf("afterwards: %v", err)
			}
		})
	}
}

func TestAuthorizationURL(t *testing.T) {
	f := newFake(t)
	query := func(t *testing.T, l *flow.CodeLogin) url.Values {
		t.Helper()
		u, err := url.Parse(l.URL)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	t.Run("every_login_has_its_own_values", func(t *testing.T) {
		c := f.client(t)
		openid := func(r *flow.CodeRequest) { r.Scope = []string{"openid"} }
		a, b := query(t, startCode(t, c, openid)), query(t, startCode(t, c, openid))
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if len(a.Get(name)) < 26 || a.Get(name) == b.Get(name) {
				t.Errorf("%s: %q, then %q", name, a.Get(name), b.Get(name))
			}
		}
		if a.Get("code_challenge_method") != "S256" || a.Get("response_type") != "code" {
			t.Errorf("%v", a)
		}
	})
	t.Run("no_nonce_for_plain_OAuth", func(t *testing.T) {
		c := f.client(t, func(cc *flow.ClientConfig, _ *flow.Options) { cc.OAuth2 = true })
		if q := query(t, startCode(t, c, func(r *flow.CodeRequest) { r.Scope = []string{"openid"} })); q.Has("nonce") {
			t.Fatal(q)
		}
	})
	t.Run("query_of_the_endpoint_stays", func(t *testing.T) {
		f.md.AuthorizationEndpoint = f.URL + "/auth?tenant=a"
		defer func() { f.md.AuthorizationEndpoint = f.URL + "/auth" }()
		if q := query(t, startCode(t, f.client(t))); q.Get("tenant") != "a" || q.Get("client_id") != "box" {
			t.Fatal(q)
		}
	})
	t.Run("custom_parameters_add_and_never_replace", func(t *testing.T) {
		c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) {
			o.Extra = func(request string) url.Values {
				return url.Values{
					"access_type": {"offline"}, "for": {request}, "state": {"fixed"}, "nonce": {"fixed"}, "scope": {"x"},
					"prompt": {"none"}, "code_challenge_method": {"plain"}, "client_id": {"other"},
				}
			}
		})
		l := startCode(t, c, func(r *flow.CodeRequest) { r.Scope, r.Prompt = []string{"openid"}, "login" })
		q := query(t, l)
		if q.Get("access_type") != "offline" || q.Get("for") != "auth_url" {
			t.Errorf("not added: %v", q)
		}
		for name, want := range map[string]string{
			"state": l.State, "scope": "openid", "prompt": "login", "code_challenge_method": "S256", "client_id": "box",
		} {
			if got := q[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if q.Get("nonce") == "fixed" || len(q["nonce"]) != 1 {
			t.Errorf("nonce %q", q["nonce"])
		}
	})
	t.Run("several_resources", func(t *testing.T) {
		want := []string{"https://a.example", "https://b.example"}
		q := query(t, startCode(t, f.client(t), func(r *flow.CodeRequest) { r.Audience = want }))
		if !slices.Equal(q["resource"], want) {
			t.Fatal(q)
		}
	})
	t.Run("resources_are_named_again_with_the_code", func(t *testing.T) { // RFC 8707 2.2
		want := []string{"https://a.example", "https://b.example"}
		f.answersJSON(200, `{"access_token":"at"}`)
		l := startCode(t, f.client(t), func(r *flow.CodeRequest) { r.Audience = want })
		if _, err := l.Finish(t.Context(), url.Values{"state": {l.State}, "code": {"c0de"}}); err != nil {
			t.Fatal(err)
		}
		if form := f.requests()[0].form; !slices.Equal(form["resource"], want) || form.Get("code") != "c0de" {
			t.Fatal(form)
		}
	})
}

func TestEndpoints(t *testing.T) {
	f := newFake(t)
	tests := []struct {
		name, issuer, endpoint string
		want                   error
	}{
		{"missing", f.URL, "", flow.ErrNoEndpoint},
		{"javascript", f.URL, "javascript:alert(1)", flow.ErrNoEndpoint},
		{"file", f.URL, "file:///etc/passwd", flow.ErrNoEndpoint},
		{"ftp", f.URL, "ftp://host/x", httpc.ErrInsecure},
		{"plain_http_of_an_https_issuer", "https://op.example", f.URL + "/auth", httpc.ErrInsecure},
		{"with_a_password", f.URL, "https://u:p@op.example/auth", flow.ErrNoEndpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			md := *f.md
			md.Issuer, md.AuthorizationEndpoint = tt.issuer, tt.endpoint
			c := flow.New(newHTTP(t, httpc.Options{}), &md, flow.ClientConfig{ID: "box"}, flow.Options{})
			_, err := c.StartCode(context.Background(), flow.CodeRequest{RedirectURI: "http://localhost:1"})
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "passwd") {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}
