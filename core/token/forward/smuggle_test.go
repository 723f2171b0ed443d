package forward

import (
	"net/http"
	"slices"
	"testing"
)

// TestHostBehindNginx: the service sees the name that was judged, whatever the client calls the machine. With the
// client's own word in Host, a Destination "on another host" would be a path here for the service, and of several sites
// behind one address the client could choose.
func TestHostBehindNginx(t *testing.T) {
	s := startNginx(t, "")
	auth := "Authorization: " + s.one.token(t, "storage.read:/f")
	for name, c := range map[string]call{
		"another Host":    {method: "COPY", target: "/f", host: "evil.example.org"},
		"a whole URL":     {method: "COPY", target: "https://evil.example.org/f"},
		"another, to GET": {target: "/f", host: "evil.example.org"},
	} {
		c.lines = []string{auth}
		if c.method == "COPY" {
			c.lines = append(c.lines, "Destination: https://evil.example.org/victim")
		}
		r := s.call(t, c)
		if r.StatusCode != http.StatusOK || r.seen == nil || r.seen.Host != testHost {
			t.Errorf("%s: %d, the service saw %v", name, r.StatusCode, r.seen != nil && r.seen.Host == testHost)
		}
	}
}

// TestUpgrades: a connection that the service takes over for HTTP/2 would carry requests that nobody judges.
func TestUpgrades(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *site{
		"nginx": func(t testing.TB) *site { return startNginx(t, "") },
		"caddy": func(t testing.TB) *site { return startCaddy(t, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			auth := "Authorization: " + s.one.token(t, "storage.read:/f")
			for _, lines := range [][]string{
				{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"},
				{"Connection: Upgrade", "Upgrade: h2c"},
				{"Connection: Upgrade", "Upgrade: H2C"},
				{"Connection: Upgrade", "Upgrade: websocket, h2c"},
				{"Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"},
				{"Upgrade: h2c"},
			} {
				r := s.call(t, call{target: "/f", lines: append(lines, auth)})
				if r.seen != nil && r.seen.Header["Upgrade"] != nil &&
					!slices.Equal(r.seen.Header["Upgrade"], []string{"websocket"}) { // caddy drops all but the first
					t.Errorf("%q: %d, the service saw Upgrade: %q", lines, r.StatusCode, r.seen.Header["Upgrade"])
				}
			}
			r := s.call(t, call{target: "/f", lines: []string{"Connection: Upgrade", "Upgrade: websocket", auth}})
			if r.StatusCode != http.StatusOK || r.seen == nil {
				t.Errorf("websocket: %d %s", r.StatusCode, r.text)
			}
		})
	}
}
