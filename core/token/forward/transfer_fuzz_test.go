package forward

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzTransfer asks about COPY and MOVE with any Source, Destination and Overwrite for somebody who may read below /a,
// create below /in and modify nothing. Whatever is allowed reads there, creates there, and overwrites, moves and deletes
// nothing; what this host is called in another spelling is this host.
func FuzzTransfer(f *testing.F) {
	w := newWorld(f, storage(Nginx))
	token := bearer(f, "storage.read:/a storage.create:/in")
	for _, value := range []string{
		"https://other.example/x", "https://se.example.org/a/f", "https://SE.example.org:8443/in/f", "/a/f", "/in/../x", "//se.example.org/b",
		"https://se.example.org./b", "https://user@other.example/", "davs://other.example", "https://[::1]/a", "https://se.example.org%2f/a", "",
	} {
		f.Add(true, "/in/g", value, "", "F")
		f.Add(false, "/a/f", "", value, "T")
		f.Add(true, "/in/g", value, value, "")
	}
	f.Fuzz(func(t *testing.T, isCopy bool, target, source, destination, overwrite string) {
		method := map[bool]string{true: "COPY", false: "MOVE"}[isCopy]
		h := auth(token)
		for name, v := range map[string]string{"Source": source, "Destination": destination, "Overwrite": overwrite} {
			if v != "" {
				h[name] = []string{v}
			}
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, ask{proxy: Nginx, method: method, target: target, header: h}.request())
		if rec.Code != http.StatusOK {
			return
		}
		here := func(dir, raw string) bool {
			p, err := parsePath(raw)
			return err == nil && (p.String() == dir || strings.HasPrefix(p.String(), dir+"/"))
		}
		path, _, _ := strings.Cut(target, "?")
		far, local := place(source + destination)
		pulled := source != "" && !local // what a MOVE takes away is not here
		if !isCopy && !pulled || (source == "") == (destination == "") {
			t.Fatalf("%s %s from %q to %q is allowed", method, target, source, destination)
		}
		from, to := path, far
		if source != "" {
			from, to = far, path
		}
		if (local || source == "") && !here("/a", from) {
			t.Fatalf("reads %q: %s from %q to %q", from, target, source, destination)
		}
		if (local || source != "") && (!here("/in", to) || overwrite != "F") {
			t.Fatalf("writes %q (Overwrite %q): %s from %q to %q", to, overwrite, target, source, destination)
		}
	})
}

// place is what a URL names, read with net/url alone: its path, and whether it is on the test's host.
func place(s string) (path string, local bool) {
	u, err := url.Parse(s)
	if err != nil {
		return "", true
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return u.EscapedPath(), name == "" || name == testHost
}

// Who may create below a directory may make the directories above it, and put nothing else there.
func TestLeadingDirectories(t *testing.T) {
	creates := storage(Nginx)
	creates.PutCreates = true
	w := newWorld(t, creates)
	token := bearer(t, "storage.create:/in/sub")
	for _, c := range []struct {
		method, target string
		header         []string
		want           int
	}{
		{"MKCOL", "/in/", nil, http.StatusOK},
		{"MKCOL", "/in/sub/new/", nil, http.StatusOK},
		{"MKCOL", "/out/", nil, http.StatusForbidden},
		{"PUT", "/in/sub/f", nil, http.StatusOK},
		{"PUT", "/in/", nil, http.StatusForbidden},
		{"PUT", "/", nil, http.StatusForbidden},
		{"COPY", "/in/", []string{"Source", "https://other.example/d/"}, http.StatusForbidden},
		{"COPY", "/in/.", []string{"Source", "https://other.example/d/"}, http.StatusForbidden},
		{"COPY", "/in/sub/d/", []string{"Source", "https://other.example/d/"}, http.StatusOK},
	} {
		resp := w.ask(ask{proxy: Nginx, method: c.method, target: c.target, header: auth(token, c.header...)})
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, resp.StatusCode, c.want)
		}
	}
}
