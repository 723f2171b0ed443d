package forward

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// TestForgedIdentity: whatever spelling of an identity header reaches us from outside, nothing is allowed, because it
// would reach the service as well.
func TestForgedIdentity(t *testing.T) {
	for _, p := range Proxies() {
		w := newWorld(t, storage(p))
		token := bearer(t, "storage.read:/")
		for _, name := range []string{
			"X-Token-Sub", "X_token_sub", "X_Token_Sub", "x_token_sub", "X.Token.Sub", "X-Token_Sub", "X_Token-Iss",
			"X+Token+Groups",
			"X~token~exp", "X'token'scope", "x-token-sub", "X!TOKEN!ISS",
		} {
			t.Run(string(p)+"/"+name, func(t *testing.T) {
				h := auth(token)
				h[name] = []string{"root"} // past the canonical form
				resp := w.ask(ask{proxy: p, target: "/f", header: h})
				if got := meant(t, resp); got != "400" || resp.StatusCode == http.StatusOK {
					t.Errorf("status %d, means %s", resp.StatusCode, got)
				}
				for _, one := range DefaultHeaders() {
					if v := resp.Header[one.Name]; len(v) != 1 || v[0] != "" {
						t.Errorf("%s: %q", one.Name, v)
					}
				}
			})
		}
		t.Run(string(p)+"/what only resembles one passes", func(t *testing.T) {
			h := auth(token, "X-Token-Subject", "x", "Token-Sub", "x", "Xtokensub", "x")
			if resp := w.ask(ask{proxy: p, target: "/f", header: h}); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d: %s", resp.StatusCode, body(t, resp))
			}
		})
	}
}

// TestSources: method, host and URI are read where this proxy writes them, exactly once, and nowhere else.
func TestSources(t *testing.T) {
	everywhere := func(method, host, uri string) []string {
		var list []string
		for _, prefix := range []string{
			"X-Original-", "X-Forwarded-", "X_original_", "X_Forwarded_", "X-Rewrite-",
			"X-Envoy-Original-",
		} {
			list = append(list, prefix+"Method", method, prefix+"Host", host, prefix+"Uri", uri, prefix+"Url", uri,
				prefix+"Path", uri)
		}
		return append(list, "X-Original-Url", uri, "Forwarded", "host="+host)
	}
	for _, p := range Proxies() {
		w := newWorld(t, storage(p))
		t.Run(string(p)+"/headers of other proxies are not looked at", func(t *testing.T) {
			h := auth(bearer(t, "storage.read:/open"), everywhere("GET", testHost, "/open/f")...)
			method, host, uri := p.sourceHeaders()
			for _, own := range []string{method, host, uri} {
				delete(h, own)
			}
			resp := w.ask(ask{proxy: p, method: "PUT", target: "/secret/f", header: h})
			if got := meant(t, resp); got != "403" {
				t.Errorf("means %s: %s", got, body(t, resp))
			}
			if r := w.last().Request; r.Path != "/secret/f" || r.Method != "PUT" {
				t.Errorf("judged %s %s", r.Method, r.Path)
			}
		})
		if p == Envoy {
			continue
		}
		method, host, uri := p.sourceHeaders()
		for _, name := range []string{method, host, uri} {
			for _, v := range []string{"GET", testHost, "/open/f", ""} {
				t.Run(fmt.Sprintf("%s/%s sent twice, also as %q", p, name, v), func(t *testing.T) {
					h := auth(bearer(t, "storage.read:/open"), name, v)
					resp := w.ask(ask{proxy: p, target: "/open/f", header: h})
					if got := meant(t, resp); got != "400" {
						t.Errorf("means %s", got)
					}
				})
			}
			t.Run(string(p)+"/"+name+" missing", func(t *testing.T) {
				r := ask{proxy: p, target: "/open/f", header: auth(bearer(t, "storage.read:/open"))}.request()
				r.Header.Del(name)
				// what stands elsewhere does not help
				r.Header["X-Forwarded-Server"], r.Host = []string{testHost}, testHost
				rec := httptest.NewRecorder()
				w.ServeHTTP(rec, r)
				if got := meant(t, rec.Result()); got != "400" {
					t.Errorf("means %s", got)
				}
			})
		}
	}
}

