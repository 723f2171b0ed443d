package httpauth

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// TestExtract: what RFC 6750 and RFC 9449 allow.
func TestExtract(t *testing.T) {
	big := strings.Repeat("a", jose.MaxToken)
	cases := []struct {
		name   string
		send   request
		ways   Ways
		token  string
		scheme gate.Scheme
	}{
		{"header", request{headers: auth("Bearer a.b.c")}, Ways{}, "a.b.c", gate.Bearer},
		{"lower case", request{headers: auth("bearer a.b.c")}, Ways{}, "a.b.c", gate.Bearer},
		{"mixed case", request{headers: auth("bEARER a.b.c")}, Ways{}, "a.b.c", gate.Bearer},
		{"several spaces", request{headers: auth("Bearer    a.b.c")}, Ways{}, "a.b.c", gate.Bearer},
		{"every character there may be", request{headers: auth("Bearer aZ09-._~+/==")}, Ways{}, "aZ09-._~+/==", gate.Bearer},
		{"64 KiB", request{headers: auth("Bearer " + big)}, Ways{}, big, gate.Bearer},
		{"DPoP", request{headers: auth("dpop a.b.c")}, Ways{}, "a.b.c", gate.DPoP},
		{"body", request{kind: form, body: "x=1&access_token=a.b.c&y=2"}, Ways{}, "a.b.c", gate.Bearer},
		{
			"body with a character set",
			request{kind: form + "; charset=UTF-8", body: "access_token=a"},
			Ways{},
			"a",
			gate.Bearer,
		},
		{
			"body with a broken parameter behind its type",
			request{kind: form + "; charset", body: "access_token=a"},
			Ways{},
			"a", gate.Bearer,
		},
		{"body, encoded", request{kind: form, body: "access_token=a%2Bb%2f%3D%3d"}, Ways{}, "a+b/==", gate.Bearer},
		{"query", request{target: "/?x=1&access_token=a.b.c"}, Ways{Query: true}, "a.b.c", gate.Bearer},
		{
			"header and an empty parameter",
			request{headers: auth("Bearer a"), target: "/?access_token="},
			Ways{},
			"a",
			gate.Bearer,
		},
		{
			"header and another parameter",
			request{headers: auth("Bearer a"), target: "/?access_token2=b&token=c"},
			Ways{},
			"a", gate.Bearer,
		},
		{
			"header and a form of the service",
			request{headers: auth("Bearer a"), kind: form, body: "q=1&r=%zz&;"},
			Ways{},
			"a", gate.Bearer,
		},
		{"header, and a token of the service in a body that is left alone", request{
			headers: auth("Bearer a"), kind: form,
			body: "access_token=b",
		}, Ways{HeaderOnly: true}, "a", gate.Bearer},
		{
			"an empty DPoP header line and a body",
			request{headers: auth("DPoP"), kind: form, body: "access_token=b"},
			Ways{},
			"b", gate.Bearer,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := Extract(c.send.make(), c.ways)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Token.Expose(); got != c.token || p.Scheme != c.scheme {
				t.Errorf("token of %d bytes, scheme %s; want %d bytes, %s", len(got), p.Scheme, len(c.token), c.scheme)
			}
		})
	}
}

// TestExtractPutsTheBodyBack: the handler reads what was sent.
func TestExtractPutsTheBodyBack(t *testing.T) {
	body := "a=1&access_token=tok&b=2"
	r := request{kind: form, body: body}.make()
	closed := &closing{Reader: strings.NewReader(body)}
	r.Body = closed
	if _, err := Extract(r, Ways{}); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	if err != nil || string(got) != body {
		t.Errorf("the handler reads %q, %v", got, err)
	}
	if err := r.Body.Close(); err != nil || !closed.yes {
		t.Errorf("the body of the request was not closed: %v", err)
	}
}

// TestExtractProof: all that the gate needs to check possession is handed over, and nothing is chosen by the client
// that can be known.
func TestExtractProof(t *testing.T) {
	r := request{
		method: http.MethodGet, target: "/a%2Fb?x=1", headers: append(auth("DPoP a"), "DPoP", "one", "DPoP", "two"),
	}.make()
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("der")}}}
	p, err := Extract(r, Ways{Origin: "https://api.example.org/"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.DPoP, []string{"one", "two"}) {
		t.Errorf("proofs %q: the gate has to see that there are two", p.DPoP)
	}
	if p.Method != "GET" || p.URL != "https://api.example.org/a%2Fb" || string(p.Certificate) != "der" {
		t.Errorf("%s %s %q", p.Method, p.URL, p.Certificate)
	}
	for want, secure := range map[string]bool{"http://example.com/a%2Fb": false, "https://example.com/a%2Fb": true} {
		if r.TLS = nil; secure {
			r.TLS = &tls.ConnectionState{}
		}
		if p, err := Extract(r, Ways{}); err != nil || p.URL != want || p.Certificate != nil {
			t.Errorf("URL %s, %v; want %s", p.URL, err, want)
		}
	}
}

// TestExtractURLBelowStripPrefix: the proof is for what the client asked for, not for what a router left of it.
func TestExtractURLBelowStripPrefix(t *testing.T) {
	var got string
	h := http.StripPrefix("/api", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, err := Extract(r, Ways{})
		if err != nil {
			t.Error(err)
		}
		got = p.URL
	}))
	h.ServeHTTP(httptest.NewRecorder(), request{target: "/api/v1?q", headers: auth("Bearer a")}.make())
	if got != "http://example.com/api/v1" {
		t.Errorf("URL %s", got)
	}
}
