package issuer_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

func TestTokenRefuses(t *testing.T) {
	s := issuertest.Start(t)
	cases := []struct {
		name           string
		client, secret string
		form           url.Values
		status         int
		code           string
	}{
		{"no grant type", "web", "web-secret", url.Values{}, 400, "invalid_request"},
		{"password grant", "web", "web-secret", url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"grant of others", "native", "", url.Values{"grant_type": {"client_credentials"}}, 400, "unauthorized_client"},
		{"no client", "", "", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"unknown client", "x", "y", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"wrong secret", "web", "web-Secret", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"no secret", "web", "", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"a secret from a public client", "native", "x", codeForm("y"), 401, "invalid_client"},
		{
			"two ways to authenticate", "web", "web-secret",
			url.Values{"client_secret": {"web-secret"}, "grant_type": {"client_credentials"}},
			400, "invalid_request",
		},
		{"two names", "web", "web-secret", url.Values{"client_id": {"native"}}, 401, "invalid_client"},
		{"an assertion", "", "", url.Values{"client_assertion": {"x"}, "client_id": {"web"}}, 401, "invalid_client"},
		{"no code", "native", "", codeForm(""), 400, "invalid_request"},
		{"a made-up code", "native", "", codeForm("made-up"), 400, "invalid_grant"},
		{"no refresh token", "native", "", url.Values{"grant_type": {"refresh_token"}}, 400, "invalid_request"},
		{
			"a made-up refresh token", "native", "",
			refreshForm(secret.FromString(strings.Repeat("A", 80))), 400, "invalid_grant",
		},
		{"no device code", "native", "", url.Values{"grant_type": {issuer.GrantDevice}}, 400, "invalid_grant"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, s.Token(c.client, c.secret, clone(c.form)), c.status, c.code)
		})
	}
	t.Run("a challenge for who used HTTP Basic", func(t *testing.T) {
		a := s.Token("web", "wrong", url.Values{})
		if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("WWW-Authenticate is %q", a.Header.Get("WWW-Authenticate"))
		}
	})
	t.Run("repeated parameter", func(t *testing.T) {
		f := codeForm("x")
		f["code"] = []string{"x", "y"}
		wantError(t, s.Token("", "", f), 400, "invalid_request")
	})
	t.Run("JSON", func(t *testing.T) {
		r := postForm(t, s.URL+"/token", url.Values{})
		r.Header.Set("Content-Type", "application/json")
		wantError(t, s.Do(r), 400, "invalid_request")
	})
	t.Run("secrets in the query do not count", func(t *testing.T) {
		q := with(credentials(), "client_id", "service", "client_secret", "service-secret")
		r := postForm(t, s.URL+"/token?"+q.Encode(), url.Values{})
		wantError(t, s.Do(r), 401, "invalid_client")
	})
	t.Run("too large", func(t *testing.T) {
		wantError(t, s.Token("", "", codeForm(strings.Repeat("x", 70_000))), 413, "invalid_request")
	})
	t.Run("by GET", func(t *testing.T) {
		if resp := get(t, s.URL+"/token"); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
}

func TestClientAuthenticationByForm(t *testing.T) {
	s := issuertest.Start(t)
	wantOK(t, s.Token("", "", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"service"}, "client_secret": {"service-secret"},
	}))
}

