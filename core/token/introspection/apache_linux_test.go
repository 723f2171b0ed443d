package introspection

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// apache runs the block of docs/admin/verifier.md: the module asks the endpoint, and the service behind shows the
// headers it gets.
func apache(t *testing.T, g Gate) *services.Apache {
	t.Helper()
	certificates := services.Certificates(t)
	cert, err := tls.LoadX509KeyPair(filepath.Join(certificates, "server.pem"), filepath.Join(certificates, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewUnstartedServer(newEndpoint(t, g, Options{Clients: map[string]Client{
		"apache": testClients()["wiki"],
	}}))
	endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	endpoint.StartTLS()
	t.Cleanup(endpoint.Close)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) }))
	t.Cleanup(backend.Close)
	at, err := url.Parse(endpoint.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "apache") // its workers run as somebody else, who has to read the certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(certificates, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "localhost.pem"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "apache-secret.conf", "OIDCOAuthClientSecret "+wikiSecret+"\n")
	site := replace(t, block(t, "admin/verifier.md", "# /etc/apache2/conf-available/verifier.conf\n"),
		"https://localhost:8443/", "https://localhost:"+at.Port()+"/", "/etc/oidcbox/", dir+"/",
		"http://127.0.0.1:9000/", backend.URL+"/")
	return services.StartApache(t, site, "auth_openidc", "headers", "proxy", "proxy_http")
}

// ask sends one request and returns the status, and the headers the service behind saw.
func ask(t *testing.T, a *services.Apache, headers ...string) (*http.Response, []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+"/f", nil)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header[pair[0]] = append(r.Header[pair[0]], pair[1]) // as it is spelled
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	return resp, strings.Split(strings.TrimSpace(string(bytes.ReplaceAll(b, []byte("\r"), nil))), "\n")
}

// seen returns the values that a service behind sees of a header, in all spellings it might take for it.
func seen(saw []string, name string) (values []string) {
	for _, line := range saw {
		key, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(strings.NewReplacer("_", "-", ".", "-").Replace(key), name) {
			values = append(values, value)
		}
	}
	return values
}

// TestApache: Debian's apache2 with mod_auth_openidc as resource server, as docs/admin/verifier.md configures it.
func TestApache(t *testing.T) {
	a := apache(t, troubled{newGate(t)})
	good := "Bearer " + token(t, map[string]any{"wlcg.groups": []string{"/cms", "/cms/x"}})
	for _, c := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"no_token", nil, 401},
		{"right", []string{"Authorization", good}, 200},
		{"scheme_in_lower_case", []string{"Authorization", "bearer " + strings.TrimPrefix(good, "Bearer ")}, 200},
		{"expired", []string{"Authorization", "Bearer " + token(t, map[string]any{
			"exp": now.Unix() - 3600, "iat": now.Unix() - 7200,
		})}, 401},
		{"for_somebody_else", []string{"Authorization", "Bearer " + token(t, map[string]any{"aud": "x"})}, 401},
		{"another_issuer", []string{"Authorization", "Bearer " + token(t, map[string]any{"iss": "https://evil"})}, 401},
		{"no_JWT", []string{"Authorization", "Bearer x"}, 401},
		{"two_tokens_in_one_header", []string{"Authorization", good + ", " + good}, 401},
		{"two_headers", []string{"Authorization", good, "Authorization", good}, 401},
		{"issuer_down", []string{"Authorization", "Bearer down"}, 401}, // it knows nothing else
		{"a_subject_that_ends_a_header", []string{"Authorization", "Bearer " + token(t, map[string]any{
			"sub": "alice\r\nX-Admin: 1",
		})}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, saw := ask(t, a, c.headers...)
			if r.StatusCode != c.status {
				t.Fatalf("%d, want %d\n%s", r.StatusCode, c.status, a.Log())
			}
			if challenge := r.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("challenge %q", challenge)
			}
			if c.status != 200 {
				return
			}
			for name, want := range map[string]string{
				"X-Token-Sub": "alice", "X-Token-Iss": testIssuer, "X-Token-Scope": "read write",
				"X-Token-Wlcg-Groups": "/cms,/cms/x", "X-Token-Exp": "1800000600",
			} {
				if got := seen(saw, name); !slices.Equal(got, []string{want}) {
					t.Errorf("the service sees %s %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestApacheForged: what a client says it is reaches no service, in no spelling, and it cannot have the true identity
// taken away.
func TestApacheForged(t *testing.T) {
	a := apache(t, newGate(t))
	_, saw := ask(t, a, "Authorization", "Bearer "+token(t, nil), "X-Token-Sub", "root", "X_Token_Sub", "root",
		"x-token_iss", "evil", "X.Token.Sub", "root", "X-Token-Forged", "1", "X_TOKEN_WLCG_GROUPS", "/cms",
		"Connection", "X-Token-Sub, x-token-iss, X-Token-Scope")
	for name, want := range map[string][]string{
		"X-Token-Sub": {"alice"}, "X-Token-Iss": {testIssuer}, "X-Token-Scope": {"read write"}, "X-Token-Forged": nil,
		"X-Token-Wlcg-Groups": nil,
	} {
		if got := seen(saw, name); !slices.Equal(got, want) {
			t.Errorf("the service sees %s %q, want %q", name, got, want)
		}
	}
}

// TestApacheControlCharacters: a claim that would be two headers is none.
func TestApacheControlCharacters(t *testing.T) {
	_, saw := ask(t, apache(t, newGate(t)), "Authorization", "Bearer "+token(t, map[string]any{
		"name": "Alice\rX-Admin: 1", "nick": []string{"a", "b\rX-Admin: 1"},
	}))
	if len(seen(saw, "X-Token-Sub")) != 1 || strings.Contains(strings.Join(saw, "\n"), "X-Admin") {
		t.Errorf("the service sees %q", saw)
	}
}

// TestApacheRevoked: every request is asked about, so that a token that was good a moment ago is refused.
func TestApacheRevoked(t *testing.T) {
	var revoked atomic.Bool
	a := apache(t, revocable{newGate(t), &revoked})
	good := "Bearer " + token(t, nil)
	before, _ := ask(t, a, "Authorization", good)
	revoked.Store(true)
	after, _ := ask(t, a, "Authorization", good)
	if before.StatusCode != 200 || after.StatusCode != 401 {
		t.Errorf("%d, then %d", before.StatusCode, after.StatusCode)
	}
}

// revocable is a gate whose tokens can all be revoked.
type revocable struct {
	Gate
	revoked *atomic.Bool
}

func (g revocable) Decide(ctx context.Context, p gate.Presented, r policy.Request) (gate.Outcome, error) {
	if g.revoked.Load() {
		return gate.Outcome{}, &gate.Refusal{Status: 401, Code: gate.InvalidToken}
	}
	return g.Gate.Decide(ctx, p, r)
}
