package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// TestUnknown: whatever is not served below /api is 404 with the path, also a method that a path does not have.
func TestUnknown(t *testing.T) {
	b := start(t, withGroups)
	methods := map[string][]string{}
	for _, r := range b.api.routes() {
		if strings.HasPrefix(r.Path, "/api/") {
			methods[r.Path] = append(methods[r.Path], r.Method)
		}
	}
	if len(methods) < 15 {
		t.Fatalf("only %d paths", len(methods))
	}
	value := regexp.MustCompile(`\{[a-z]+\}`)
	for path, have := range methods {
		path = value.ReplaceAllString(path, "profiles")
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
			if slices.Contains(have, method) || strings.HasPrefix(path, pathTemplates+"/profiles") {
				continue
			}
			b.refused(b.send(method, path, ""), 404, "not_found", path)
		}
	}
	for _, path := range []string{
		"/api", "/api/v0", "/api/v1/token/my", "/api/v0/token", "/api/v0/token/my/x",
		"/api/v0//token/my", "/api/v0/./token/my",
		"/api/v0/token/../token/my", "/api/../api/v0/token/my", "/api/v0/TOKEN/my",
		"/api/v0/settings/email", "/api/v0/pt/a/b/c/d",
	} {
		r := b.send("POST", path, "{}")
		if r.status != 404 || r.obj(t)["error"] != "not_found" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	for _, path := range []string{"/", "/nothing", "/apix", "/jwks/x"} {
		if r := b.send("GET", path, ""); r.status != 404 || strings.HasPrefix(r.body, "{") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// TestHeaders: who on other sites may read what, and what every answer carries.
func TestHeaders(t *testing.T) {
	b := start(t)
	for path, open := range map[string]bool{
		pathConfiguration: true, pathOpenID: true, pathMetadata: true, pathJWKS: true, pathSettings: true,
		"/api/v0/nothing": true, "/static/x.css": true,
		"/": false, "/redirect?state=x": false, "/native": false, "/.well-known/other": false, "/apix": false, "/c/x": false,
	} {
		r := b.send("GET", path, "", "Origin", "https://evil.example")
		if got := r.header.Get("Access-Control-Allow-Origin"); (got == "*") != open || got != "" && got != "*" {
			t.Errorf("%s: Access-Control-Allow-Origin %q, want open %v", path, got, open)
		}
		if r.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials of other sites are allowed", path)
		}
		if id := r.header.Get("X-Request-Id"); len(id) < 20 || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: X-Request-Id %q, headers %v", path, id, r.header)
		}
		frame, policy := r.header.Get("X-Frame-Options"), r.header.Get("Cross-Origin-Resource-Policy")
		if open == (frame == "DENY") || open == (policy != "") {
			t.Errorf("%s: X-Frame-Options %q, Cross-Origin-Resource-Policy %q", path, frame, policy)
		}
	}
	ask := []string{"Origin", "https://x.example", "Access-Control-Request-Method", "POST"}
	r := b.want(204, b.send("OPTIONS", pathMytoken, "", ask...))
	if r.header.Get("Access-Control-Allow-Methods") == "" || r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: %v", r.header)
	}
	if r := b.send("OPTIONS", "/c/x", "", ask...); r.status == 204 {
		t.Error("a page answers a preflight")
	}
}