func TestCodeIsBoundToItsRequest(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	cases := []struct{ name, param, value string }{
		{"another redirect URI", "redirect_uri", "http://127.0.0.1:5001/cb"},
		{"no redirect URI", "redirect_uri", ""},
		{"another verifier", "code_verifier", strings.Repeat("x", 43)},
		{"no verifier", "code_verifier", ""},
		{"the challenge as verifier", "code_verifier", challenge()},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			code := code(t, s)
			wantError(t, s.Token("", "", codeForm(code, x.param, x.value)), 400, "invalid_grant")
			// Who has the code but not the rest does not take it from its owner.
			wantOK(t, s.Token("", "", codeForm(code)))
		})
	}
	t.Run("another client", func(t *testing.T) {
		wantError(t, s.Token("web", "web-secret", with(codeForm(code(t, s)), "client_id", "")), 400, "invalid_grant")
	})
	t.Run("a verifier where no challenge was", func(t *testing.T) {
		q := authQuery("client_id", "web", "code_challenge", "", "code_challenge_method", "")
		back := parse(t, s.Login(s.URL+"/authorize?"+q.Encode(), "alice"))
		f := codeForm(back.Query().Get("code"), "client_id", "")
		wantError(t, s.Token("web", "web-secret", f), 400, "invalid_grant")
	})
	t.Run("too late", func(t *testing.T) {
		code := code(t, s)
		c.pass(time.Minute)
		wantError(t, s.Token("", "", codeForm(code)), 400, "invalid_grant")
	})
}

func TestCodeTwiceRevokesWhatItGave(t *testing.T) {
	s := issuertest.Start(t)
	code := code(t, s)
	a := s.Token("", "", codeForm(code))
	at := wantOK(t, a)
	wantError(t, s.Token("", "", codeForm(code)), 400, "invalid_grant")
	wantError(t, s.Token("native", "", refreshForm(text(a, "refresh_token"))), 400, "invalid_grant")
	if active(t, s, at) {
		t.Error("the access token is still active")
	}
}

func active(t *testing.T, s *issuertest.Server, token secret.Text) bool {
	t.Helper()
	a := s.Post("/introspect", "rs", "rs-secret", url.Values{"token": {token.Expose()}})
	if a.Status != http.StatusOK {
		t.Fatalf("introspection: %d %v", a.Status, a.Body)
	}
	return a.Body["active"] == true
}

// sideBySide runs fn n times at once and counts the answers with status 200.
func sideBySide(n int, fn func() issuertest.Answer) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range n {
		wg.Go(func() {
			if fn().Status == http.StatusOK {
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return good
}

func TestOnceUnderConcurrency(t *testing.T) {
	s := issuertest.Start(t)
	for range 20 {
		code := code(t, s)
		if n := sideBySide(8, func() issuertest.Answer { return s.Token("", "", codeForm(code)) }); n != 1 {
			t.Fatalf("the code gave tokens %d times", n)
		}
		rt := s.Tokens("alice", "openid offline_access").Refresh
		if n := sideBySide(8, func() issuertest.Answer { return s.Token("web", "web-secret", refreshForm(rt)) }); n != 1 {
			t.Fatalf("the refresh token gave tokens %d times", n)
		}
	}
}

func TestRefreshStrict(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	tok := s.Tokens("alice", "openid offline_access storage.read:/")
	a := s.Token("web", "web-secret", refreshForm(tok.Refresh))
	next := text(a, "refresh_token")
	if at := access(t, s, wantOK(t, a)); at["scope"] != tok.Scope {
		t.Errorf("scope is %v", at["scope"])
	}
	if next.Empty() || next.Equal(tok.Refresh) {
		t.Error("the refresh token was not replaced")
	}
	if id := claims(t, s, text(a, "id_token"), "jwt"); id["nonce"] != nil {
		t.Error("the nonce of the login came again")
	}
	wantError(t, s.Token("native", "", refreshForm(next)), 400, "invalid_grant")
	a = s.Token("web", "web-secret", refreshForm(next))
	at, last := wantOK(t, a), text(a, "refresh_token")
	// The first token is two generations old: who has it stole it, or we were robbed.
	wantError(t, s.Token("web", "web-secret", refreshForm(tok.Refresh)), 400, "invalid_grant")
	wantError(t, s.Token("web", "web-secret", refreshForm(last)), 400, "invalid_grant")
	if active(t, s, at) {
		t.Error("the family is revoked and its access token active")
	}
}

func TestRefreshTokenMisspelt(t *testing.T) {
	s := issuertest.Start(t)
	rt := s.Tokens("alice", "openid offline_access").Refresh
	good := rt.Expose()
	for name, bad := range map[string]string{
		"a line break at its end": good + "\n", "one inside": good[:40] + "\r\n" + good[40:], "padding": good + "=",
		"one character less": good[:len(good)-1], "another family": strings.Repeat("A", 16) + good[16:],
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, s.Token("web", "web-secret", refreshForm(secret.FromString(bad))), 400, "invalid_grant")
		})
	}
	// None of them was taken for a stolen token.
	wantOK(t, s.Token("web", "web-secret", refreshForm(rt)))
}

