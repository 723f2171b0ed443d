package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// provider is an OpenID provider of nothing but a token endpoint: it takes any refresh token, keeps it, and answers
// with an access token that it signs with ES256.
type provider struct {
	url   string
	key   *jose.PrivateKey
	delay atomic.Int64
	calls atomic.Int64
	srv   *http.Server
}

func startProvider() (*provider, error) {
	key, err := jose.GenerateKey(jose.ES256, "")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{url: "http://" + l.Addr().String(), key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.jwks)
	mux.HandleFunc("POST /token", p.token)
	p.srv = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = p.srv.Serve(l) }()
	return p, nil
}

func (p *provider) close() { _ = p.srv.Close() }

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": p.url, "authorization_endpoint": p.url + "/authorize", "token_endpoint": p.url + "/token",
		"jwks_uri": p.url + "/jwks", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"}, "scopes_supported": []string{"openid", "offline_access"},
		"grant_types_supported": []string{"authorization_code", "refresh_token"},
	})
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(jose.NewKeySet(p.key.Public()))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("refresh_token") == "" {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	if d := time.Duration(p.delay.Load()); d > 0 {
		time.Sleep(d)
	}
	p.calls.Add(1)
	at, err := p.accessToken()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"access_token": at, "token_type": "Bearer", "expires_in": 3600, "scope": "openid"})
}

func (p *provider) accessToken() (string, error) {
	now := time.Now().Unix()
	payload := fmt.Appendf(nil, `{"iss":%q,"sub":"alice","aud":"https://storage.example.org","jti":%q,"scope":"openid",`+
		`"iat":%d,"exp":%d}`, p.url, rand.Text(), now, now+3600)
	t, err := p.key.Sign("at+jwt", payload)
	if err != nil {
		return "", err
	}
	return t.Expose(), nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}
