package forward

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExchanges replays what Traefik and Envoy ask, and looks at what they are answered (testdata/exchanges/README.md).
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.txt")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d exchanges, %v", len(files), err)
	}
	envoy := storage(Envoy)
	envoy.Name = "storage"
	worlds := map[string]*world{"traefik": newWorld(t, storage(Traefik)), "envoy": newWorld(t, envoy)}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			make, _, _ := strings.Cut(name, "-")
			request, answer, found := strings.Cut(string(text), "---\n")
			if !found || worlds[make] == nil {
				t.Fatal("not an exchange")
			}
			_, request, _ = strings.Cut(request, "\n") // the comment
			srv := httptest.NewServer(worlds[make])
			defer srv.Close()
			resp := rawExchange(t, srv.Listener.Addr().String(), fillTokens(t, request))
			compare(t, resp, answer)
		})
	}
}

func fillTokens(t *testing.T, request string) string {
	request = regexp.MustCompile(`Bearer \{token ([^}]*)\}`).ReplaceAllStringFunc(request, func(s string) string {
		return bearer(t, strings.TrimSuffix(strings.TrimPrefix(s, "Bearer {token "), "}"))
	})
	old := set{"exp": now.Unix() - 1, "iat": now.Unix() - 600, "nbf": now.Unix() - 600}
	return strings.ReplaceAll(request, "Bearer {expired}", bearer(t, "storage.read:/data", old))
}

func rawExchange(t *testing.T, addr, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(body(t, resp), "token-of-another-host") {
		t.Error("the answer repeats what was sent")
	}
	return resp
}

func compare(t *testing.T, resp *http.Response, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	if !strings.HasPrefix(resp.Status, lines[0]+" ") {
		t.Errorf("status %s, want %s", resp.Status, lines[0])
	}
	for _, line := range lines[1:] {
		if name, absent := strings.CutPrefix(line, "!"); absent {
			if resp.Header[name] != nil {
				t.Errorf("%s: %q", name, resp.Header[name])
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		got := resp.Header[name]
		if len(got) != 1 || got[0] != strings.TrimSpace(value) {
			t.Errorf("%s: %q, want %q", name, got, strings.TrimSpace(value))
		}
	}
}
