package verifier

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// keyWorld is a provider whose key sets are counted, and which can be ended.
type keyWorld struct {
	*world
	fetched atomic.Int32
	server  *httptest.Server
	set     atomic.Pointer[[]byte]
}

func newKeyWorld(t *testing.T, slash string) *keyWorld {
	t.Helper()
	w := &keyWorld{world: &world{dir: t.TempDir(), now: time.Now(), mux: http.NewServeMux()}}
	w.server = httptest.NewServer(w.mux)
	t.Cleanup(w.server.Close)
	w.issuer = w.server.URL + slash
	w.publish(t, "k1")
	w.mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, w.issuer, w.server.URL)
	})
	w.mux.HandleFunc("/jwks", func(rw http.ResponseWriter, _ *http.Request) {
		w.fetched.Add(1)
		_, _ = rw.Write(*w.set.Load())
	})
	return w
}

// publish makes a new key, the only one from now on.
func (w *keyWorld) publish(t *testing.T, kid string) {
	t.Helper()
	var err error
	if w.key, err = jose.GenerateKey(jose.ES256, kid); err != nil {
		t.Fatal(err)
	}
	set, err := jose.NewKeySet(w.key.Public()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.set.Store(&set)
}

// daemon keeps the keys of this issuer and has a control socket, whose path it returns.
func (w *keyWorld) daemon(t *testing.T) string {
	t.Helper()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{Now: func() time.Time { return w.now }})
	keys.Trust([]provider.Trusted{{Issuer: w.issuer}})
	t.Cleanup(func() { keys.Close(); hc.CloseIdle() })
	log := slog.New(slog.DiscardHandler)
	return serveControl(t, controlHandler(ownKeys{keys, func() time.Time { return w.now }}, log))
}

func serveControl(t *testing.T, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // short: the path has to fit into a socket address
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "verifier.sock")
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = httpd.Serve(ctx, ln, h, httpd.Options{}) })
	t.Cleanup(func() { cancel(); serving.Wait(); _ = os.RemoveAll(dir) })
	return path
}

// run is that of world, with a runtime directory of its own: a daemon may run on this machine.
func (w *keyWorld) run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Dir: w.dir, Args: args,
		Getenv: func(name string) string {
			return map[string]string{"XDG_RUNTIME_DIR": filepath.Join(w.dir, "run")}[name]
		},
		Environ: func() []string { return nil },
		Now:     func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	code = cli.Run(context.Background(), env, cli.Grammar{Name: "oidcbox verifier"}, New(), args)
	return code, out.String(), errs.String()
}

// must runs the command and wants an exit code; it returns both outputs together.
func (w *keyWorld) must(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, stdout, stderr := w.run("", args...)
	if got != code {
		t.Errorf("%v: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout + stderr
}

func contains(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(out, s) {
			t.Errorf("no %q in\n%s", s, out)
		}
	}
}

func TestIssuersOfDaemon(t *testing.T) {
	w := newKeyWorld(t, "")
	at := "--control=" + w.daemon(t)
	contains(t, w.must(t, cli.No, "issuers", at), w.issuer+"  0     -") // nobody has asked for keys yet

	contains(t, w.must(t, cli.OK, "issuers", "refresh", w.issuer, at), "refreshed")
	w.now = w.now.Add(10*time.Minute + 5*time.Second)
	contains(t, w.must(t, cli.OK, "issuers", at), w.issuer+"  1     10m05s  in 49m55s  in 47h49m\n")

	w.publish(t, "k2")
	contains(t, w.must(t, cli.OK, "issuers", "drop", w.issuer, at), "dropped and fetched anew")
	var answer issuersAnswer
	if err := json.Unmarshal([]byte(w.must(t, cli.OK, "issuers", "--json", at)), &answer); err != nil {
		t.Fatal(err)
	}
	if v := answer.Issuers[0]; len(answer.Issuers) != 1 || v.Issuer != w.issuer || len(v.KeyIDs) != 1 || v.KeyIDs[0] != "k2" ||
		v.AgeSeconds != 0 || !v.Fetched.Equal(w.now) || v.Generation == 0 || w.fetched.Load() != 2 {
		t.Errorf("%+v after %d fetches", v, w.fetched.Load())
	}

	w.server.Close()
	contains(t, w.must(t, cli.Temporary, "issuers", "refresh", w.issuer, at), "connection refused")
	contains(t, w.must(t, cli.OK, "issuers", at), "0s ago: ", "connection refused") // the keys are still there
	out := w.must(t, cli.Temporary, "issuers", "drop", w.issuer, at)
	contains(t, out, "the old keys are dropped", "none of its tokens is accepted")
	contains(t, w.must(t, cli.No, "issuers", at), w.issuer+"  0     -")
}

func TestIssuersRefused(t *testing.T) {
	w := newKeyWorld(t, "")
	socket := w.daemon(t)
	at := "--control=" + socket
	for _, order := range []string{"refresh", "drop"} {
		contains(t, w.must(t, cli.NotFound, "issuers", order, w.issuer+"/", at), "exactly as it is configured")
		w.must(t, cli.Usage, "issuers", order)
		w.must(t, cli.NotFound, "issuers", order, w.issuer, "--control=/nowhere/x.sock")
		w.must(t, cli.Usage, "issuers", order, w.issuer, at, "--keys-dir=keys")
	}
	w.must(t, cli.Usage, "issuers", "refresh", "not a URL", at)
	contains(t, w.must(t, cli.NotFound, "issuers", "--control=/nowhere/x.sock"), "--keys-dir")
	w.must(t, cli.NotFound, "issuers") // the default place

	if err := os.Chmod(filepath.Dir(socket), 0o777); err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(t, cli.Denied, "issuers", at), "run this as that user")
}

