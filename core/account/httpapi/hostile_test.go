package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/account/provision"
)

// TestHostile_names: whatever is asked for as a local user, it is no user, and it comes to nobody's log in one piece
// that a terminal would obey.
func TestHostile_names(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	for _, name := range []string{
		"root", "", " alice", "alice ", "alice\n", "alice\x00", "Alice", "al\u0131ce", "\u202ealice", "../alice", "alice;id",
		"deployment", "username", "-alice", strings.Repeat("a", 10_000), "alice@login.example.org", "%61lice",
	} {
		r := b.get("/verify_user?username="+url.QueryEscape(name), token)
		if strings.Contains(r.body, "true") {
			t.Errorf("%q: %d %s", name, r.status, r.body)
		}
	}
	b.wantVerified(token, "alice", "deployed", true)
}

// TestHostile_claims: texts of a token that come back in an answer are one JSON string.
func TestHostile_claims(t *testing.T) {
	b := newBed(t)
	for _, sub := range []string{
		`"},{"`, "a\nb", "<script>alert(1)</script>", "\u202e", strings.Repeat("a", 255),
		"a@b@c",
	} {
		token := b.sign(b.claims(sub).with("eduperson_entitlement", nil))
		r := b.get("/user/get_status", token)
		if o := r.object(t); r.status != 403 ||
			o["error_description"] != "User "+sub+"@"+opURL+" does not meet requirements" {
			t.Errorf("%q: %d %s", sub, r.status, r.body)
		}
	}
	r := b.get("/user/get_status", b.sign(b.claims("a").with("iss", `https://x"},{`)))
	if o := r.object(t); o["error_description"] != `Issuer is not trusted: https://x"},{` {
		t.Errorf("%s", r.body)
	}
	long := b.get("/user/get_status", b.sign(b.claims(strings.Repeat("a", 256))))
	if long.status != 401 {
		t.Errorf("a subject that is too long: %d %s", long.status, long.body)
	}
}

// TestHostile_bytes: what is no request, or more than one, is refused; nothing hangs.
func TestHostile_bytes(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	addr := strings.TrimPrefix(b.url, "http://")
	auth := "Authorization: Bearer " + token + "\r\n"
	for _, c := range []struct {
		name, sent string
		status     int
	}{
		{"a_path_with_dots", "GET /user/../admin HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", 404},
		{"an_encoded_slash", "GET /user%2fdeploy HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", 200}, // decoded once, as there
		{"encoded_twice", "GET /user%252fdeploy HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", 404},
		{"a_nul", "GET /user%00 HTTP/1.1\r\nHost: h\r\n\r\n", 404},
		{"a_bad_escape_in_the_query", "GET /verify_user?username=%zz HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", 400},
		{
			"a_semicolon_in_the_query", "GET /verify_user?username=alice;username=root HTTP/1.1\r\nHost: h\r\n" + auth +
				"\r\n", 400,
		},
		{"an_absolute_target", "GET http://evil/verify_user?username=alice HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", 200},
		{"a_method_in_lower_case", "get /info HTTP/1.1\r\nHost: h\r\n\r\n", 405},
		{"connect", "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 405},
		{"headers_of_2_MB", "GET /info HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", 431},
		{
			"two_lengths", "POST /user/deploy HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + auth +
				"\r\nab", 400,
		},
		{
			"a_form_that_is_too_large", fmt.Sprintf("POST /admin/suspend HTTP/1.1\r\nHost: h\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", 80<<10) + auth + "\r\n" +
				strings.Repeat("a", 80<<10), 413,
		},
		{
			"a_form_that_is_none", "POST /admin/suspend HTTP/1.1\r\nHost: h\r\n" +
				"Content-Type: application/x-www-form-urlencoded\r\n" +
				"Content-Length: 3\r\n" + auth + "\r\n%zz", 400,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			go func() { _, _ = conn.Write([]byte(c.sent)) }()
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Errorf("status %d, want %d", answer.StatusCode, c.status)
			}
		})
	}
}

func TestProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		unix       bool
		want       string
	}{
		{"nobody_between", "192.0.2.1:1", nil, false, "192.0.2.1"},
		{"a_stranger_who_says_he_is_a_proxy", "192.0.2.1:1", []string{"198.51.100.1"}, false, "192.0.2.1"},
		{"a_proxy", "10.0.0.1:1", []string{"198.51.100.1"}, false, "198.51.100.1"},
		{"a_proxy_and_a_client_who_lies", "10.0.0.1:1", []string{"127.0.0.1, 198.51.100.1"}, false, "198.51.100.1"},
		{"two_proxies", "10.0.0.1:1", []string{"198.51.100.1", "10.0.0.2"}, false, "198.51.100.1"},
		{"a_proxy_that_says_nothing", "10.0.0.1:1", nil, false, "10.0.0.1"},
		{"a_proxy_that_talks_nonsense", "10.0.0.1:1", []string{"198.51.100.1, nonsense"}, false, "10.0.0.1"},
		{"ipv6_with_a_port", "[::1]:1", []string{"[2001:db8::1]:443"}, false, "2001:db8::1"},
		{"ipv4_inside_ipv6", "[::ffff:192.0.2.1]:1", nil, false, "192.0.2.1"},
		{"a_unix_socket", "@", []string{"198.51.100.1"}, true, "198.51.100.1"},
		{"a_unix_socket_that_is_no_proxy", "@", []string{"198.51.100.1"}, false, ""},
		{"a_unix_socket_without_a_header", "@", nil, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.peer
			if c.forwarded != nil {
				r.Header["X-Forwarded-For"] = c.forwarded
			}
			got := Proxies{Prefixes: proxies, Unix: c.unix}.Client(r)
			if got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
				t.Errorf("%v, want %q", got, c.want)
			}
		})
	}
}

// TestAudit_holds_no_secret: of everything that is told, neither a token nor a password is a part.
func TestAudit_holds_no_secret(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	own, _ := b.post("/user/generate_otp?form=oxp", token).object(t)["password"].(string)
	b.get("/user/generate_otp", token)
	for _, secret := range []string{"hunter2", compat(token), own, token, own, "eyJ.a.b"} {
		b.get("/verify_user?username=alice", secret)
		b.get("/user/get_status", secret)
	}
	b.post("/admin/v1/who", b.chief(), "token", token)
	told := fmt.Sprintf("%+v", b.seen())
	for _, secret := range []string{token, token[:40], own, compat(token), "hunter2", b.chief()} {
		if strings.Contains(told, secret) {
			t.Errorf("the audit has %s", secret)
		}
	}
	if !strings.Contains(told, "login") || !strings.Contains(told, "refused") {
		t.Errorf("%s", told)
	}
}

// FuzzServe: any request gets an answer of the API, and only one that is asked with the right token says yes.
func FuzzServe(f *testing.F) {
	b := newBed(f, func(o *Options, _ *provision.Options) {
		o.Limiter = NewLimiter(Rates{Guesses: Rate{1 << 40, time.Hour}, Changes: Rate{1 << 40, time.Hour}}, o.Now)
	})
	h := b.Handler()
	for _, path := range []string{
		"/", "/api", "/info/op?url=x", "/verify_user?username=a",
		"/admin/suspend?sub=a&iss=b", "/admin/v1/accounts?limit=1",
	} {
		f.Add("GET", path, "Bearer x", "")
		f.Add("POST", path, "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "sub=a&iss=b")
	}
	f.Fuzz(func(t *testing.T, method, target, header, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, target
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if header != "" {
			r.Header["Authorization"] = []string{header}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Body.String()
		switch {
		case w.Code == 500:
			t.Errorf("%s %s: 500 %s", method, target, got)
		case strings.Contains(got, `"verified":true`):
			t.Errorf("%s %s with %q: %s", method, target, header, got)
		case strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") &&
			(!json.Valid([]byte(got)) || !utf8.ValidString(got)):
			t.Errorf("%s %s: %q", method, target, got)
		}
	})
}

// FuzzPrivacyPage: a statement brings no markup of its own.
func FuzzPrivacyPage(f *testing.F) {
	for _, s := range []string{
		"# a\n\n- b\n- c\n\n1. d", "[x](javascript:alert(1)) <b> **c** *d* `e`",
		"[a](https://b\"c)", "<https://x.y>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		page := string(privacyPage(text))
		if !utf8.ValidString(page) {
			t.Fatal("the page is no UTF-8")
		}
		_, body, _ := strings.Cut(page, "<body>")
		for i := range len(body) {
			if body[i] != '<' {
				continue
			}
			tag, _, _ := strings.Cut(strings.TrimPrefix(body[i+1:], "/"), ">")
			name, rest, _ := strings.Cut(tag, " ")
			switch name {
			case "p", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "code", "strong", "em", "body", "html":
				if rest != "" {
					t.Fatalf("%q brings <%s>", text, tag)
				}
			case "a":
				if rest != "" && !strings.HasPrefix(rest, `href="http://`) && !strings.HasPrefix(rest, `href="https://`) &&
					!strings.HasPrefix(rest, `href="mailto:`) {
					t.Fatalf("%q brings <%s>", text, tag)
				}
			default:
				t.Fatalf("%q brings <%s>", text, tag)
			}
		}
	})
}
