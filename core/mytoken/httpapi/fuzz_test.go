package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzBody: no body makes a reader panic; what is read is one JSON object within bounds, and reads the same again.
func FuzzBody(f *testing.F) {
	for _, body := range hostile() {
		if len(body) < 4<<10 {
			f.Add("application/json", body)
		}
	}
	f.Add("application/x-www-form-urlencoded",
		"grant_type=mytoken&scope=a+b&audience=x&audience=y&restrictions=[{\"exp\":1}]&a=%ff")
	f.Add("application/xml", "<r><grant_type>mytoken</grant_type><tag>a</tag><tag>b</tag></r>")
	f.Add("text/xml; charset=utf-8", "<?xml version=\"1.0\"?><r><a/></r>")
	f.Add("", "a=b")
	f.Fuzz(func(t *testing.T, kind, body string) {
		b, err := readBody(kind, []byte(body))
		if err != nil {
			if e := refusal(err); e.Status != 400 || e.Code != "invalid_request" {
				t.Fatalf("refused with %+v", e)
			}
			return
		}
		raw, err := b.JSON()
		if err != nil || !json.Valid(raw) || !utf8.Valid(raw) {
			t.Fatalf("%q is %q, %v", body, raw, err)
		}
		again, err := readJSON(raw)
		if err != nil {
			t.Fatalf("%q cannot be read again: %v", raw, err)
		}
		if twice, _ := again.JSON(); string(twice) != string(raw) {
			t.Fatalf("%q became %q", raw, twice)
		}
		for _, name := range []string{"grant_type", "mytoken", "scope", "audience", "recursive", "mom_ids", "a", ""} {
			_, _ = b.Text(name)
			_, _ = b.List(name)
			_, _ = b.Flag(name)
			_ = b.Raw(name)
		}
		_, _ = accessRequest(b)
		_, _ = revocation(b)
		_, _ = templateOf(b)
		if q, err := readExchange(b); err == nil && !tokenLike(q.subject) {
			t.Fatalf("a subject_token that can be none: %q", q.subject)
		}
	})
}

// FuzzHeaders: no header of a request makes finding its sender or its mytoken panic, and neither is ever something that
// cannot be one.
func FuzzHeaders(f *testing.F) {
	f.Add("127.0.0.1:1", "198.51.100.1, 10.0.0.1", "Bearer "+strings.Repeat("x", 40), "id-1")
	f.Add("@", "::1%x, [::1]:80,,", "DPoP ", "\r\n")
	f.Add("[::1]:1", strings.Repeat(",", 500), "bearer\tx", strings.Repeat("a", 100))
	from := origins{
		proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::/0")},
		unix:    true,
	}
	f.Fuzz(func(t *testing.T, peer, forwarded, authorization, id string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = []string{forwarded}
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Request-Id"] = []string{id}
		r.Header["User-Agent"] = []string{forwarded}
		told, got := from.tell(r)
		if !plainID(got) {
			t.Fatalf("request id %q", got)
		}
		if o := OriginOf(told.Context()); o.Client.Zone() != "" || !utf8.ValidString(o.UserAgent) {
			t.Fatalf("origin %+v", o)
		}
		if token := bearerOf(r); token != "" && !strings.Contains(authorization, token) {
			t.Fatalf("token %q of %q", token, authorization)
		}
	})
}
