package forward

import (
	"net/http"
	"testing"
)

// TestReadings: a path that some services behind read in another way is allowed only when every reading is. Tomcat and
// those built on it drop what follows a semicolon; others decode twice.
func TestReadings(t *testing.T) {
	const rules = `
version: 1
services:
  api:
    rules:
      - paths: [/admin]
        require: NOONE
    require: IDENTIFIED
  other: {require: NOONE}
`
	const ok, no = "200", "403"
	for _, p := range Proxies() {
		w := newWorldOf(t, rules, Service{Name: "api", Proxy: p, Hosts: []string{testHost}},
			Service{Name: "other", Proxy: p, Hosts: []string{testHost}, Paths: []string{"/other"}})
		token := auth(bearer(t, "openid"))
		for target, want := range map[string]string{
			"/f": ok, "/admin": no, "/admin/users": no, "//admin/users": no, "/./admin": no, "/%61dmin/users": no,
			"/admin;x=1/users": no, "/admin;/users": no, "/;x/admin/users": no, "/admin%3bx/users": no, "/admin%3Bx": no,
			"/%2561dmin/users": no, "/%252561dmin": no, "/%61dmin;v=%20": no, "/%2561dmin;v/x": no, "/admin%253bx": no,
			"/other;x/f": no, "/%256fther/f": no, "/f/;/../../x": no,
			"/f;v=1": ok, "/a%20b;v": ok, "/100%25": ok, "/100%25/f": ok, "/100%25;v": ok, "/%E2%82%AC;v": ok, "/a%3Bb": ok,
			"/administrator;x": ok, "/a%252Eb": ok,
		} {
			resp := w.ask(ask{proxy: p, target: target, header: token})
			if got := meant(t, resp); got != want {
				t.Errorf("%s %s means %s, want %s", p, target, got, want)
			}
			if r := w.last().Request; want == ok && r.Path != target {
				t.Errorf("%s %s: the audit says %s", p, target, r.Path)
			}
		}
	}
}

// TestReadingsOfFiles: who may write a directory may write files whose names have a semicolon, and who may write one
// file does not write another by way of it.
func TestReadingsOfFiles(t *testing.T) {
	w := newWorld(t, storage(Nginx))
	for target, want := range map[string]string{"/open/f;v=1": "200", "/open/f": "200", "/open;v/f": "403", "/f": "403"} {
		token := auth(bearer(t, "storage.modify:/open"))
		resp := w.ask(ask{proxy: Nginx, method: http.MethodPut, target: target, header: token})
		if got := meant(t, resp); got != want {
			t.Errorf("%s means %s, want %s", target, got, want)
		}
	}
	h := auth(bearer(t, "storage.read:/ storage.modify:/drop;box"), "Destination", "https://"+testHost+"/drop;box/f")
	if got := meant(t, w.ask(ask{proxy: Nginx, method: "COPY", target: "/f", header: h})); got != "403" {
		t.Errorf("a copy to where another reading is not allowed means %s", got)
	}
}