func TestRefreshExpires(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option, func(o *issuer.Options) { o.RefreshTTL = 2 * time.Hour })
	rt := s.Tokens("alice", "openid offline_access").Refresh
	c.pass(time.Hour)
	a := s.Token("web", "web-secret", refreshForm(rt))
	wantOK(t, a)
	c.pass(time.Hour)
	wantError(t, s.Token("web", "web-secret", refreshForm(text(a, "refresh_token"))), 400, "invalid_grant")
}

func TestRefreshGrace(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option, rotation(issuer.Grace))
	rt := s.Tokens("alice", "openid offline_access").Refresh
	first := s.Token("web", "web-secret", refreshForm(rt))
	c.pass(29 * time.Second)
	again := s.Token("web", "web-secret", refreshForm(rt))
	wantOK(t, first)
	wantOK(t, again)
	for _, a := range []issuertest.Answer{first, again} {
		wantOK(t, s.Token("web", "web-secret", refreshForm(text(a, "refresh_token"))))
	}
	last := s.Token("web", "web-secret", refreshForm(text(again, "refresh_token")))
	wantOK(t, last)
	c.pass(time.Second)
	wantError(t, s.Token("web", "web-secret", refreshForm(rt)), 400, "invalid_grant")
	wantError(t, s.Token("web", "web-secret", refreshForm(text(last, "refresh_token"))), 400, "invalid_grant")
}

func TestRefreshGraceIsBounded(t *testing.T) {
	s := issuertest.Start(t, rotation(issuer.Grace))
	rt := s.Tokens("alice", "openid offline_access").Refresh
	good := 0
	for range 400 {
		if s.Token("web", "web-secret", refreshForm(rt)).Status == http.StatusOK {
			good++
		}
	}
	if good >= 400 || good < 10 {
		t.Errorf("%d of 400 uses of one token were good", good)
	}
}

// TestRefreshGraceOfAnHonestChain: a client that always sends the newest token is not held up by those it has used.
func TestRefreshGraceOfAnHonestChain(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option, rotation(issuer.Grace))
	first := s.Tokens("alice", "openid offline_access").Refresh
	chain := []secret.Text{first}
	for i := range 400 {
		a := s.Token("web", "web-secret", refreshForm(chain[len(chain)-1]))
		if a.Status != http.StatusOK {
			t.Fatalf("refresh %d: %d %v", i, a.Status, a.Body)
		}
		chain = append(chain, text(a, "refresh_token"))
		c.pass(time.Millisecond)
	}
	// The latest of the used ones are still within their window, and using them again ends nothing.
	wantOK(t, s.Token("web", "web-secret", refreshForm(chain[len(chain)-5])))
	wantOK(t, s.Token("web", "web-secret", refreshForm(chain[len(chain)-1])))
	// One that was dropped counts as reused.
	wantError(t, s.Token("web", "web-secret", refreshForm(first)), 400, "invalid_grant")
	wantError(t, s.Token("web", "web-secret", refreshForm(chain[len(chain)-1])), 400, "invalid_grant")
}

// TestRefreshGraceWithLostAnswers: the tokens in answers that never arrived are not used, and do not fill the family.
func TestRefreshGraceWithLostAnswers(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option, rotation(issuer.Grace))
	rt := s.Tokens("alice", "openid offline_access").Refresh
	for i := range 400 {
		_ = s.Token("web", "web-secret", refreshForm(rt)) // lost
		a := s.Token("web", "web-secret", refreshForm(rt))
		if a.Status != http.StatusOK {
			t.Fatalf("refresh %d: %d %v", i, a.Status, a.Body)
		}
		rt = text(a, "refresh_token")
		c.pass(time.Second)
	}
}

