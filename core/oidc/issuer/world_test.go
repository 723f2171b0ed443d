package issuer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
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

const (
	verifier = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
	redirect = "http://127.0.0.1:5000/cb"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authQuery is a good request of the public client, changed by pairs of name and value ("" takes one away).
func authQuery(change ...string) url.Values {
	q := url.Values{
		"client_id": {"native"}, "redirect_uri": {redirect}, "response_type": {"code"}, "state": {"st"},
		"scope": {"openid offline_access storage.read:/"}, "nonce": {"n-1"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	return with(q, change...)
}

func with(q url.Values, change ...string) url.Values {
	for n := 0; n < len(change); n += 2 {
		q.Del(change[n])
		if change[n+1] != "" {
			q.Set(change[n], change[n+1])
		}
	}
	return q
}

// codeForm redeems code as the public client.
func codeForm(code string, change ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {code}, "redirect_uri": {redirect},
		"code_verifier": {verifier},
	}, change...)
}

func refreshForm(rt secret.Text, change ...string) url.Values {
	return with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {rt.Expose()}}, change...)
}

// code logs alice in and returns the code.
func code(t *testing.T, s *issuertest.Server, change ...string) string {
	t.Helper()
	back := parse(t, s.Login(s.URL+"/authorize?"+authQuery(change...).Encode(), "alice"))
	c := back.Query().Get("code")
	if c == "" {
		t.Fatalf("no code: %s", back)
	}
	return c
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// claims returns what a token says, after its signature was checked with the published keys.
func claims(t *testing.T, s *issuertest.Server, token secret.Text, typ string) map[string]any {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.URL, "/") + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		t.Fatal(err)
	}
	set, skipped, err := jose.ParseKeySet(raw)
	if err != nil || len(skipped) > 0 {
		t.Fatalf("published keys: %v %v", err, skipped)
	}
	m, err := jose.Parse([]byte(token.Expose()))
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	if m.Header.Type != typ {
		t.Errorf("typ is %q, want %q", m.Header.Type, typ)
	}
	if !slices.ContainsFunc(set.Candidates(m.Header), func(k *jose.PublicKey) bool { return m.Verify(k) == nil }) {
		t.Fatal("no published key fits the signature")
	}
	var c map[string]any
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func access(t *testing.T, s *issuertest.Server, token secret.Text) map[string]any {
	t.Helper()
	return claims(t, s, token, "at+jwt")
}

func text(a issuertest.Answer, name string) secret.Text {
	v, _ := a.Body[name].(string)
	return secret.FromString(v)
}

// wantError checks status and error code.
func wantError(t *testing.T, a issuertest.Answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.Body["error"] != code {
		t.Errorf("got %d %v, want %d %s", a.Status, a.Body["error"], status, code)
	}
	if a.Body["access_token"] != nil {
		t.Error("a refusal holds a token")
	}
}

// wantOK returns the answer's access token.
func wantOK(t *testing.T, a issuertest.Answer) secret.Text {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("got %d %v %v", a.Status, a.Body["error"], a.Body["error_description"])
	}
	return text(a, "access_token")
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func (c *clock) option(o *issuer.Options) { o.Now = c.now }

func rotation(r issuer.Rotation) func(*issuer.Options) {
	return func(o *issuer.Options) { o.Rotation = r }
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fields are the hidden fields of a page's form, with more on top.
func fields(t *testing.T, page string, more ...string) url.Values {
	t.Helper()
	form := url.Values{}
	hidden := regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	if len(form) == 0 {
		t.Fatalf("no form on the page: %s", page)
	}
	return with(form, more...)
}

func clone(q url.Values) url.Values {
	c := url.Values{}
	for k, v := range q {
		c[k] = slices.Clone(v)
	}
	return c
}
