package issuer_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const keyRedirect = "https://server.example.org/redirect"

// keyClient is a client with a key and no secret, and the issuer that knows it.
func keyClient(t *testing.T) (*issuertest.Server, *jose.PrivateKey) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	s := issuertest.Start(t, func(o *issuer.Options) {
		o.Clients = append(issuer.SampleClients(), issuer.Client{
			ID: "keyed", Keys: jose.NewKeySet(key.Public()), RedirectURIs: []string{keyRedirect},
			Grants: []string{issuer.GrantCode, issuer.GrantRefresh, issuer.GrantClient},
		})
	})
	return s, key
}

// TestKeyClient: private_key_jwt and pushed requests with our own client, login to revocation.
func TestKeyClient(t *testing.T) {
	s, key := keyClient(t)
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	md, err := provider.Discover(t.Context(), hc, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{})
	t.Cleanup(keys.Close)
	for _, to := range []flow.AssertionAudience{flow.ForIssuer, flow.ForTokenEndpoint} {
		c := flow.New(hc, md, flow.ClientConfig{ID: "keyed", Key: key, Assertion: to}, flow.Options{
			Keys: keys, Push: flow.PushOffered,
		})
		l, err := c.StartCode(t.Context(), flow.CodeRequest{
			Request: flow.Request{Scope: []string{"openid", "offline_access"}}, RedirectURI: keyRedirect,
		})
		if err != nil {
			t.Fatal(err)
		}
		if u, _ := url.Parse(l.URL); len(u.Query()) != 2 {
			t.Fatalf("not pushed: %s", l.URL)
		}
		back, err := url.Parse(s.Login(l.URL, "alice"))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := l.Finish(t.Context(), back.Query())
		if err != nil || tok.Refresh.Empty() {
			t.Fatalf("%s: %v", to, err)
		}
		if err := c.Revoke(t.Context(), tok.Refresh, "refresh_token"); err != nil {
			t.Fatal(err)
		}
	}
}

// assertion is one that the keyed client signs, with some claims different.
func assertion(t *testing.T, key *jose.PrivateKey, iss string, different string) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{"iss": "keyed", "sub": "keyed", "aud": iss, "jti": "1-" + different, "exp": now + 60}
	switch different {
	case "aud":
		claims["aud"] = "https://other.example"
	case "auds":
		claims["aud"] = []string{iss, "https://other.example"}
	case "exp":
		claims["exp"] = now - 1
	case "long":
		claims["exp"] = now + 3600
	case "iss":
		claims["iss"] = "web"
	case "sub":
		claims["sub"], claims["iss"] = "web", "web"
	case "jti":
		delete(claims, "jti")
	}
	tok, err := key.Sign("JWT", mustJSON(t, claims))
	if err != nil {
		t.Fatal(err)
	}
	return tok.Expose()
}

// TestHostileAssertion is what must not pass for the client.
func TestHostileAssertion(t *testing.T) {
	s, key := keyClient(t)
	other, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	post := func(more url.Values) int {
		t.Helper()
		form := url.Values{
			"grant_type": {"client_credentials"}, "scope": {"compute.read"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
		for name, v := range more {
			form[name] = v
		}
		resp, err := http.PostForm(s.URL+"/token", form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	good := assertion(t, key, s.URL, "")
	if code := post(url.Values{"client_assertion": {good}}); code != http.StatusOK {
		t.Fatalf("a good one: %d", code)
	}
	if code := post(url.Values{"client_assertion": {good}}); code != http.StatusUnauthorized {
		t.Fatalf("the same once more: %d", code)
	}
	for _, different := range []string{"aud", "auds", "exp", "long", "iss", "sub", "jti"} {
		if code := post(url.Values{"client_assertion": {assertion(t, key, s.URL, different)}}); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", different, code)
		}
	}
	for name, more := range map[string]url.Values{
		"another key":       {"client_assertion": {assertion(t, other, s.URL, "a")}},
		"another client":    {"client_assertion": {assertion(t, key, s.URL, "b")}, "client_id": {"web"}},
		"a secret as well":  {"client_assertion": {assertion(t, key, s.URL, "c")}, "client_secret": {"x"}},
		"another type":      {"client_assertion": {assertion(t, key, s.URL, "d")}, "client_assertion_type": {"x"}},
		"none":              {"client_assertion": {"e30.e30."}},
		"only its name":     {"client_id": {"keyed"}, "client_assertion_type": nil},
		"its name, no more": {"client_id": {"keyed"}, "client_secret": {""}, "client_assertion_type": nil},
	} {
		if code := post(more); code == http.StatusOK {
			t.Errorf("%s passes", name)
		}
	}
}

// TestPushedIsGoodOnce: a reference opens one login of the client that has it.
func TestPushedIsGoodOnce(t *testing.T) {
	s, key := keyClient(t)
	push := func(jti string, more url.Values) (int, string) {
		t.Helper()
		form := url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion(t, key, s.URL, jti)}, "response_type": {"code"}, "redirect_uri": {keyRedirect},
			"scope": {"openid"}, "state": {"s"},
		}
		for name, v := range more {
			form[name] = v
		}
		resp, err := http.PostForm(s.URL+"/par", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			URI string `json:"request_uri"`
		}
		decodeJSON(t, resp.Body, &answer)
		return resp.StatusCode, answer.URI
	}
	code, uri := push("p1", nil)
	if code != http.StatusCreated || uri == "" {
		t.Fatalf("%d %q", code, uri)
	}
	visit := func(client string) int {
		t.Helper()
		hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := hc.Get(s.URL + "/authorize?" + url.Values{"client_id": {client}, "request_uri": {uri}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := visit("keyed"); got != http.StatusSeeOther {
		t.Fatalf("first: %d", got)
	}
	if got := visit("keyed"); got != http.StatusBadRequest {
		t.Fatalf("again: %d", got)
	}
	_, uri = push("p2", nil)
	if got := visit("web"); got != http.StatusBadRequest {
		t.Fatalf("of another client: %d", got)
	}
	for name, more := range map[string]url.Values{
		"redirect elsewhere": {"redirect_uri": {"https://evil.example/"}}, "a reference in it": {"request_uri": {"urn:x"}},
		"no code": {"response_type": {"token"}},
	} {
		if code, _ := push("x"+name, more); code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, code)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeJSON(t *testing.T, r io.Reader, to any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(to); err != nil {
		t.Fatal(err)
	}
}