func TestRefreshWithoutRotation(t *testing.T) {
	s := issuertest.Start(t)
	q := authQuery("client_id", "web-norotate")
	back := parse(t, s.Login(s.URL+"/authorize?"+q.Encode(), "alice"))
	a := s.Token("web-norotate", "web-secret", codeForm(back.Query().Get("code"), "client_id", ""))
	wantOK(t, a)
	rt := text(a, "refresh_token")
	for range 3 {
		a := s.Token("web-norotate", "web-secret", refreshForm(rt))
		wantOK(t, a)
		if a.Body["refresh_token"] != nil {
			t.Error("a new refresh token came")
		}
	}
	if n := sideBySide(8, func() issuertest.Answer {
		return s.Token("web-norotate", "web-secret", refreshForm(rt))
	}); n != 8 {
		t.Errorf("%d of 8 at once were good", n)
	}
}

func TestRefreshOnlyNarrows(t *testing.T) {
	s := issuertest.Start(t, rotation(issuer.Off))
	rt := s.Tokens("alice", "openid offline_access wlcg.groups:/cms/uscms storage.read:/data compute.create", url.Values{
		"audience": {"https://se1.example https://se2.example"},
	}).Refresh
	cases := []struct{ name, scope, aud, wantScope, wantError string }{
		{"the same", "", "", "openid offline_access wlcg.groups:/cms/uscms storage.read:/data compute.create", ""},
		{"a part", "storage.read:/data", "", "storage.read:/data", ""},
		{"a path below", "storage.read:/data/x", "https://se1.example", "storage.read:/data/x", ""},
		{"the default groups", "wlcg.groups", "", "wlcg.groups", ""},
		{"a path above", "storage.read:/", "", "", "invalid_scope"},
		{"a path beside", "storage.read:/database", "", "", "invalid_scope"},
		{"another right", "storage.create:/data", "", "", "invalid_scope"},
		{"another group", "wlcg.groups:/cms/ALARM", "", "", "invalid_scope"},
		{"a made-up scope", "admin", "", "", "invalid_scope"},
		{"another audience", "", "https://se3.example", "", "invalid_target"},
		{"any audience", "", issuer.AnyAudience, "", "invalid_target"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := s.Token("web", "web-secret", refreshForm(rt, "scope", c.scope, "audience", c.aud))
			if c.wantError != "" {
				wantError(t, a, 400, c.wantError)
				return
			}
			at := access(t, s, wantOK(t, a))
			if at["scope"] != c.wantScope || a.Body["scope"] != c.wantScope {
				t.Errorf("scope is %v and %v, want %s", at["scope"], a.Body["scope"], c.wantScope)
			}
			if c.aud != "" && at["aud"] != c.aud {
				t.Errorf("aud is %v, want %s", at["aud"], c.aud)
			}
		})
	}
}

