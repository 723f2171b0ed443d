package issuertest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Tokens is what the token endpoint gave.
type Tokens struct {
	Access, Refresh, ID secret.Text
	Scope               string
	Lifetime            time.Duration
}

// Answer is any answer of the token endpoint.
type Answer struct {
	Status int
	Header http.Header
	Body   map[string]any
}

// Tokens signs user in with the client "web" and returns the tokens for scope (blank separated). Other parameters,
// such as audience, can be given for the authorization request.
func (s *Server) Tokens(user, scope string, more ...url.Values) Tokens {
	s.tb.Helper()
	const redirect, verifier = "http://127.0.0.1/cb", "verifier-verifier-verifier-verifier-verifier"
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"web"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {scope}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for _, m := range more {
		for k, v := range m {
			q[k] = v
		}
	}
	back, err := url.Parse(s.Login(s.URL+"/authorize?"+q.Encode(), user))
	if err != nil || back.Query().Get("code") == "" {
		s.tb.Fatalf("issuertest: login of %s gave no code: %v %v", user, back, err)
	}
	a := s.Token("web", "web-secret", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirect},
		"code_verifier": {verifier},
	})
	return s.tokensOf(a)
}

// tokensOf wants an answer with tokens.
func (s *Server) tokensOf(a Answer) Tokens {
	s.tb.Helper()
	if a.Status != http.StatusOK {
		s.tb.Fatalf("issuertest: token endpoint: %d %v", a.Status, a.Body["error"])
	}
	text := func(name string) string { v, _ := a.Body[name].(string); return v }
	life, _ := a.Body["expires_in"].(float64)
	return Tokens{
		Access: secret.FromString(text("access_token")), Refresh: secret.FromString(text("refresh_token")),
		ID: secret.FromString(text("id_token")), Scope: text("scope"), Lifetime: time.Duration(life) * time.Second,
	}
}

// Token posts a form to the token endpoint as client; without a secret the client is public.
func (s *Server) Token(client, clientSecret string, form url.Values) Answer {
	s.tb.Helper()
	return s.Post("/token", client, clientSecret, form)
}

// Post sends a form to an endpoint below the issuer as client.
func (s *Server) Post(path, client, clientSecret string, form url.Values) Answer {
	s.tb.Helper()
	if clientSecret == "" && client != "" {
		form.Set("client_id", client)
	}
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(s.URL, "/")+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.tb.Fatalf("issuertest: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if clientSecret != "" {
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(clientSecret))
	}
	return s.Do(req)
}

// Do sends any request and reads the answer as JSON where it is some.
func (s *Server) Do(req *http.Request) Answer {
	s.tb.Helper()
	hc := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Do(req)
	if err != nil {
		s.tb.Fatalf("issuertest: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.tb.Fatalf("issuertest: %v", err)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	_ = json.Unmarshal(b, &a.Body) // what is not JSON leaves Body nil
	return a
}
