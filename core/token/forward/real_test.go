package forward

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNginx(t *testing.T) {
	s := startNginx(t, "")
	journeys(t, s)
	t.Run("a header with a dot is dropped by nginx", func(t *testing.T) {
		r := s.call(t, call{target: "/f", lines: []string{
			"Authorization: " + s.one.token(t, "storage.read:/"),
			"X.Token.Sub: root",
		}})
		if r.StatusCode != http.StatusOK || forgedIn(r.seen.Header) != "" {
			t.Errorf("%d, the service saw %v", r.StatusCode, r.seen)
		}
	})
	t.Run("the default server for another host is judged as itself", func(t *testing.T) {
		for scope, want := range map[string]int{"storage.read:/f": 200, "storage.read:/g": 403} {
			r := s.call(t, call{
				target: "/f", host: "evil.example.org", lines: []string{"Authorization: " + s.one.token(t, scope)},
			})
			if r.StatusCode != want {
				t.Errorf("with %s: %d, want %d", scope, r.StatusCode, want)
			}
		}
	})
}

// TestNginxLax: an nginx told to let every name of a header through.
func TestNginxLax(t *testing.T) {
	s := startNginx(t, "underscores_in_headers on;\nignore_invalid_headers off;\n")
	forged(t, s)
	t.Run("a header with a dot is refused by us", func(t *testing.T) {
		r := s.call(t, call{target: "/f", lines: []string{
			"Authorization: " + s.one.token(t, "storage.read:/"),
			"X.Token.Sub: root",
		}})
		if r.StatusCode != http.StatusUnauthorized || r.seen != nil {
			t.Errorf("%d, the service saw %v", r.StatusCode, r.seen)
		}
	})
}

func TestCaddy(t *testing.T) {
	s := startCaddy(t, nil)
	journeys(t, s)
	t.Run("a header with a dot is refused by us", func(t *testing.T) {
		r := s.call(t, call{target: "/f", lines: []string{
			"Authorization: " + s.one.token(t, "storage.read:/"),
			"X.Token.Sub: root",
		}})
		if r.StatusCode != http.StatusBadRequest || r.seen != nil {
			t.Errorf("%d, the service saw %v", r.StatusCode, r.seen)
		}
	})
}

// TestCaddyWithoutDeletion: the versions 2.10.0 to 2.11.1 leave headers of the client where they were
// (CVE-2026-30851), and so does every version with a spelling it does not copy. Without the lines of our block that
// delete them, the verifier refuses.
func TestCaddyWithoutDeletion(t *testing.T) {
	s := startCaddy(t, func(text string) string {
		return with(t, text, "\t\trequest_header -X-Token*\n", "", "\t\trequest_header -X_Token*\n", "")
	})
	for _, name := range []string{"X-Token-Sub", "X_Token_Sub", "x-token_groups", "X.Token.Iss"} {
		r := s.call(t, call{target: "/f", lines: []string{
			"Authorization: " + s.one.token(t, "storage.read:/"),
			name + ": root",
		}})
		if r.StatusCode != http.StatusBadRequest || r.seen != nil {
			t.Errorf("%s: %d, the service saw %v", name, r.StatusCode, r.seen)
		}
	}
	r := s.call(t, call{target: "/f", lines: []string{"Authorization: " + s.one.token(t, "storage.read:/")}})
	if r.StatusCode != http.StatusOK || r.seen.Header.Get("X-Token-Sub") != "alice" {
		t.Errorf("an honest request: %d, the service saw %v", r.StatusCode, r.seen)
	}
}