// hostilePaths are read in another way by some server behind us.
func hostilePaths() []string {
	list := []string{
		"", "open/f", "*", "http://se.example.org/open/f", "//se.example.org/../x",
		"/open/../secret", "/open/..", "/..", "/open/%2e%2e/secret", "/open/%2E%2e/secret", "/open/.%2e/secret",
		"/open/%2e./secret",
		"/open/%252e%252e/secret", "/open/%25252e%25252e/secret", "/open/%2525252e%2525252e/s", "/open/%252525252e/s",
		"/open/..%2fsecret",
		"/open%2fsecret", "/open%2Fsecret", "/open%252fsecret", "/open%25252Fsecret", "/open%5csecret", `/open\secret`,
		`/open\..\secret`,
		"/open/..%5csecret", "/open/%5c%5c", "/open/..;/secret", "/open/..;x=1/secret", "/open/%2e%2e;/secret",
		"/open/..%3b/secret",
		"/open/.. /secret", "/open/..%20/secret", "/open/.../secret", "/open/..%20./s", "/open/f%00", "/open/%00/f",
		"/open/f%0d%0aX:y",
		"/open/\r\nf", "/open/\x00f", "/open/\x7f", "/open/%7f", "/open/f\t", "/open f", "/open/%", "/open/%2", "/open/%zz",
		"/open/%u002e",
		"/open/%c0%ae%c0%ae/secret", "/open/%c0%af", "/open/%e0%80%af", "/open/%ff", "/open/\xff", "/open/f#frag",
		"/open/" + strings.Repeat("a", maxTarget), "/" + strings.Repeat("../", 100), "/open/" + strings.Repeat("%252525",
			2) + "252525252e",
	}
	return list
}

func TestHostilePaths(t *testing.T) {
	for _, p := range Proxies() {
		w := newWorld(t, storage(p))
		token := auth(bearer(t, "storage.read:/ storage.modify:/"))
		for _, path := range hostilePaths() {
			name := path
			if len(name) > 40 {
				name = name[:40]
			}
			t.Run(fmt.Sprintf("%s/%q", p, name), func(t *testing.T) {
				r := ask{proxy: p, target: path, header: token}.request()
				rec := httptest.NewRecorder()
				w.ServeHTTP(rec, r)
				if rec.Code == http.StatusNotFound && p == Envoy {
					return // not below the address at all
				}
				if got := meant(t, rec.Result()); got != "403" && got != "400" {
					t.Errorf("means %s", got)
				}
			})
		}
	}
	w := newWorld(t, storage(Traefik))
	for _, path := range []string{
		"/", "/open/f", "/open//f", "/open/./f", "/open/f/", "/open/%20f", "/open/%E2%82%AC", "/open/\u20ac", "/open/a..b",
		"/open/..a", "/open/a..",
		"/open/100%25", "/open/%25zz", "/open/f;v=1", "/open/...a", "/open/f?x=../..", "/open/f?a=%2e%2e/",
		"/~u/:a@b!$&'()*+,=",
	} {
		t.Run("fine: "+path, func(t *testing.T) {
			resp := w.ask(ask{proxy: Traefik, target: path, header: auth(bearer(t, "storage.read:/"))})
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d: %s", resp.StatusCode, body(t, resp))
			}
		})
	}
}