func TestRequestID(t *testing.T) {
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		sent    string
		kept    bool
	}{
		"of a stranger":       {nil, "abc-123", false},
		"of a proxy":          {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "abc-123", true},
		"of a proxy, hostile": {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "a b<c>", false},
		"of a proxy, long":    {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, strings.Repeat("a", 65), false},
	} {
		b := start(t, func(_ *desk.Options, o *Options) { o.Proxies = c.proxies })
		r := b.send("GET", pathSettings, "", "X-Request-Id", c.sent)
		if got := r.header.Get("X-Request-Id"); (got == c.sent) != c.kept || got == "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestOrigin: an address counts when those before it, seen from us, are proxies that we trust.
func TestOrigin(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		unix       bool
		forwarded  []string
		want       string
	}{
		{"no header", "10.0.0.1:1", false, nil, "10.0.0.1"},
		{"from a stranger", "192.0.2.9:1", false, []string{"198.51.100.1"}, "192.0.2.9"},
		{"one proxy", "10.0.0.1:1", false, []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client wrote itself", "10.0.0.1:1", false, []string{"203.0.113.7, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", false, []string{"203.0.113.7, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1", false, []string{"203.0.113.7", "198.51.100.1"}, "198.51.100.1"},
		{"garbage", "10.0.0.1:1", false, []string{"203.0.113.7, nonsense"}, "10.0.0.1"},
		{"garbage behind an address", "10.0.0.1:1", false, []string{"nonsense, 198.51.100.1"}, "198.51.100.1"},
		{"all trusted", "10.0.0.1:1", false, []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9"},
		{"with a port", "10.0.0.1:1", false, []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:1", false, []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", false, []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a zone", "[fe80::1%eth0]:1", false, nil, "fe80::1"},
		{"unix socket", "@", true, []string{"198.51.100.1"}, "198.51.100.1"},
		{"unix socket, not trusted", "@", false, []string{"198.51.100.1"}, "invalid IP"},
		{"many", "10.0.0.1:1", false, []string{"1.1.1.1" + strings.Repeat(",10.0.0.1", 1000)}, "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forwarded
			r.Header.Set("User-Agent", strings.Repeat("ü", 1000))
			got, _ := origins{proxies: trusted, unix: c.unix}.of(r)
			if got.Client.String() != c.want || len(got.UserAgent) > maxUserAgent+2 {
				t.Errorf("got %s, want %s; user agent of %d bytes", got.Client, c.want, len(got.UserAgent))
			}
		})
	}
}

func TestRates(t *testing.T) {
	b := start(t, func(d *desk.Options, o *Options) {
		o.Gate = NewGate(Limits{Address: Rate{100, time.Minute}, Mytoken: Rate{5, time.Minute}, Person: Rate{
			8,
			time.Minute,
		}}, o.Now)
		d.Allow = o.Gate.Person
	})
	one, two := b.token(nil), b.token(nil)
	introspect := func(mt string) reply { return b.post(pathInfo, m{"action": "introspect", "mytoken": mt}) }
	for range 5 {
		b.want(200, introspect(one))
	}
	r := b.want(429, introspect(one))
	if r.obj(t)["error"] != "too_many_requests" || r.header.Get("Retry-After") != "12" {
		t.Errorf("per mytoken: %v %s", r.header, r.body)
	}
	for range 3 {
		b.want(200, introspect(two))
	}
	r = b.want(429, introspect(two))
	if r.obj(t)["error_description"] != "too many requests of this person" || r.header.Get("Retry-After") == "" {
		t.Errorf("per person: %v %s", r.header, r.body)
	}
	b.op.subject = "bob"
	if r := introspect(b.token(nil)); r.status != 200 {
		t.Errorf("another person pays: %d %s", r.status, r.body)
	}
	for range 100 {
		r = b.send("GET", pathSettings, "")
	}
	if r.status != 429 || r.obj(t)["error"] != "too_many_requests" || r.header.Get("Retry-After") != "1" {
		t.Errorf("per address: %d %v %s", r.status, r.header, r.body)
	}
	if r := b.send("GET", "/", "", "Accept", "text/html"); r.status != 429 || !strings.Contains(r.body,
		"Too Many Requests\n") {
		t.Errorf("a browser is told %d %q", r.status, r.body)
	}
	b.clock.move(time.Minute)
	b.want(200, b.send("GET", pathSettings, ""))
}

func TestExempt(t *testing.T) {
	b := start(t, func(_ *desk.Options, o *Options) {
		o.Gate = NewGate(Limits{
			Address: Rate{1, time.Hour},
			Exempt:  []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		}, o.Now)
	})
	for range 5 {
		b.want(200, b.send("GET", pathSettings, ""))
	}
}

// TestShortCodes: a code that a person types cannot be guessed from one address.
func TestShortCodes(t *testing.T) {
	b := start(t, func(_ *desk.Options, o *Options) { o.Gate = NewGate(Limits{Guesses: Rate{3, time.Minute}}, o.Now) })
	guess := m{"grant_type": "transfer_code", "transfer_code": "ABCDEFGH2345"}
	for range 3 {
		b.want(401, b.post(pathMytoken, guess))
	}
	b.want(429, b.post(pathMytoken, guess))
	b.want(429, b.post(pathRevoke, m{"token": "ABCDEFGH2345"}))
	// Polling with a code that nobody types goes on.
	b.want(401, b.post(pathMytoken, m{"grant_type": "polling_code", "polling_code": strings.Repeat("a", 32)}))
}

// hostile are bodies that have to be refused, or do nothing.
func hostile() map[string]string {
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	many := `{"a":[` + strings.Repeat(`{"x":1},`, 3000) + `1]}`
	return map[string]string{
		"deep": deep, "deep array": `{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) +
			"}", "many members": many,
		"twice": `{"grant_type":"mytoken","grant_type":"oidc_flow"}`, "array": `[]`, "null": `null`, "string": `"x"`,
		"number": `1e999`, "cut": `{"a":`, "trailing": `{} {}`, "bom": "\xef\xbb\xbf{}", "not utf8": "{\"a\":\"\xff\"}",
		"nul": "{\"a\":\"\x00\"}", "large": `{"a":"` + strings.Repeat("x", 200<<10) + `"}`,
		"grant is number": `{"grant_type":1,"mytoken":1,"token":1,"action":1,"mom_ids":1,"tag":1}`,
		"grant is object": `{"grant_type":{},"mytoken":{},"token":{},"action":{},"mom_ids":{},"tag":{}}`,
		"mytoken with a line": `{"grant_type":"mytoken","action":"introspect","token":"x","mytoken":"` +
			strings.Repeat("x", 40) + `\r\nX: y"}`,
		"mytoken too long": `{"grant_type":"mytoken","action":"introspect","mytoken":"` + strings.Repeat("x", 40000) +
			`"}`,
		"xml bomb": `<!DOCTYPE r [<!ENTITY a "aaaa">]><r><grant_type>&a;</grant_type></r>`,
	}
}

// TestHostileBodies: no body makes the server fail, and every refusal is the API's.
func TestHostileBodies(t *testing.T) {
	b := start(t, withGroups)
	value := regexp.MustCompile(`\{[a-z]+\}`)
	for _, route := range b.api.routes() {
		if route.API == nil || route.Method == "GET" {
			continue
		}
		path := value.ReplaceAllString(route.Path, "x")
		for name, body := range hostile() {
			for _, kind := range []string{
				"application/json", "application/x-www-form-urlencoded", "text/xml",
				"multipart/form-data; x", "",
			} {
				r := b.send(route.Method, path, body, "Content-Type", kind)
				if r.status < 400 || r.status >= 500 {
					if path != pathRevoke && path != pathRevocation || r.status >= 500 {
						t.Errorf("%s %s, %s as %q: %d %s", route.Method, path, name, kind, r.status, r.body)
					}
					continue
				}
				var e map[string]string
				if json.Unmarshal([]byte(r.body), &e) != nil || e["error"] == "" || len(e) > 2 {
					t.Errorf("%s %s, %s as %q: %d %q", route.Method, path, name, kind, r.status, r.body)
				}
			}
		}
	}
	if strings.Contains(b.log.String(), "request failed") || strings.Contains(b.log.String(), "panic") {
		t.Errorf("the server failed: %s", b.log)
	}
}

// TestInjection: nothing of a request gets into headers or lines of an answer.
func TestInjection(t *testing.T) {
	b := start(t)
	evil := "x\"\r\nSet-Cookie: a=b\u2028<script>\x1b[31m"
	for _, r := range []reply{
		b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": evil}),
		b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "oidc_flow": evil}),
		b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "include": evil}),
		b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "name": evil}),
		b.post(pathMytoken, m{
			"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "client_type": "web",
			"redirect_uri": "https://x/" + evil,
		}),
		b.post(pathAccess, m{"grant_type": evil}),
		b.post(pathInfo, m{"action": evil}),
		b.send("POST", "/api/v0/%0d%0aSet-Cookie:%20a=b", "{}"),
		b.send("GET", pathRedirect+"?state=%0d%0a&error=%0d%0aX:%20y", ""),
		b.send("POST", "/c/%0d%0aX:%20y", `{"capabilities":["AT"]}`),
	} {
		if r.status < 400 || r.status >= 500 || r.header.Get("Set-Cookie") != "" {
			t.Errorf("%d %v %q", r.status, r.header, r.body)
		}
		if strings.ContainsAny(strings.TrimSuffix(r.body, "\n"), "\r\n\x1b") || strings.Contains(r.body, "\u2028") {
			t.Errorf("lines or controls in %q", r.body)
		}
	}
	r := b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "application_name": "a&b=c#d/../e"})
	path := strings.TrimPrefix(b.want(200, r).obj(t)["consent_uri"].(string), b.url)
	if got := b.want(StatusForward, b.post(path,
		"")).obj(t)["url"]; got != "/native/abort?application=a%26b%3Dc%23d%2F..%2Fe" {
		t.Errorf("url %v", got)
	}
}