// TestIssuersStrangeDaemon: what answers may be another version, or something else altogether.
func TestIssuersStrangeDaemon(t *testing.T) {
	w := newKeyWorld(t, "")
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"no_json", "<html>", http.StatusOK, "without a readable answer"},
		{"another_error", `{"error":"x","error_description":"a\u001b[2Jb"}`, http.StatusTeapot, `a\u001b[2Jb`},
		{"no_reason", `{}`, http.StatusInternalServerError, "status 500"},
		{"not_found", `404 page not found`, http.StatusNotFound, "status 404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := "--control=" + serveControl(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(c.status)
				_, _ = io.WriteString(rw, c.body)
			}))
			contains(t, w.must(t, cli.No, "issuers", "refresh", w.issuer, at), c.want)
		})
	}
	t.Run("text_of_a_stranger_in_the_table", func(t *testing.T) {
		at := "--control=" + serveControl(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, `{"issuers":[{"issuer":"https://a\n\u001b[31m","keys":1,"last_error":"x\ty\nz"}]}`)
		}))
		out := w.must(t, cli.OK, "issuers", at)
		if strings.ContainsAny(out, "\x1b\t") || strings.Count(out, "\n") != 4 { // table, empty line, error
			t.Errorf("%q", out)
		}
	})
	t.Run("nobody_answers", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "ctl")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		ln, err := net.Listen("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := (daemonKeys{path: ln.Addr().String()}).Refresh(ctx, w.issuer); err == nil || ctx.Err() == nil {
			t.Error(err)
		}
	})
}

func TestControlHandler(t *testing.T) {
	keys := provider.NewKeys(nil, provider.KeysOptions{})
	h := controlHandler(ownKeys{keys, time.Now}, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"list", http.MethodGet, issuersPath, "", http.StatusOK},
		{"list_by_post", http.MethodPost, issuersPath, "", http.StatusMethodNotAllowed},
		{"refresh_by_get", http.MethodGet, refreshPath, "", http.StatusMethodNotAllowed},
		{"no_body", http.MethodPost, dropPath, "", http.StatusBadRequest},
		{"no_object", http.MethodPost, dropPath, `["x"]`, http.StatusBadRequest},
		{"no_issuer", http.MethodPost, dropPath, `{}`, http.StatusBadRequest},
		{"too_long", http.MethodPost, dropPath, `{"issuer":"` + strings.Repeat("x", maxOrder) + `"}`, http.StatusRequestEntityTooLarge},
		{"elsewhere", http.MethodGet, "/", "", http.StatusNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if rec.Code != c.status {
				t.Errorf("status %d: %s", rec.Code, rec.Body)
			}
		})
	}
}

func TestIssuersOfDirectory(t *testing.T) {
	w := newKeyWorld(t, "")
	in := "--keys-dir=keys"
	contains(t, w.must(t, cli.OK, "issuers", in), "no issuers")
	contains(t, w.must(t, cli.OK, "issuers", in, "--json"), `"issuers": []`)
	contains(t, w.must(t, cli.NotFound, "issuers", "drop", w.issuer, in), "not one whose keys are kept")
	contains(t, w.must(t, cli.OK, "issuers", "refresh", w.issuer, in), "refreshed")
	contains(t, w.must(t, cli.OK, "issuers", in, "--json"), `"k1"`, `"from_disk": true`)

	w.publish(t, "k2")
	contains(t, w.must(t, cli.OK, "issuers", "drop", w.issuer, in), "dropped and fetched anew", "drop them there too")
	contains(t, w.must(t, cli.OK, "issuers", in, "--json"), `"k2"`)

	w.server.Close()
	w.must(t, cli.Temporary, "issuers", "refresh", w.issuer, in)
	contains(t, w.must(t, cli.OK, "issuers", in), "  1     ")
	contains(t, w.must(t, cli.Temporary, "issuers", "drop", w.issuer, in), "the old keys are dropped")
	contains(t, w.must(t, cli.OK, "issuers", in), "no issuers")

	if err := os.Chmod(filepath.Join(w.dir, "keys"), 0o750); err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(t, cli.Denied, "issuers", in), "yours alone")
}