func TestAudience(t *testing.T) {
	s := issuertest.Start(t)
	cases := []struct {
		name string
		form url.Values
		want []string
	}{
		{"none is everybody", url.Values{}, []string{issuer.AnyAudience}},
		{"one", url.Values{"audience": {"https://a"}}, []string{"https://a"}},
		{"repeated", url.Values{"audience": {"https://a", "https://b"}}, []string{"https://a", "https://b"}},
		{"in one value", url.Values{"audience": {"https://a  https://b"}}, []string{"https://a", "https://b"}},
		{"resource", url.Values{"resource": {"https://a", "https://b"}}, []string{"https://a", "https://b"}},
		{
			"both, once each",
			url.Values{"audience": {"x"}, "resource": {"https://a", "https://a"}},
			[]string{"x", "https://a"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.form.Set("grant_type", "client_credentials")
			at := access(t, s, wantOK(t, s.Token("service", "service-secret", c.form)))
			var got []string
			switch v := at["aud"].(type) {
			case string:
				got = []string{v}
			case []any:
				for _, x := range v {
					got = append(got, x.(string))
				}
				if len(v) < 2 {
					t.Error("one audience as an array")
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("aud is %v, want %v", got, c.want)
			}
		})
	}
	for name, form := range map[string]url.Values{
		"a control character":     {"audience": {"https://a\x00"}},
		"too many":                {"audience": {manyNames(40)}},
		"too long":                {"audience": {strings.Repeat("a", 3000)}},
		"resource without scheme": {"resource": {"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			form.Set("grant_type", "client_credentials")
			wantError(t, s.Token("service", "service-secret", form), 400, "invalid_target")
		})
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for k := range n {
		b.WriteString(" n" + strings.Repeat("x", k))
	}
	return b.String()
}

func TestClientCredentials(t *testing.T) {
	s := issuertest.Start(t)
	a := s.Token("service", "service-secret", url.Values{
		"grant_type": {"client_credentials"}, "scope": {"openid offline_access wlcg.groups storage.read:/x compute.create"},
	})
	at := access(t, s, wantOK(t, a))
	if at["sub"] != "service" || at["client_id"] != "service" || at["scope"] != "storage.read:/x" {
		t.Errorf("claims: %v", at)
	}
	if at["wlcg.groups"] != nil {
		t.Errorf("a client alone is in groups: %v", at["wlcg.groups"])
	}
	if a.Body["refresh_token"] != nil || a.Body["id_token"] != nil {
		t.Error("a client alone got a refresh or ID token")
	}
}

func TestRefreshTokenOnlyWithOfflineAccess(t *testing.T) {
	s := issuertest.Start(t)
	if tok := s.Tokens("alice", "openid storage.read:/"); !tok.Refresh.Empty() {
		t.Error("a refresh token came unasked")
	}
}

func TestScopesTiedToGroups(t *testing.T) {
	s := issuertest.Start(t)
	for user, want := range map[string]string{
		"alice": "openid storage.read:/ compute.create", "bob": "openid storage.read:/",
	} {
		tok := s.Tokens(user, "openid storage.read:/ compute.create unheard-of")
		if got := access(t, s, tok.Access)["scope"]; tok.Scope != want || got != want {
			t.Errorf("%s got %q and %q, want %q", user, tok.Scope, got, want)
		}
	}
}

func TestAlgorithmsAndRotationOfKeys(t *testing.T) {
	for _, alg := range []jose.Alg{jose.RS256, jose.ES256, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			s := issuertest.Start(t, func(o *issuer.Options) { o.Alg = alg })
			before := s.Tokens("alice", "openid")
			if err := s.RotateKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := s.Tokens("alice", "openid")
			for _, tok := range []issuertest.Tokens{before, after} {
				access(t, s, tok.Access)
				claims(t, s, tok.ID, "jwt")
				if !active(t, s, tok.Access) {
					t.Error("a token is not active")
				}
			}
			a, b := header(t, before.Access), header(t, after.Access)
			if a.KeyID == b.KeyID || a.Alg != alg || b.Alg != alg {
				t.Errorf("headers %v and %v", a, b)
			}
			for range 3 {
				if err := s.RotateKeys(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if active(t, s, before.Access) {
				t.Error("a token counts after its key has gone")
			}
		})
	}
}

func header(t *testing.T, token secret.Text) jose.Header {
	t.Helper()
	m, err := jose.Parse([]byte(token.Expose()))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

func TestRestart(t *testing.T) {
	s := issuertest.Start(t)
	tok := s.Tokens("alice", "openid offline_access")
	s.Restart(true)
	a := s.Token("web", "web-secret", refreshForm(tok.Refresh))
	wantOK(t, a)
	if !active(t, s, tok.Access) {
		t.Error("the access token did not survive a restart with its state")
	}
	s.Restart(false)
	wantError(t, s.Token("web", "web-secret", refreshForm(text(a, "refresh_token"))), 400, "invalid_grant")
	if active(t, s, tok.Access) {
		t.Error("the access token survived the loss of all state")
	}
}