// TestOwnTrouble: what goes wrong inside is in the log, and nowhere else; no secret is in the log.
func TestOwnTrouble(t *testing.T) {
	b := start(t, func(_ *desk.Options, o *Options) {
		o.Mount = []Route{
			{Method: "GET", Path: "/api/v0/broken", API: func(*Call) (Answer, error) {
				return Answer{}, fmt.Errorf("disk on fire: %w", context.DeadlineExceeded)
			}},
			{Method: "GET", Path: "/api/v0/panics", API: func(*Call) (Answer, error) { panic("disk on fire") }},
		}
	})
	b.refused(b.send("GET", "/api/v0/broken", ""), 500, "internal_server_error", "")
	r := b.send("GET", "/api/v0/panics", "")
	if r.status != 500 || strings.Contains(r.body, "fire") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !strings.Contains(b.log.String(), "disk on fire: context deadline") {
		t.Errorf("log %s", b.log)
	}
	mt := b.token(nil)
	b.want(200, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}))
	b.post(pathAccess+"?mytoken="+mt, m{"grant_type": "x" + mt, "mytoken": mt})
	b.send("GET", "/api/v0/"+mt, "", "Authorization", "Bearer "+mt)
	for _, part := range strings.Split(mt, ".")[1:] {
		if strings.Contains(b.log.String(), part[:40]) {
			t.Error("the log has a mytoken in it")
		}
	}
	if bytes.Contains(b.log.Bytes(), []byte("access-1")) {
		t.Error("the log has an access token in it")
	}
}