// TestIssuersByConfiguration: the daemon when it runs, else its directory.
func TestIssuersByConfiguration(t *testing.T) {
	w := newKeyWorld(t, "")
	const more = "\nlisten: unix:v.sock\naudiences: [a]\nissuers: {%q: }\npolicy: {version: 1, require: ANYONE}\n" +
		"introspection: {socket: true}\n"
	write := func(name, control, keys string) string {
		w.write(t, name, fmt.Appendf(nil, "version: 1\ncontrol: %s\nkeys: {%s}"+more, control, keys, w.issuer))
		return "--config=" + name
	}
	socket := w.daemon(t)
	t.Run("asks_the_daemon", func(t *testing.T) {
		with := write("a.yaml", socket, "dir: keys")
		contains(t, w.must(t, cli.OK, "issuers", "refresh", w.issuer, with), "refreshed")
		contains(t, w.must(t, cli.OK, "issuers", with, "--json"), `"from_disk": false`)
		if _, err := os.Stat(filepath.Join(w.dir, "keys")); !os.IsNotExist(err) {
			t.Errorf("the directory was touched: %v", err)
		}
	})
	t.Run("takes_the_directory_when_no_daemon_runs", func(t *testing.T) {
		with := write("b.yaml", "nobody.sock", "dir: keys, lifetimes: wlcg-1.0")
		contains(t, w.must(t, cli.No, "issuers", with), "no daemon listens", w.issuer+"  0 ")
		contains(t, w.must(t, cli.OK, "issuers", "refresh", w.issuer, with), "no daemon listens", "refreshed")
		contains(t, w.must(t, cli.OK, "issuers", with), "in 6h00m") // the configured lifetimes
	})
	t.Run("a_broken_configuration_is_no_reason_not_to_drop", func(t *testing.T) {
		with := write("c.yaml", socket, "dri: keys")
		contains(t, w.must(t, cli.NotFound, "issuers", with), "has faults", "nobody is listening") // at the default place
		contains(t, w.must(t, cli.OK, "issuers", "drop", w.issuer, with, "--control", socket), "dropped")
	})
	t.Run("nobody_to_ask", func(t *testing.T) {
		contains(t, w.must(t, cli.NotFound, "issuers", write("d.yaml", "off", "lifetimes: wlcg-1.3")), "control: off")
		contains(t, w.must(t, cli.NotFound, "issuers", "--config=nowhere.yaml"), "nowhere.yaml")
	})
}