// TestTokens: exactly one, in one way.
func TestTokens(t *testing.T) {
	good := bearer(t, "storage.read:/")
	raw := strings.TrimPrefix(good, "Bearer ")
	for _, p := range Proxies() {
		w := newWorld(t, storage(p))
		for _, c := range []struct {
			name   string
			target string
			header http.Header
			want   string
			header401,
			code string
		}{
			{name: "one", header: auth(good), want: "200"},
			{name: "scheme in capitals", header: auth("BEARER  " + raw), want: "200"},
			{name: "none", header: auth(""), want: "401"},
			{name: "two headers", header: auth(good, "Authorization", good), want: "400", code: "invalid_request"},
			{
				name: "a second one in the query", header: auth(good), target: "/f?access_token=" + raw, want: "400",
				code: "invalid_request",
			},
			{
				name: "an encoded name in the query", header: auth(good), target: "/f?%61ccess_token=x", want: "400",
				code: "invalid_request",
			},
			{name: "only in the query", header: auth(""), target: "/f?access_token=" + raw, want: "401"},
			{name: "Basic", header: auth("Basic YTpi"), want: "401"},
			{name: "in X-Auth-Token", header: auth("", "X-Auth-Token", raw, "Proxy-Authorization", good), want: "401"},
			{name: "in another spelling", header: http.Header{"Authorization_": {good}, "X-Authorization": {good}}, want: "401"},
			{name: "wrong characters", header: auth("Bearer a b"), want: "400", code: "invalid_request"},
			{name: "no JWT", header: auth("Bearer abc"), want: "401", code: "invalid_token"},
			{name: "too long", header: auth("Bearer " + strings.Repeat("a", 1<<17)), want: "401", code: "invalid_token"},
			{
				name: "expired", header: auth(bearer(t, "storage.read:/", set{
					"exp": now.Unix() - 1, "iat": now.Unix() - 700,
					"nbf": now.Unix() - 700,
				})),
				want: "401", code: "invalid_token",
			},
			{
				name: "of a stranger", header: auth(bearer(t, "storage.read:/", set{"iss": "https://evil.example"})), want: "401",
				code: "invalid_token",
			},
			{
				name: "for somebody else", header: auth(bearer(t, "storage.read:/", set{"aud": "https://x.example"})),
				want: "401", code: "invalid_token",
			},
			{name: "too little scope", header: auth(bearer(t, "storage.read:/other")), want: "403", code: "insufficient_scope"},
		} {
			t.Run(string(p)+"/"+c.name, func(t *testing.T) {
				if c.target == "" {
					c.target = "/f"
				}
				resp := w.ask(ask{proxy: p, target: c.target, header: c.header})
				if got := meant(t, resp); got != c.want {
					t.Fatalf("means %s, want %s: %s", got, c.want, body(t, resp))
				}
				challenge := resp.Header.Get("Www-Authenticate")
				if c.want == "200" {
					if challenge != "" || body(t, resp) != "" {
						t.Errorf("a yes says %q", challenge)
					}
					return
				}
				if !strings.HasPrefix(challenge, `Bearer realm="storage"`) {
					t.Errorf("challenge %q", challenge)
				}
				if c.code != "" && !strings.Contains(challenge, `error="`+c.code+`"`) {
					t.Errorf("challenge %q has no %s", challenge, c.code)
				}
				if c.code == "" && c.name == "none" && strings.Contains(challenge, "error") {
					t.Errorf("challenge %q names an error to who sent no token", challenge)
				}
				if resp.Header.Get("Cache-Control") != "no-store" {
					t.Error("may be stored")
				}
				if strings.Contains(fmt.Sprint(resp.Header)+body(t, resp), raw) {
					t.Error("the answer repeats the token")
				}
			})
		}
	}
}

// TestSecondToken: TransferHeader* and Credential carry a token for another host; it goes nowhere.
func TestSecondToken(t *testing.T) {
	const second = "second-token-of-the-other-host"
	w := newWorld(t, storage(Nginx))
	for _, scope := range []string{"storage.read:/", "storage.poll:/"} {
		h := auth(
			bearer(t, scope), "Destination", "https://other.example/f", "Transferheaderauthorization", "Bearer "+second,
			"Credential", second, "Copy-Header", "Authorization: "+second,
		)
		resp := w.ask(ask{proxy: Nginx, method: "COPY", target: "/f", header: h})
		said := fmt.Sprint(resp.Header) + body(t, resp) + fmt.Sprintf("%+v", w.last())
		if e := w.last(); e.Refusal != nil {
			said += e.Refusal.Error() + e.Refusal.Reason()
		}
		if strings.Contains(said, second) {
			t.Errorf("with scope %s: %s", scope, said)
		}
	}
}

