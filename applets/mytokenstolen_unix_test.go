//go:build unix

package applets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// witness is a provider that notes every secret that it gives and gets.
type witness struct {
	*httptest.Server
	mu      sync.Mutex
	secrets map[string]string // secret -> what it is
	ended   int               // requests for revocation that were answered with yes
}

func (w *witness) revoked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

func newWitness(t *testing.T, redirect string) *witness {
	t.Helper()
	w := &witness{secrets: map[string]string{}}
	var provider http.Handler
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		provider.ServeHTTP(rec, r)
		w.note(r, body, rec)
		for name, v := range rec.Header() {
			rw.Header()[name] = v
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
	}))
	t.Cleanup(w.Close)
	i, err := issuer.New(t.Context(), issuer.Options{
		URL: w.URL, Engine: memstore.New(), AutoLogin: "alice", Rotation: issuer.Strict,
		Clients: []issuer.Client{{
			ID: "mytoken", Secret: secret.FromString("the-secret-of-the-server-there"), RedirectURIs: []string{redirect},
			Grants: []string{issuer.GrantCode, issuer.GrantRefresh},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	provider = i
	return w
}

func (w *witness) add(what, s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(s) >= 12 { // codes that people type are not there as they are either; that they can be searched for is said
		w.secrets[s] = what
	}
}

func (w *witness) note(r *http.Request, body []byte, rec *httptest.ResponseRecorder) {
	switch r.URL.Path {
	case "/par": // where the provider takes the parameters of a login, the browser carries none of them
		form, _ := url.ParseQuery(string(body))
		for _, name := range []string{"state", "nonce"} {
			w.add(name, form.Get(name))
		}
	case "/authorize":
		for _, name := range []string{"state", "nonce"} {
			w.add(name, r.URL.Query().Get(name))
		}
		if to, err := url.Parse(rec.Header().Get("Location")); err == nil {
			w.add("code", to.Query().Get("code"))
		}
	case "/revoke":
		w.mu.Lock()
		defer w.mu.Unlock()
		if rec.Code == http.StatusOK {
			w.ended++
		}
	case "/token":
		form, _ := url.ParseQuery(string(body))
		w.add("PKCE verifier", form.Get("code_verifier"))
		var answer map[string]any
		_ = json.Unmarshal(rec.Body.Bytes(), &answer)
		for _, name := range []string{"refresh_token", "access_token", "id_token"} {
			if s, ok := answer[name].(string); ok {
				w.add(name, s)
			}
		}
	}
}

func (w *witness) count(what string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range w.secrets {
		if kind == what {
			n++
		}
	}
	return n
}

// mytoken notes a mytoken: all of it, its signature alone, and the number from which it could be made again.
func (w *witness) mytoken(t *testing.T, jwt string) string {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("no mytoken: %q", jwt)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		ID string `json:"jti"`
	}
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.add("mytoken", jwt)
	w.add("signature of a mytoken", parts[2])
	w.add("jti of a mytoken", claims.ID)
	return jwt
}

// TestMytokenServerStolen: what a thief of the state finds, and one who has the key that the server opens it with. The
// server has done everything that leaves something behind: logins that ended and one that has not, sub-tokens, short
// tokens, transfer codes, rotated mytokens and refresh tokens.
func TestMytokenServerStolen(t *testing.T) {
	s := &mytokenSite{house: bareHouse(t)}
	address := freeAddress(t)
	s.url = "http://" + address
	w := newWitness(t, s.url+"/redirect")
	s.issuer = w.URL
	s.write("op-secret", "the-secret-of-the-server-there\n")
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", w.URL, "--client-id", "mytoken", "--client-secret-file", "op-secret")
	s.appendTo("server.yaml", "limits: {polling_interval: 1s}\n")
	s.serve(t)

	s.live(t, w)
	http.DefaultClient.CloseIdleConnections()
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Wait(); err != nil {
		t.Fatalf("the end of the server: %v", err)
	}
	for what, least := range map[string]int{
		"refresh_token": 3, "access_token": 3, "mytoken": 4, "short token": 1, "PKCE verifier": 1, "state": 1, "polling code": 1,
		"consent code": 1, "transfer code": 1,
	} {
		if n := w.count(what); n < least {
			t.Errorf("only %d of %s were seen: the test does not test", n, what)
		}
	}
	t.Run("the_file", func(t *testing.T) { s.file(t, w) })
	t.Run("the_file_and_its_key", func(t *testing.T) { s.opened(t, w) })
	t.Run("the_log", func(t *testing.T) { s.searched(t, w, "server.log", []byte(readFile(t, s.path("server.log")))) })
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// live is what the people of this server do.
func (s *mytokenSite) live(t *testing.T, w *witness) {
	mt := w.mytoken(t, s.login("--capability", "AT", "--capability", "tokeninfo", "--capability", "create_mytoken", "-n", "job"))
	for range 2 {
		if o := s.client(mt, "AT"); o.code != 0 {
			t.Fatalf("AT: %+v", o)
		}
	}
	o := s.client(mt, "MT", "--usages-AT", "3", "--capability", "AT", "--rotation-on-AT")
	if o.code != 0 {
		t.Fatalf("sub-token: %+v", o)
	}
	sub := w.mytoken(t, strings.TrimSpace(o.out))
	got := s.api(t, "/api/v0/token/access", map[string]any{"grant_type": "mytoken", "mytoken": sub})
	update, _ := got["token_update"].(map[string]any)
	next, _ := update["mytoken"].(string)
	w.mytoken(t, next)
	short := s.api(t, "/api/v0/token/my", map[string]any{"grant_type": "mytoken", "mytoken": mt, "response_type": "short_token"})
	text, _ := short["mytoken"].(string)
	w.add("short token", text)
	if at := s.api(t, "/api/v0/token/access", map[string]any{"grant_type": "mytoken", "mytoken": text}); at["access_token"] == nil {
		t.Fatalf("AT with a short token: %v", at)
	}
	moved := s.api(t, "/api/v0/token/transfer", map[string]any{"mytoken": mt})
	code, _ := moved["transfer_code"].(string)
	if code == "" {
		t.Fatalf("no transfer code: %v", moved)
	}
	w.add("transfer code", code)
	// A login that nobody finishes: it stands at the provider.
	begun := s.api(t, "/api/v0/token/my", map[string]any{
		"grant_type": "oidc_flow", "oidc_issuer": s.issuer, "capabilities": []string{"AT"},
	})
	polling, _ := begun["polling_code"].(string)
	consent, _ := begun["consent_uri"].(string)
	w.add("polling code", polling)
	w.add("consent code", consent[strings.LastIndex(consent, "/")+1:])
	left := s.api(t, strings.TrimPrefix(consent, s.url), map[string]any{"oidc_issuer": s.issuer, "capabilities": []string{"AT"}})
	to, _ := left["authorization_uri"].(string)
	u, err := url.Parse(to)
	if err != nil || to == "" {
		t.Fatalf("consent: %v %v", left, err)
	}
	w.add("state", u.Query().Get("state"))
	w.add("nonce", u.Query().Get("nonce"))
	// And one more whole one, which ends.
	last := w.mytoken(t, s.login("--capability", "AT"))
	if o := s.client(last, "revoke"); o.code != 0 {
		t.Fatalf("revoke: %+v", o)
	}
}

// api sends JSON and returns the JSON that comes.
func (s *mytokenSite) api(t *testing.T, path string, body map[string]any) map[string]any {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.url+path, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s: %s %v %v", path, resp.Status, answer, err)
	}
	return answer
}

// searched looks for every secret in b, also in the forms that JSON gives it.
func (s *mytokenSite) searched(t *testing.T, w *witness, where string, b []byte) {
	t.Helper()
	for text, what := range w.secrets {
		for _, form := range [][]byte{[]byte(text), []byte(base64.StdEncoding.EncodeToString([]byte(text)))} {
			if bytes.Contains(b, form) {
				t.Errorf("%s has the %s", where, what)
			}
		}
	}
}

// file is what a thief of the file has: nothing about anybody.
func (s *mytokenSite) file(t *testing.T, w *witness) {
	b := []byte(readFile(t, s.path("server/state.keys")))
	s.searched(t, w, "the file", b)
	for _, person := range []string{"alice", "127.0.0.1", "job", s.issuer} {
		if bytes.Contains(b, []byte(person)) {
			t.Errorf("the file alone says %q", person)
		}
	}
}

// opened is what a thief of the file and of the server's key has: who had mytokens, and nothing to use.
func (s *mytokenSite) opened(t *testing.T, w *witness) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	raw, err := boltstore.Open(ctx, s.path("server/state.keys"), boltstore.Options{Role: "mytoken-server", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	keys, err := keystore.Open(ctx, raw, v, keystore.KeyFile(s.path("server/state-key")))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Drop()
	var all bytes.Buffer
	rows := map[string]int{}
	tables, err := raw.Tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		name, _, _ = strings.Cut(name, "@") // of the key in use
		for _, hide := range []bool{true, false} {
			n, err := dump(ctx, keys.Engine(), store.Table{Name: name, HideKeys: hide}, &all)
			if err == nil {
				rows[name] += n
			}
		}
	}
	t.Logf("opened: %v", rows)
	if !bytes.Contains(all.Bytes(), []byte("127.0.0.1")) || !bytes.Contains(all.Bytes(), []byte(s.issuer)) {
		t.Fatalf("nothing was opened: the test does not test: %v", rows)
	}
	s.searched(t, w, "the opened state", all.Bytes())
}

func dump(ctx context.Context, eng store.Engine, table store.Table, to io.Writer) (n int, err error) {
	err = eng.View(ctx, func(tx store.Tx) error {
		n = 0
		for r, err := range tx.Scan(table, nil) {
			if err != nil {
				return err
			}
			n++
			fmt.Fprintf(to, "%s %q\n%s\n", table.Name, r.Key, r.Value)
		}
		return nil
	})
	return n, err
}