// TestCookieOfOthers: a page of somebody else does not act with the cookie of the person.
func TestCookieOfOthers(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	body := m{"action": "introspect"}
	for _, c := range []struct {
		name, value string
		taken       bool
	}{
		{"Sec-Fetch-Site", "cross-site", false},
		{"Sec-Fetch-Site", "same-site", false},
		{"Sec-Fetch-Site", "nonsense", false},
		{"Sec-Fetch-Site", "same-origin", true},
		{"Sec-Fetch-Site", "none", true},
		{"Origin", "https://evil.example", false},
		{"Origin", "null", false},
		{"Origin", b.url, true},
		{"X-Nothing", "x", true},
	} {
		if r := b.post(pathInfo, body, "Cookie", "mytoken="+mt, c.name, c.value); (r.status == 200) != c.taken {
			t.Errorf("%s: %s: %d %s", c.name, c.value, r.status, r.body)
		}
	}
	// Never in a query.
	b.refused(b.post(pathInfo+"?mytoken="+mt, body), 401, "invalid_token", "no mytoken found in request")
}

func TestOptions(t *testing.T) {
	b := start(t)
	good := Options{Issuer: "https://m.example", Desk: b.desk, Keys: b.api.o.Keys}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no issuer":       func(o *Options) { o.Issuer = "" },
		"no web address":  func(o *Options) { o.Issuer = "ldap://x" },
		"a path":          func(o *Options) { o.Issuer += "/x" },
		"a query":         func(o *Options) { o.Issuer += "?x" },
		"no desk":         func(o *Options) { o.Desk = nil },
		"no keys":         func(o *Options) { o.Keys = nil },
		"neither nor":     func(o *Options) { o.Mount = []Route{{Path: "/x"}} },
		"page in the API": func(o *Options) { o.Mount = []Route{{Path: "/api/x", Page: http.NotFoundHandler()}} },
		"served twice": func(o *Options) {
			o.Mount = []Route{{
				Method: "GET", Path: pathJWKS,
				Page: http.NotFoundHandler(),
			}}
		},
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), ErrOptions.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