// TestRawRequests: over a socket, what a server of the standard library would clean, redirect or answer itself.
func TestRawRequests(t *testing.T) {
	w := newWorld(t, Service{Name: "storage", Proxy: Envoy, Hosts: []string{testHost}, Operations: Storage})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.Serves(r) {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		w.ServeHTTP(rw, r)
	}))
	srv.Config.MaxHeaderBytes = 32 << 10
	srv.Start()
	defer srv.Close()
	token := bearer(t, "storage.read:/")
	for _, c := range []struct {
		name, head string
		want       int
	}{
		{"a good one", "GET /forward/envoy/f HTTP/1.1\r\nHost: se.example.org", 200},
		{"the host with its port", "GET /forward/envoy/f HTTP/1.1\r\nHost: se.example.org:443", 200},
		{"two slashes are not redirected", "GET /forward/envoy//a//f HTTP/1.1\r\nHost: se.example.org", 200},
		{"dots are refused, not redirected", "GET /forward/envoy/../nginx HTTP/1.1\r\nHost: se.example.org", 403},
		{"dots out of the address", "GET /forward/../health HTTP/1.1\r\nHost: se.example.org", 404},
		{"encoded dots", "GET /forward/envoy/%2e%2e/x HTTP/1.1\r\nHost: se.example.org", 403},
		{"another address in another spelling", "GET /forward/ENVOY/f HTTP/1.1\r\nHost: se.example.org", 404},
		{"no path", "GET /forward/envoy HTTP/1.1\r\nHost: se.example.org", 404},
		{"a longer name", "GET /forward/envoyx/f HTTP/1.1\r\nHost: se.example.org", 404},
		{"an unknown method", "BREW /forward/envoy/f HTTP/1.1\r\nHost: se.example.org", 403},
		{"a method in small letters", "get /forward/envoy/f HTTP/1.1\r\nHost: se.example.org", 403},
		{"POST", "POST /forward/envoy/f HTTP/1.1\r\nHost: se.example.org\r\nContent-Length: 0", 403},
		{"CONNECT", "CONNECT se.example.org:443 HTTP/1.1\r\nHost: se.example.org", 418},
		{"OPTIONS *", "OPTIONS /forward/envoy* HTTP/1.1\r\nHost: se.example.org", 404},
		{"another host", "GET /forward/envoy/f HTTP/1.1\r\nHost: other.example.org", 403},
		{"the host with a dot", "GET /forward/envoy/f HTTP/1.1\r\nHost: se.example.org.", 400},
		{"two hosts in one", "GET /forward/envoy/f HTTP/1.1\r\nHost: other.example.org,se.example.org", 400},
		{"absolute form", "GET http://se.example.org/forward/envoy/f HTTP/1.1\r\nHost: se.example.org", 418},
		{"huge headers", "GET /forward/envoy/f HTTP/1.1\r\nHost: se.example.org\r\nX-A: " + strings.Repeat("a", 64<<10), 431},
		{"a huge path", "GET /forward/envoy/" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: se.example.org", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := c.head + "\r\nAuthorization: " + token + "\r\nConnection: close\r\n\r\n"
			if got := exchange(t, srv.Listener.Addr().String(), head); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
}

func exchange(t *testing.T, addr, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, request) }() // the server may stop reading
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func FuzzPath(f *testing.F) {
	for _, p := range hostilePaths() {
		f.Add(p)
	}
	f.Add("/open/100%25/f;v=1")
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parsePath(raw)
		if err != nil {
			return
		}
		again, err := claims.ParseRequestPath(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q: %q does not stay: %v", raw, p, err)
		}
		for seen, i := raw, 0; i < 6; i++ {
			seen = decodeOnce(seen)
			if strings.Count(seen, "/") != strings.Count(raw, "/") || strings.ContainsAny(seen, "\\\x00\r\n") {
				t.Fatalf("%q becomes %q", raw, seen)
			}
			for s := range strings.SplitSeq(seen, "/") {
				if s == ".." || strings.HasPrefix(s, "..;") {
					t.Fatalf("%q becomes %q", raw, seen)
				}
			}
		}
	})
}

func FuzzQuestion(f *testing.F) {
	w := newWorld(f, storage(Nginx), Service{
		Name: "api", Proxy: Nginx, Hosts: []string{testHost},
		Paths: []string{"/api"},
	})
	token := bearer(f, "storage.read:/ storage.modify:/a")
	f.Add("COPY", testHost, "/a/f", "Destination", "https://se.example.org/a/g")
	f.Add("GET", testHost, "/a/f?x=y", "X_Token_Sub", "root")
	f.Add("MOVE", "se.example.org:8443", "/a%2ff", "Source", "//other/x")
	f.Fuzz(func(t *testing.T, method, host, uri, name, value string) {
		r := httptest.NewRequest(http.MethodGet, Nginx.Address(), nil)
		r.Header = http.Header{
			"Authorization": {token}, name: {value}, "X-Original-Method": {method}, "X-Original-Host": {host},
			"X-Original-Uri": {uri},
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		switch rec.Code {
		case 200, 401, 403, 500:
		default:
			t.Fatalf("nginx is told %d", rec.Code)
		}
		if rec.Code == http.StatusOK {
			if e := w.last(); !e.Allowed() || e.Request.Path == "" {
				t.Fatalf("a yes the gate did not give: %+v", e)
			}
		}
	})
}

func TestRefusalsAreTold(t *testing.T) {
	w := newWorld(t, storage(Traefik))
	w.ask(ask{proxy: Traefik, target: "/a/../b", header: auth("")})
	if e := w.last(); e.Allowed() || !errors.Is(e.Refusal, ErrDenied) || e.Request.Method != http.MethodGet {
		t.Errorf("the observer was told %+v", e)
	}
	w.ask(ask{proxy: Traefik, target: "/f", header: auth("", "X_Token_Sub", "x")})
	if e := w.last(); e.Allowed() || !errors.Is(e.Refusal, ErrRequest) || e.Request.Service != "storage" {
		t.Errorf("the observer was told %+v", e)
	}
}
