package httpauth

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// TestGoRequirement runs the program of docs/policy.md: get_vo_requirement in Go, with an issuer whose keys it fetches.
func TestGoRequirement(t *testing.T) {
	issuer := serveKeys(t)
	listen := freeAddress(t)
	run(t, replace(t, program(t), "https://cms-auth.example.org/", issuer, "127.0.0.1:8080", listen), listen)
	cases := []struct {
		name   string
		groups any
		status int
	}{
		{"one_of_them", []string{"/wlcg"}, 200},
		{"the_other", []string{"/atlas", "/cms"}, 200},
		{"both", []string{"/cms", "/wlcg"}, 200},
		{"a_child_is_no_parent", []string{"/cms/uscms"}, 403},
		{"others", []string{"/atlas"}, 403},
		{"none", []string{}, 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, body := get(t, listen, "Bearer "+signed(t, issuer, c.groups))
			if status != c.status || (status == 200) != (body == "hello alice of "+issuer+"\n") {
				t.Errorf("%d %q", status, body)
			}
		})
	}
	if status, body := get(t, listen, ""); status != 401 {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := get(t, listen, "Bearer "+signed(t, "https://evil.example.org", []string{"/cms"})); status != 401 {
		t.Errorf("of another issuer: %d %s", status, body)
	}
}

// program is the Go program of docs/policy.md.
func program(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	if len(m) != 1 {
		t.Fatalf("docs/policy.md has %d Go programs", len(m))
	}
	return m[0][1]
}

func replace(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("there is not one %s in\n%s", pairs[i], text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// run compiles a program and runs it until the test ends.
func run(t *testing.T, source, listen string) {
	t.Helper()
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "service")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	cmd.Env = []string{"HOME=" + dir}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			t.Log("service:", lines.Text())
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatal("the service ended")
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the service does not listen: %v", err)
		}
	}
}

// serveKeys is an issuer as far as a verifier sees one, for testKey.
func serveKeys(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	send := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.Handle("/.well-known/openid-configuration", send(map[string]string{
		"issuer": srv.URL, "jwks_uri": srv.URL + "/keys",
	}))
	mux.Handle("/keys", send(jose.NewKeySet(testKey().Public())))
	return srv.URL
}

func signed(t *testing.T, issuer string, groups any) string {
	t.Helper()
	text, err := testKey().Sign("", mustJSON(t, map[string]any{
		"iss": issuer, "sub": "alice", "aud": "https://api.example.org", "iat": time.Now().Unix(),
		"exp": time.Now().Add(time.Hour).Unix(), "jti": "j", "wlcg.ver": "1.0", "wlcg.groups": groups,
	}))
	if err != nil {
		t.Fatal(err)
	}
	return text.Expose()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func get(t *testing.T, listen, header string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listen+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
