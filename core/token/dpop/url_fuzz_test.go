package dpop

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzURL: the comparison is the same both ways, the short cut decides as the long way, and two URLs that are one have
// one scheme, one host and one port.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"https://rs.example.org/a", "HTTPS://RS.example.org:443/a?q#f", "https://rs.example.org/%61/../b/./", "https://[::1]:8443/",
		"https://user@rs.example.org/", "https:rs.example.org", "http://rs.example.org:80", "https://rs.example.org//a%2Fb", "https://rs.example.org:",
	} {
		f.Add(s, "https://rs.example.org/a")
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		same := sameURL(a, b)
		if same != sameURL(b, a) {
			t.Fatalf("%q and %q: it depends on the order", a, b)
		}
		if plainURL(a) {
			if n, ok := normalURL(a); !ok || !strings.HasPrefix(n, "https://") {
				t.Fatalf("%q is plain and has no normal form", a)
			}
		}
		if !same {
			return
		}
		x, errX := url.Parse(a)
		y, errY := url.Parse(b)
		if errX != nil || errY != nil || x.Scheme != y.Scheme || !strings.EqualFold(x.Hostname(), y.Hostname()) || port(x) != port(y) {
			t.Fatalf("%q counts as %q", a, b)
		}
	})
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
