package upstream_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// endless writes until nobody listens any more.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"access_token":"`))
	for piece := []byte(strings.Repeat("a", 64<<10)); ; {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// slow says nothing until nobody waits any more.
func slow(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// TestHostileLogin is a provider that answers a login in ways that must not become a mytoken.
func TestHostileLogin(t *testing.T) {
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, c := range []struct {
		name string
		set  func(f *fake)
		want func(error) bool
		kept bool // a refresh token was believed, and has to be revoked
	}{
		{"no_refresh_token", func(f *fake) { f.tokens = map[string]any{"refresh_token": nil} }, is(desk.ErrNoRefresh), false},
		{"wrong_nonce", func(f *fake) { f.id = map[string]any{"nonce": "another"} }, is(flow.ErrIDToken), false},
		{"no_nonce", func(f *fake) { f.id = map[string]any{"nonce": nil} }, is(flow.ErrIDToken), false},
		{"id_token_of_another_issuer", func(f *fake) { f.id = map[string]any{"iss": "https://evil.example"} }, is(flow.ErrIDToken), false},
		{"id_token_for_another_client", func(f *fake) { f.id = map[string]any{"aud": "other"} }, is(flow.ErrIDToken), false},
		{"subject_too_long", func(f *fake) { f.id = map[string]any{"sub": strings.Repeat("a", 300)} }, is(flow.ErrIDToken), false},
		{"userinfo_of_somebody_else", func(f *fake) {
			f.answer("/me", text(200, "application/json", `{"sub":"mallory","email":"m@example.org"}`))
		}, is(upstream.ErrSubject), true},
		{"no_subject_anywhere", func(f *fake) {
			f.tokens = map[string]any{"id_token": nil}
			f.answer("/me", text(200, "application/json", `{"email":"m@example.org"}`))
		}, is(desk.ErrNoSubject), true},
		{"userinfo_is_html", func(f *fake) {
			f.tokens = map[string]any{"id_token": nil}
			f.answer("/me", text(200, "text/html", `<html>log in</html>`))
		}, is(desk.ErrNoSubject), true},
		{"answer_is_html", func(f *fake) { f.answer("/token", text(200, "text/html", "<html>hello</html>")) }, is(flow.ErrAnswer), false},
		{"answer_leads_elsewhere", func(f *fake) {
			f.answer("/token", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example/token", http.StatusTemporaryRedirect)
			})
		}, func(err error) bool { var e *flow.Error; return errors.As(err, &e) && e.Status == 307 }, false},
		{"endless_answer", func(f *fake) { f.answer("/token", endless) }, is(httpc.ErrTooLarge), false},
		{"slow_answer", func(f *fake) { f.answer("/token", slow) }, httpc.Temporary, false},
		{"token_of_another_kind", func(f *fake) { f.tokens = map[string]any{"token_type": "DPoP"} }, is(flow.ErrTokenType), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			r := registry(t, upstream.Options{HTTP: httpc.Options{Timeout: 2 * time.Second}}, f.config())
			c.set(f)
			_, err := f.login(only(t, r), draft("compute.read"))
			if err == nil || !c.want(err) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "the refresh token") || strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("the error has a secret: %v", err)
			}
			revoked := len(f.forms("/revoke")) > 0
			if revoked != c.kept {
				t.Fatalf("revoked: %v", revoked)
			}
		})
	}
}

// TestHostileRedirect is a browser that comes back with something else than it should.
func TestHostileRedirect(t *testing.T) {
	f := newFake(t)
	f.metadata["authorization_response_iss_parameter_supported"] = true
	p := f.provider()
	for _, c := range []struct {
		name  string
		query url.Values
		want  error
	}{
		{"state_of_another_login", url.Values{"state": {"other"}, "iss": {f.URL}}, flow.ErrState},
		{"state_twice", url.Values{"state": {"other", "other"}, "iss": {f.URL}}, flow.ErrState},
		{"code_twice", url.Values{"code": {"a", "b"}, "iss": {f.URL}}, flow.ErrState},
		{"from_another_issuer", url.Values{"iss": {"https://evil.example"}}, flow.ErrIssuer},
		{"does_not_say_from_whom", nil, flow.ErrIssuer},
		{"refused", url.Values{"iss": {f.URL}, "code": nil, "error": {"access_denied"}}, flow.ErrAccessDenied},
		{"neither_code_nor_error", url.Values{"iss": {f.URL}, "code": {""}}, flow.ErrAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := draft("openid")
			if _, err := p.Start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Finish(t.Context(), landing(s, c.query)); !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
			if n := len(f.forms("/token")); n != 0 {
				t.Fatalf("%d requests for tokens were sent", n)
			}
		})
	}
}

func candidate(scopes string, audience ...string) rules.Candidate {
	return rules.Candidate{Scopes: strings.Fields(scopes), Audience: audience}
}