func TestTokenKeysDir(t *testing.T) {
	args := func(w *keyWorld, more ...string) []string {
		return append([]string{"token", "--issuer", w.issuer, "--audience", audience, "--keys-dir", "keys"}, more...)
	}
	t.Run("fetches_once", func(t *testing.T) {
		w := newKeyWorld(t, "")
		token := w.token(t, time.Hour)
		for range 5 {
			if code, out, errs := w.run(token, args(w)...); code != cli.OK {
				t.Fatal(code, out, errs)
			}
		}
		if n := w.fetched.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("goes_on_while_the_issuer_is_down", func(t *testing.T) {
		w := newKeyWorld(t, "")
		token := w.token(t, 30*24*time.Hour)
		if code, _, errs := w.run(token, args(w)...); code != cli.OK {
			t.Fatal(errs)
		}
		w.server.Close()
		w.now = w.now.Add(provider.DefaultExpiry - time.Second)
		if code, _, errs := w.run(token, args(w)...); code != cli.OK {
			t.Error(errs)
		}
		w.now = w.now.Add(time.Second)
		code, _, errs := w.run(token, args(w)...)
		if code != cli.Temporary {
			t.Errorf("code %d: %s", code, errs)
		}
		contains(t, errs, "nothing was decided")
	})
	t.Run("new_key_is_found", func(t *testing.T) {
		w := newKeyWorld(t, "")
		if code, _, errs := w.run(w.token(t, time.Hour), args(w)...); code != cli.OK {
			t.Fatal(errs)
		}
		w.publish(t, "k2")
		if code, _, errs := w.run(w.token(t, time.Hour), args(w)...); code != cli.OK {
			t.Error(errs)
		}
	})
	t.Run("invented_keys_cost_one_fetch_a_minute", func(t *testing.T) {
		w := newKeyWorld(t, "")
		real, set := w.key, w.set.Load()
		for i := range 10 {
			w.publish(t, fmt.Sprint("invented", i))
			w.set.Store(set)
			if code, _, errs := w.run(w.token(t, time.Hour), args(w)...); code != cli.No {
				t.Error(errs)
			}
		}
		w.key = real
		if code, _, errs := w.run(w.token(t, time.Hour), args(w)...); code != cli.OK || w.fetched.Load() != 2 {
			t.Errorf("%s after %d fetches", errs, w.fetched.Load())
		}
	})
	t.Run("slash_is_remembered", func(t *testing.T) {
		w := newKeyWorld(t, "/")
		token, typed := w.token(t, time.Hour), strings.TrimSuffix(w.issuer, "/")
		for range 3 {
			code, _, errs := w.run(token, "token", "--issuer", typed, "--audience", audience, "--keys-dir", "keys")
			if code != cli.OK {
				t.Fatal(errs)
			}
			contains(t, errs, "the issuer is "+w.issuer)
		}
		if n := w.fetched.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("refuses_a_directory_of_others", func(t *testing.T) {
		w := newKeyWorld(t, "")
		dir := filepath.Join(w.dir, "keys")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := w.run(w.token(t, time.Hour), args(w)...); code != cli.Denied {
			t.Errorf("code %d: %s", code, errs)
		}
	})
	t.Run("not_with_a_file_of_keys", func(t *testing.T) {
		w := newKeyWorld(t, "")
		w.write(t, "keys.json", *w.set.Load())
		if code, _, errs := w.run(w.token(t, time.Hour), args(w, "--jwks", "keys.json")...); code != cli.Usage {
			t.Errorf("code %d: %s", code, errs)
		}
	})
	t.Run("damage_is_told", func(t *testing.T) {
		w := newKeyWorld(t, "")
		token := w.token(t, time.Hour)
		if code, _, errs := w.run(token, args(w)...); code != cli.OK {
			t.Fatal(errs)
		}
		files, err := filepath.Glob(filepath.Join(w.dir, "keys", "*.keys"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, filepath.Join("keys", filepath.Base(files[0])), bytes.Replace(b, []byte("P-256"), []byte("P-257"), 1))
		code, _, errs := w.run(token, args(w)...)
		if code != cli.OK || w.fetched.Load() != 2 {
			t.Errorf("%s after %d fetches", errs, w.fetched.Load())
		}
		contains(t, errs, "kept key set cannot be used: file is damaged")
	})
}

// TestTokenGoesNowhere: a token names places to fetch keys from, and only the issuer of the command line is asked.
func TestTokenGoesNowhere(t *testing.T) {
	var visited atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited.Add(1) }))
	defer evil.Close()
	w := newKeyWorld(t, "")
	trusted := w.issuer
	tokens := map[string]string{}
	w.issuer = evil.URL
	tokens["iss"] = w.token(t, time.Hour)
	w.issuer = trusted
	forged := w.token(t, time.Hour)
	_, rest, _ := strings.Cut(forged, ".")
	for _, member := range []string{`"jku":%q`, `"x5u":%q`, `"jku":%[1]q,"x5u":%[1]q,"x5c":["AAAA"]`, `"jwk":{"x5u":%q}`} {
		header := fmt.Sprintf(`{"alg":"ES256","kid":"unknown",`+member+`}`, evil.URL)
		tokens[member] = b64(header) + "." + rest
	}
	w.write(t, "keys.json", *w.set.Load())
	w.write(t, "policy.yaml", []byte("{version: 1, require: ANYONE}"))
	base := []string{"--audience", audience, "--issuer", trusted}
	for name, token := range tokens {
		for _, args := range [][]string{
			append([]string{"token"}, base...),
			append([]string{"token", "--keys-dir", "keys"}, base...),
			append([]string{"token", "--jwks", "keys.json"}, base...),
			append([]string{"policy", "explain", "policy.yaml"}, base...),
			{"jws", "--jwks", "keys.json"},
		} {
			code, out, errs := w.run(token, args...)
			signed := name == "iss" && args[0] == "jws" // it looks at the signature alone
			if code == cli.OK != signed {
				t.Errorf("%s, %v: code %d\n%s%s", name, args, code, out, errs)
			}
		}
	}
	if n := visited.Load(); n != 0 {
		t.Errorf("%d visits to where tokens point", n)
	}
	if _, err := http.Get(evil.URL); err != nil || visited.Load() != 1 { //nolint:noctx // it proves that visits are seen
		t.Errorf("%v, %d visits", err, visited.Load())
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
