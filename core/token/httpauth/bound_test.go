package httpauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

var b64 = base64.RawURLEncoding

// holder is a client with a key of its own.
type holder struct {
	tb  testing.TB
	key *ecdsa.PrivateKey
	jwk map[string]string
}

func newHolder(tb testing.TB) *holder {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		tb.Fatal(err)
	}
	return &holder{tb, key, map[string]string{
		"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:]),
	}}
}

// thumbprint is that of RFC 7638: the members in their order.
func (h *holder) thumbprint() string {
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + h.jwk["x"] + `","y":"` + h.jwk["y"] + `"}`))
	return b64.EncodeToString(sum[:])
}

// proof is a DPoP proof (RFC 9449 section 4.2) for a request with token.
func (h *holder) proof(method, url, token, nonce string) string {
	h.tb.Helper()
	hash := sha256.Sum256([]byte(token))
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	claims := map[string]any{
		"htm": method, "htu": url, "iat": now.Unix(), "jti": b64.EncodeToString(id), "ath": b64.EncodeToString(hash[:]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return h.sign(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk}, claims)
}

// sign makes any ES256 token.
func (h *holder) sign(header, claims map[string]any) string {
	h.tb.Helper()
	text := b64.EncodeToString(mustJSON(h.tb, header)) + "." + b64.EncodeToString(mustJSON(h.tb, claims))
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, digest[:])
	if err != nil {
		h.tb.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + b64.EncodeToString(signature)
}

// boundGate trusts the keys, and wants a nonce in proofs when nonces is set.
func boundGate(t *testing.T, nonces bool, keys ...*jose.PublicKey) *gate.Gate {
	t.Helper()
	keys = append(keys, testKey().Public())
	proofs, err := dpop.New(dpop.Options{Nonces: nonces, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("p.yaml", []byte("version: 1\nrequire: IDENTIFIED\n"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: testIssuer, Keys: jose.NewKeySet(keys...)}}},
		Audiences: []string{testAudience}, Policy: p,
	}, gate.Options{Now: func() time.Time { return now }, DPoP: proofs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// TestDPoP: a token that is bound to a key is good with a proof for this request, once, and never as a plain one.
func TestDPoP(t *testing.T) {
	alice, thief := newHolder(t), newHolder(t)
	bound := token(t, map[string]any{"cnf": map[string]any{"jkt": alice.thumbprint()}})
	h := New(boundGate(t, false), Options{
		Ways: Ways{Origin: "https://api.example.org"}, Challenge: Challenge{Algs: []jose.Alg{jose.ES256}},
	}).Require(http.HandlerFunc(greet))
	const url = "https://api.example.org/f"
	used := alice.proof("GET", url, bound, "")
	cases := []struct {
		name, scheme, token string
		proofs              []string
		code                string // "": accepted
	}{
		{"with_its_proof", "DPoP", bound, []string{used}, ""},
		{"scheme_in_lower_case", "dpop", bound, []string{alice.proof("GET", url, bound, "")}, ""},
		{"the_same_proof_again", "DPoP", bound, []string{used}, "invalid_dpop_proof"},
		{"as_plain_bearer", "Bearer", bound, nil, "invalid_token"},
		{"as_plain_bearer_with_a_proof", "Bearer", bound, []string{alice.proof("GET", url, bound, "")}, "invalid_token"},
		{"without_a_proof", "DPoP", bound, nil, "invalid_dpop_proof"},
		{
			"with_two_proofs", "DPoP", bound,
			[]string{alice.proof("GET", url, bound, ""), alice.proof("GET", url, bound, "")},
			"invalid_dpop_proof",
		},
		{"with_a_thief's_proof", "DPoP", bound, []string{thief.proof("GET", url, bound, "")}, "invalid_token"},
		{"for_another_method", "DPoP", bound, []string{alice.proof("PUT", url, bound, "")}, "invalid_dpop_proof"},
		{"for_another_path", "DPoP", bound, []string{alice.proof("GET", url+"2", bound, "")}, "invalid_dpop_proof"},
		{
			"for_another_host", "DPoP", bound,
			[]string{alice.proof("GET", "https://evil.example.org/f", bound, "")},
			"invalid_dpop_proof",
		},
		{"for_another_token", "DPoP", bound, []string{alice.proof("GET", url, "x", "")}, "invalid_dpop_proof"},
		{
			"a_token_that_is_not_bound", "DPoP", token(t, nil),
			[]string{alice.proof("GET", url, token(t, nil), "")},
			"invalid_token",
		},
		{"no_proof_but_text", "DPoP", bound, []string{"x"}, "invalid_dpop_proof"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := request{method: "GET", target: "/f?q=1", headers: auth(c.scheme + " " + c.token)}.make()
			r.Host = "evil.example.org" // the client's word, which does not count where Origin is set
			r.Header["Dpop"] = c.proofs
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if c.code == "" {
				if w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			challenge := w.Header().Get("WWW-Authenticate")
			with, _, _ := strings.Cut(challenge, "DPoP ")
			if w.Code != 401 || !strings.Contains(challenge, `error="`+c.code+`"`) {
				t.Errorf("%d %s, want %s", w.Code, challenge, c.code)
			}
			if bearer := strings.Contains(with, "error"); bearer != (c.scheme == "Bearer") {
				t.Errorf("the error stands with the other scheme: %s", challenge)
			}
		})
	}
}

// TestDPoPNonce: a client that lacks the nonce of this server is given it, and gets in with it.
func TestDPoPNonce(t *testing.T) {
	alice := newHolder(t)
	bound := token(t, map[string]any{"cnf": map[string]any{"jkt": alice.thumbprint()}})
	h := New(boundGate(t, true), Options{Challenge: Challenge{Algs: []jose.Alg{jose.ES256}}}).
		Require(http.HandlerFunc(greet))
	send := func(nonce string) *httptest.ResponseRecorder {
		r := request{method: "GET", target: "/f", headers: append(auth("DPoP "+bound),
			"DPoP", alice.proof("GET", "http://example.com/f", bound, nonce))}.make()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := send("")
	nonce := first.Header().Get("DPoP-Nonce")
	if first.Code != 401 || nonce == "" || !strings.Contains(first.Header().Get("WWW-Authenticate"), "use_dpop_nonce") {
		t.Fatalf("%d %v", first.Code, first.Header())
	}
	if second := send(nonce); second.Code != 200 {
		t.Errorf("with the nonce: %d %s", second.Code, second.Body)
	}
}

// TestCertificateBound: a token that is bound to a client certificate is good over a connection with it alone (RFC
// 8705).
func TestCertificateBound(t *testing.T) {
	mine, other := certificateOf(t, "alice"), certificateOf(t, "eve")
	sum := sha256.Sum256(mine.Certificate[0])
	issuer := newHolder(t) // our own signer writes no "#"
	jwk := maps.Clone(issuer.jwk)
	jwk["kid"] = "i"
	key, err := jose.ParsePublicKey(mustJSON(t, jwk))
	if err != nil {
		t.Fatal(err)
	}
	bound := issuer.sign(map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": "i"}, map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(), "client_id": "c",
		"jti": "j", "cnf": map[string]any{"x5t#S256": b64.EncodeToString(sum[:])},
	})
	srv := httptest.NewUnstartedServer(New(boundGate(t, false, key), Options{}).Require(http.HandlerFunc(greet)))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		status       int
	}{
		"with_it": {[]tls.Certificate{mine}, 200}, "with_another": {[]tls.Certificate{other}, 401}, "with_none": {nil, 401},
	} {
		t.Run(name, func(t *testing.T) {
			transport := srv.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = c.certificates
			defer transport.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+bound)
			resp, err := (&http.Client{Transport: transport}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, resp.Header.Get("WWW-Authenticate"), c.status)
			}
		})
	}
}

func certificateOf(t *testing.T, name string) tls.Certificate {
	t.Helper()
	h := newHolder(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &h.key.PublicKey, h.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: h.key}
}