// TestHostileAccess is a provider that gives something else than was asked for: nothing of it may be handed out.
func TestHostileAccess(t *testing.T) {
	const se = "https://se.example.org"
	for _, c := range []struct {
		name  string
		set   func(f *fake)
		asked rules.Candidate
		want  error // nil: it is what was asked for
	}{
		{"as_asked", func(f *fake) { f.at = map[string]any{"scope": "storage.read:/a"} }, candidate("storage.read:/a", se), nil},
		{"opaque", func(*fake) {}, candidate("storage.read:/a", se), nil},
		{"narrower_path_is_as_asked", func(f *fake) { f.tokens = map[string]any{"scope": "storage.read:/a openid"} }, candidate("storage.read:/a"), nil},
		{"more_scopes", func(f *fake) { f.tokens = map[string]any{"scope": "compute.read compute.create"} }, candidate("compute.read"), rules.ErrExcess},
		{"wider_path", func(f *fake) { f.tokens = map[string]any{"scope": "storage.read:/"} }, candidate("storage.read:/a"), rules.ErrExcess},
		{"fewer_scopes", func(f *fake) { f.tokens = map[string]any{"scope": "compute.read"} }, candidate("compute.read compute.create"), rules.ErrWithheld},
		{"more_in_the_token_than_in_the_answer", func(f *fake) { f.at = map[string]any{"scope": "compute.read compute.create"} }, candidate("compute.read"), rules.ErrExcess},
		{"no_scope_in_the_answer_more_in_the_token", func(f *fake) {
			f.tokens = map[string]any{"scope": nil}
			f.at = map[string]any{"scope": []string{"compute.read", "compute.create"}}
		}, candidate("compute.read"), rules.ErrExcess},
		{"scopes_the_provider_always_adds", func(f *fake) { f.tokens = map[string]any{"scope": "compute.read profile openid"} }, candidate("compute.read"), nil},
		{"one_it_always_adds_was_asked_for_and_is_missing", func(f *fake) { f.tokens = map[string]any{"scope": "compute.read"} }, candidate("compute.read profile"), rules.ErrWithheld},
		{"another_audience", func(f *fake) { f.at = map[string]any{"aud": "https://evil.example"} }, candidate("", se), rules.ErrExcess},
		{"one_audience_more", func(f *fake) { f.at = map[string]any{"aud": []string{se, "https://evil.example"}} }, candidate("", se), rules.ErrExcess},
		{"no_audience", func(f *fake) { f.at = map[string]any{"aud": nil} }, candidate("", se), rules.ErrWithheld},
		{"any_audience", func(f *fake) { f.at = map[string]any{"aud": "https://wlcg.cern.ch/jwt/v1/any"} }, candidate("", se), rules.ErrExcess},
		{"audience_the_provider_always_adds", func(f *fake) { f.at = map[string]any{"aud": []string{se, "account"}} }, candidate("", se), nil},
		{"only_the_one_it_always_adds", func(f *fake) { f.at = map[string]any{"aud": "account"} }, candidate("", se), rules.ErrWithheld},
		{"token_that_reads_two_ways", func(f *fake) {
			f.tokens = map[string]any{"access_token": "e30.eyJhdWQiOiJhIiwiYXVkIjoiYiJ9.c2ln"} // {"aud":"a","aud":"b"}
		}, candidate("", "a"), rules.ErrWithheld},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			p := f.provider(func(c *upstream.Config) { c.Extra, c.ExtraScopes = []string{"account"}, []string{"profile"} })
			c.set(f)
			req, err := p.Ask(c.asked)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Refresh(t.Context(), secret.FromString("rt"), req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Check(c.asked, got)
			if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestHostileClaims is claim sources that cannot be relied on: what is enforced is then not known, and nobody gets in.
func TestHostileClaims(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"html", text(200, "text/html", "<html>")},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}},
		{"fails", text(500, "application/json", `{"groups":["admins"]}`)},
		{"claim_is_a_number", text(200, "application/json", `{"groups":17}`)},
		{"claim_is_an_object", text(200, "application/json", `{"groups":{"a":"b"}}`)},
		{"claim_is_there_twice", text(200, "application/json", `{"groups":"a","groups":"admins"}`)},
		{"too_many_values", text(200, "application/json", `{"groups":["`+strings.Repeat(`a`, 2000)+`"]}`)},
		{"endless", endless},
		{"slow", slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.answer("/claims", c.answer)
			conf := f.config()
			conf.Sources = []upstream.Source{{URL: f.URL + "/claims", Claim: "groups"}}
			conf.Enforced = upstream.Enforced{Templates: []upstream.Mapping{{Value: "admins", Template: ""}}, Default: "tight"}
			p := only(t, registry(t, upstream.Options{HTTP: httpc.Options{Timeout: 2 * time.Second}}, conf))
			if _, err := f.login(p, draft("openid")); !errors.Is(err, upstream.ErrClaims) {
				t.Fatalf("got %v", err)
			}
			if len(f.forms("/revoke")) == 0 {
				t.Fatal("the refresh token was not revoked")
			}
		})
	}
}