// journeys are what every proxy has to do with what we tell it.
func journeys(t *testing.T, s *site) {
	t.Run("a token of each issuer", func(t *testing.T) {
		for _, iss := range []*realIssuer{s.one, s.two} {
			r := s.call(t, call{target: "/a/f?x=1", lines: []string{"authorization: " + iss.token(t, "storage.read:/a")}})
			if r.StatusCode != http.StatusOK || r.seen == nil || r.text != "hello from the service" {
				t.Fatalf("%d %s, the service saw %v", r.StatusCode, r.text, r.seen)
			}
			for name, want := range map[string]string{
				"X-Token-Sub": "alice", "X-Token-Iss": iss.URL, "X-Token-Groups": "/vo", "X-Token-Scope": "storage.read:/a",
			} {
				if got := r.seen.Header[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if r.seen.Header.Get("X-Token-Exp") == "" || r.seen.URI != "/a/f?x=1" {
				t.Errorf("the service saw %+v", r.seen)
			}
		}
	})
	t.Run("refused", func(t *testing.T) { refused(t, s) })
	t.Run("forged identity", func(t *testing.T) { forged(t, s) })
	t.Run("forged sources", func(t *testing.T) { forgedSources(t, s) })
	t.Run("hostile paths", func(t *testing.T) { rawPaths(t, s) })
	t.Run("methods", func(t *testing.T) { methods(t, s) })
	t.Run("metadata", func(t *testing.T) {
		r := s.call(t, call{target: "/.well-known/oauth-protected-resource"})
		if r.StatusCode != http.StatusOK || !strings.Contains(r.text, `"resource":"https://se.example.org/"`) ||
			r.seen != nil {
			t.Errorf("%d %s", r.StatusCode, r.text)
		}
	})
	t.Run("the verifier cannot be asked by clients", func(t *testing.T) { notAsked(t, s) })
	t.Run("an issuer that is down", func(t *testing.T) { issuerDown(t, s) })
}

func refused(t *testing.T, s *site) {
	past := time.Now().Unix() - 7200
	stranger := startIssuer(t, s.one.key.Alg())
	impostor := &realIssuer{s.one.Server, stranger.key}
	for _, c := range []struct {
		name   string
		lines  []string
		status int
		says   string // in the challenge
	}{
		{"no token", nil, 401, `Bearer realm="storage", resource_metadata=`},
		{"rubbish", []string{"Authorization: Bearer abc"}, 401, `error="invalid_token"`},
		{"another scheme", []string{"Authorization: Basic YTpi"}, 401, `Bearer realm="storage"`},
		{"expired", []string{"Authorization: " + s.one.token(t, "storage.read:/", set{
			"exp": past + 60, "iat": past,
			"nbf": past,
		})}, 401, "expired"},
		{"for somebody else", []string{"Authorization: " + s.two.token(t, "storage.read:/",
			set{"aud": "https://x.example"})}, 401, "not for this service"},
		{"of a stranger", []string{"Authorization: " + stranger.token(t, "storage.read:/")}, 401, `error="invalid_token"`},
		{
			"signed by somebody else",
			[]string{"Authorization: " + impostor.token(t, "storage.read:/")},
			401,
			`error="invalid_token"`,
		},
		{
			"not enough",
			[]string{"Authorization: " + s.one.token(t, "storage.read:/other")},
			403,
			`error="insufficient_scope", error_description="the token does not allow this"`,
		},
	} {
		r := s.call(t, call{target: "/f", lines: c.lines})
		if r.StatusCode != c.status || r.seen != nil {
			t.Errorf("%s: %d, want %d; the service saw %v", c.name, r.StatusCode, c.status, r.seen)
		}
		if got := strings.Join(r.Header.Values("Www-Authenticate"), " | "); !strings.Contains(got, c.says) {
			t.Errorf("%s: challenge %q lacks %s", c.name, got, c.says)
		}
	}
	// A token as long as one may be is judged, not lost on its way; a few bytes more are refused as a token.
	for _, size := range []int{60 << 10, 66 << 10} {
		if s.proxy == Traefik || s.proxy == Envoy {
			break // their own limits are not in the models
		}
		pad := strings.Repeat("a", size*3/4-700)
		r := s.call(t, call{target: "/f", lines: []string{"Authorization: " + s.one.token(t, "storage.read:/", set{"pad": pad})}})
		if want := map[bool]int{true: 200, false: 401}[size < 64<<10]; r.StatusCode != want || (r.seen != nil) != (want == 200) {
			t.Errorf("a token of %d KiB: %d, want %d", size>>10, r.StatusCode, want)
		}
	}
	good := s.one.token(t, "storage.read:/")
	for name, c := range map[string]call{
		"two headers": {target: "/f", lines: []string{"Authorization: " + good, "Authorization: " + s.two.token(t,
			"storage.read:/")}},
		"a second in the query": {target: "/f?access_token=x", lines: []string{"Authorization: " + good}},
	} {
		r := s.call(t, c)
		if r.StatusCode != http.StatusBadRequest && (s.proxy != Nginx || r.StatusCode != http.StatusUnauthorized) ||
			r.seen != nil {
			t.Errorf("%s: %d, the service saw %v", name, r.StatusCode, r.seen)
		}
	}
}

// forgedIn names an identity header, in any spelling, that is not the one we set.
func forgedIn(h http.Header) string {
	for name, values := range h {
		if strings.HasPrefix(aliasKey(name), "x-token") && strings.Contains(strings.Join(values, ","), "root") {
			return name
		}
	}
	return ""
}

func forged(t *testing.T, s *site) {
	auth := "Authorization: " + s.one.token(t, "storage.read:/", set{"wlcg.groups": nil})
	for _, lines := range [][]string{
		{"X-Token-Sub: root", "X-Token-Iss: root", "X-Token-Groups: /root", "X-Token-Scope: root", "X-Token-Exp: root"},
		{"X_Token_Sub: root", "X_Token_Iss: root", "X_Token_Groups: /root", "X_Token_Scope: root", "X_Token_Exp: root"},
		{"x-token-groups: /root", "x_token_groups: /root", "X-TOKEN-GROUPS: /root"},
		{"Connection: X-Token-Sub", "X-Token-Sub: root"},
	} {
		r := s.call(t, call{target: "/f", lines: append([]string{auth}, lines...)})
		if s.proxy == Envoy && strings.Contains(lines[len(lines)-1]+lines[1], "_") { // told to refuse underscores
			if r.StatusCode != http.StatusBadRequest || r.seen != nil {
				t.Errorf("%q: %d, the service saw %v", lines, r.StatusCode, r.seen)
			}
			continue
		}
		if r.StatusCode != http.StatusOK || r.seen == nil {
			t.Errorf("%q: %d %s", lines, r.StatusCode, r.text)
			continue
		}
		if name := forgedIn(r.seen.Header); name != "" {
			t.Errorf("%q: the service saw %s: %q", lines, name, r.seen.Header[name])
		}
		if got := r.seen.Header.Get("X-Token-Sub"); got != "alice" {
			t.Errorf("%q: the service saw sub %q", lines, got)
		}
		if got := r.seen.Header.Get("X-Token-Groups"); got != "" { // the token has none
			t.Errorf("%q: the service saw groups %q", lines, got)
		}
	}
}

// forgedSources: what was asked for is what the proxy says, whatever the client claims.
func forgedSources(t *testing.T, s *site) {
	lines := []string{"Authorization: " + s.one.token(t, "storage.read:/open")}
	prefixes := []string{"X-Original-", "X-Forwarded-", "X_Original_", "X_Forwarded_"}
	if s.proxy == Envoy { // refuses the others itself
		prefixes = prefixes[:2]
	}
	for _, prefix := range prefixes {
		lines = append(lines, prefix+"Method: GET", prefix+"URI: /open/f", prefix+"Host: se.example.org")
	}
	if r := s.call(t, call{method: "PUT", target: "/secret/f", lines: lines, body: "x"}); r.StatusCode != 403 ||
		r.seen != nil {
		t.Errorf("PUT /secret/f: %d, the service saw %v", r.StatusCode, r.seen)
	}
	if r := s.call(t, call{target: "/open/f", lines: lines}); r.StatusCode != 200 || r.seen == nil ||
		r.seen.URI != "/open/f" {
		t.Errorf("GET /open/f: %d, the service saw %v", r.StatusCode, r.seen)
	}
}

// notAsked: by whatever path, a client gets no judgement about a request that it made up.
func notAsked(t *testing.T, s *site) {
	lines := []string{"Authorization: " + s.one.token(t, "storage.read:/open")}
	for _, prefix := range []string{"X-Original-", "X-Forwarded-"} {
		lines = append(lines, prefix+"Method: GET", prefix+"URI: /open/f", prefix+"Host: se.example.org")
	}
	const metadata = "/.well-known/oauth-protected-resource"
	address := s.proxy.Address()
	for _, target := range []string{
		address, "/_verifier", address + "/open/f", address + "/../.." + metadata, address + "/open/../../.." + metadata,
		address + "/..%2f..%2f" + metadata[1:], "//" + address, metadata + "/../.." + address, metadata + "/..%2f.." + address,
		metadata + "/x", metadata + "x", "/introspect/.." + metadata, "/metrics/.." + metadata,
	} {
		r := s.call(t, call{target: target, lines: lines})
		if r.Header.Get("X-Token-Sub") != "" || r.seen != nil || strings.Contains(r.text, "oidcbox_") {
			t.Errorf("%s: %d with %v, the service saw %v", target, r.StatusCode, r.Header, r.seen)
		}
	}
}

func rawPaths(t *testing.T, s *site) {
	auth := "Authorization: " + s.one.token(t, "storage.read:/open")
	for _, target := range []string{
		"/open/../secret", "/open/%2e%2e/secret", "/open/..%2fsecret", "/open%2f..%2fsecret", "/open/%252e%252e/secret",
		"/open/..;/secret", `/open/..\secret`, "/open/%5c..%5csecret", "/secret", "//secret", "/./secret", "/secret?/open/",
		"/openx",
		"/open/%c0%ae%c0%ae/secret", "/open/%00", "http://se.example.org/secret", "/SECRET", "/Open/f",
	} {
		r := s.call(t, call{target: target, lines: []string{auth}})
		if r.StatusCode < 400 || r.StatusCode >= 500 || r.seen != nil {
			t.Errorf("%s: %d, the service saw %v", target, r.StatusCode, r.seen)
		}
	}
	for _, target := range []string{"/open/f", "/open//f", "/open/%20%E2%82%AC", "/open/a..b", "/open/f;v=1"} {
		r := s.call(t, call{target: target, lines: []string{auth}})
		if r.StatusCode != http.StatusOK || r.seen == nil || r.seen.URI != target {
			t.Errorf("%s: %d %s, the service saw %v", target, r.StatusCode, r.text, r.seen)
		}
	}
}

func methods(t *testing.T, s *site) {
	for _, c := range []struct {
		method, scope string
		lines         []string
		want          int
	}{
		{"PUT", "storage.modify:/", nil, 200},
		{"PUT", "storage.read:/", nil, 403},
		{"DELETE", "storage.modify:/", nil, 200},
		{"PROPFIND", "storage.read:/", []string{"Depth: 1"}, 200},
		{"MKCOL", "storage.create:/", nil, 200},
		{"POST", "storage.modify:/ storage.read:/", nil, 403},
		{"BREW", "storage.modify:/ storage.read:/", nil, 403},
		{"COPY", "storage.read:/", []string{
			"Destination: https://other.example/f",
			"TransferHeaderAuthorization: Bearer x",
		}, 200},
		{"COPY", "storage.read:/", []string{"Destination: https://se.example.org/g"}, 403},
		{"COPY", "storage.read:/ storage.modify:/g", []string{"Destination: https://se.example.org/g"}, 200},
		{"COPY", "storage.modify:/", []string{"Source: https://other.example/f"}, 200},
		{"COPY", "storage.read:/ storage.modify:/", []string{
			"Source: https://other.example/f",
			"Destination: https://se.example.org/g",
		}, 403},
		{"MOVE", "storage.modify:/", []string{"Destination: https://se.example.org/g"}, 200},
		{"MOVE", "storage.read:/ storage.create:/", []string{"Destination: https://se.example.org/g"}, 403},
	} {
		body := ""
		if c.method == "PUT" || c.method == "POST" {
			body = "the body"
		}
		r := s.call(t, call{
			method: c.method, target: "/f", lines: append([]string{"Authorization: " + s.two.token(t, c.scope)}, c.lines...),
			body: body,
		})
		if r.StatusCode != c.want || (r.seen != nil) != (c.want == 200) {
			t.Errorf("%s %v with %s: %d, want %d", c.method, c.lines, c.scope, r.StatusCode, c.want)
		}
		if r.seen != nil && (r.seen.Method != c.method || r.seen.Body != body) {
			t.Errorf("%s: the service saw %s with %q", c.method, r.seen.Method, r.seen.Body)
		}
	}
}

// issuerDown: keys that are here go on working; keys that cannot be had are a 503, never a 401.
func issuerDown(t *testing.T, s *site) {
	s.two.Close()
	r := s.call(t, call{target: "/f", lines: []string{"Authorization: " + s.two.token(t, "storage.read:/")}})
	if r.StatusCode != http.StatusOK {
		t.Errorf("with its keys at hand: %d", r.StatusCode)
	}
	fresh := newSiteLike(t, s)
	r = fresh.call(t, call{target: "/f", lines: []string{"Authorization: " + fresh.two.token(t, "storage.read:/")}})
	patient := r.Header.Get("Retry-After") != "" || s.proxy == Envoy // which throws the headers of a 503 away
	if r.StatusCode != http.StatusServiceUnavailable || !patient || r.seen != nil {
		t.Errorf("without its keys: %d, Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
	}
	r = fresh.call(t, call{target: "/f", lines: []string{"Authorization: " + fresh.one.token(t, "storage.read:/")}})
	if r.StatusCode != http.StatusOK {
		t.Errorf("the other issuer: %d", r.StatusCode)
	}
}

// newSiteLike is another site behind the same make, whose second issuer is down from the start.
func newSiteLike(t *testing.T, s *site) *site {
	t.Helper()
	var fresh *site
	switch s.proxy {
	case Nginx:
		fresh = startNginx(t, "")
	case Caddy:
		fresh = startCaddy(t, nil)
	case Traefik:
		fresh = startTraefik(t, nil)
	case Envoy:
		fresh = startEnvoy(t)
	}
	fresh.two.Close()
	return fresh
}

// TestNginxClientCertificate: a token bound to a TLS certificate is taken from who has its key, and from nobody else
// (RFC 8705), with the lines the guide names.
func TestNginxClientCertificate(t *testing.T) {
	s := startNginxWith(t, "ssl_verify_client optional_no_ca;\n", func(server string) string {
		return with(t, server, "        proxy_set_header X-Original-Method $request_method;\n",
			"        proxy_set_header X-Original-Method $request_method;\n"+
				"        proxy_set_header X-Client-Cert $ssl_client_escaped_cert;\n")
	})
	mine, other := clientCertificate(t), clientCertificate(t)
	bound := "Authorization: " + s.bind(t, mine.Certificate[0])
	forged := "X-Client-Cert: " + url.PathEscape(string(pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: mine.Certificate[0],
	})))
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		lines       []string
		want        int
	}{
		"with its certificate":         {mine, []string{bound}, 200},
		"with none":                    {nil, []string{bound}, 401},
		"with another":                 {other, []string{bound}, 401},
		"with the header of a client":  {nil, []string{bound, forged}, 401},
		"another and the header":       {other, []string{bound, forged}, 401},
		"a token that is not bound":    {nil, []string{"Authorization: " + s.one.token(t, "storage.read:/")}, 200},
		"not bound, any certificate":   {other, []string{"Authorization: " + s.one.token(t, "storage.read:/")}, 200},
		"the header in other spelling": {nil, []string{bound, strings.Replace(forged, "X-Client-Cert", "X_Client_Cert", 1)}, 401},
	} {
		s.client = c.certificate
		if r := s.call(t, call{target: "/f", lines: c.lines}); r.StatusCode != c.want || (r.seen != nil) != (c.want == 200) {
			t.Errorf("%s: %d, want %d", name, r.StatusCode, c.want)
		}
	}
}

func clientCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shape := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// bind is a token of the first issuer that is bound to a certificate. It is put together here: our own signer writes no
// member with a "#".
func (s *site) bind(t *testing.T, certificate []byte) string {
	t.Helper()
	private, err := s.one.key.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	var jwk struct{ D string }
	if err := json.Unmarshal([]byte(private.Expose()), &jwk); err != nil {
		t.Fatal(err)
	}
	d, err := base64.RawURLEncoding.DecodeString(jwk.D)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Split(strings.TrimPrefix(s.one.token(t, "storage.read:/", set{"cnf": "here"}), "Bearer "), ".")
	payload, err := base64.RawURLEncoding.DecodeString(plain[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate)
	confirmation := `{"x5t#S256":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"}`
	claims := strings.Replace(string(payload), `"here"`, confirmation, 1)
	text := plain[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	digest := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	return "Bearer " + text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
