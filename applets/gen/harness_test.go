//go:build unix

package gen

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// world is a provider, an agent in this process at real sockets, and a home.
type world struct {
	t   *testing.T
	op  *issuertest.Server
	svc *service.Service
	env map[string]string
	dir string

	stdin  string           // of the next runs
	issuer string           // whose links the browser opens
	link   string           // what they look like below it
	visit  func(url string) // the browser
}

// lasting lives on when the agent closes it.
type lasting struct{ store.Engine }

func (lasting) Close() error { return nil }

// file is a keystore in memory.
type file struct{ eng *memstore.Engine }

func (file) Path() string                                 { return "/nowhere/keystore" }
func (f file) Exists(ctx context.Context) (bool, error)   { return keystore.Exists(ctx, f.eng) }
func (f file) Open(context.Context) (store.Engine, error) { return lasting{f.eng}, nil }
func (f file) Make(context.Context) (store.Engine, error) { return lasting{f.eng}, nil }

func newWorld(t *testing.T, edit ...func(*issuer.Options)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "gen") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, op: issuertest.Start(t, edit...)}
	w.issuer, w.visit, w.link = w.op.URL, w.follow, `/(authorize|auth|device)\?\S+`
	for _, d := range []string{"home", "run"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.env = map[string]string{"HOME": w.path("home"), "XDG_RUNTIME_DIR": w.path("run"), "OIDC_SOCK": w.path("run/a.sock")}
	w.write("pw", "file password\n")
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.svc, err = service.New(service.Options{
		Vault: v, Memory: memstore.New(), File: file{memstore.New()}, Version: "t", PID: os.Getpid(),
		HTTP: func(ca string) (*httpc.Client, error) { return httpc.New(httpc.Options{CAFile: ca}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.serve()
	return w
}

func (w *world) serve() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	agent, err := sock.Listen(w.env["OIDC_SOCK"], sock.ListenOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	path, err := control.Path(w.getenv)
	if err != nil {
		w.t.Fatal(err)
	}
	admin, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, fn := range []func() error{
		func() error { return proto.Serve(ctx, agent, w.svc, proto.ServeOptions{}) },
		func() error { return control.Serve(ctx, admin, w.svc.Admin(), nil) },
	} {
		wg.Go(func() {
			if err := fn(); err != nil {
				w.t.Error(err)
			}
		})
	}
	w.t.Cleanup(func() { cancel(); wg.Wait(); _ = w.svc.Close(context.Background()) })
}

func (w *world) path(name string) string   { return filepath.Join(w.dir, name) }
func (w *world) getenv(name string) string { return w.env[name] }

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) makeKeystore() {
	w.t.Helper()
	err := w.svc.MakeKeystore(w.t.Context(), keystore.NewSlot{
		Kind: keystore.KindPassphrase, Passphrase: secret.FromString("p"),
		Cost: vault.Params{Time: 1, Memory: 64, Threads: 1},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

type result struct {
	code        int
	out, errOut string
}

// run runs gen and plays the browser with the first link to the provider.
func (w *world) run(args ...string) result { return w.runAs(false, args...) }

func (w *world) runAs(upstream bool, args ...string) result {
	w.t.Helper()
	r, errW := io.Pipe()
	var out bytes.Buffer
	env := &cli.Env{
		Args: args, Command: "gen", Upstream: upstream, Stdin: strings.NewReader(w.stdin), Stdout: &out, Stderr: errW,
		Getenv: w.getenv, Environ: func() []string { return nil }, Now: time.Now, Dir: w.dir,
	}
	said := make(chan string)
	go func() { said <- w.browse(r) }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code := cli.Run(ctx, env, cli.Grammar{Name: "gen", Argp: true}, New(), args)
	_ = errW.Close()
	return result{code, out.String(), <-said}
}

func (w *world) browse(said io.Reader) string {
	link := regexp.MustCompile(regexp.QuoteMeta(w.issuer) + w.link)
	b := make([]byte, 4096)
	var all string
	visited := false
	for {
		n, err := said.Read(b)
		all += string(b[:n])
		if u := link.FindString(all); u != "" && !visited {
			visited = true
			w.visit(u)
		}
		if err != nil {
			return all
		}
	}
}

// follow opens a link and goes where it leads, as a browser does.
func (w *world) follow(link string) {
	jar, _ := cookiejar.New(nil)
	resp, err := (&http.Client{Jar: jar, Timeout: 10 * time.Second}).Get(link)
	if err != nil {
		w.t.Errorf("browser: %v", err)
		return
	}
	_ = resp.Body.Close()
}

func (w *world) must(args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("%v exited with %d\n%s%s", args, r.code, r.out, r.errOut)
	}
	return r
}

func (w *world) token(name string) error {
	rep, err := proto.Client{Path: w.env["OIDC_SOCK"]}.Call(w.t.Context(), proto.Request{
		Type: proto.TypeAccessToken, Account: name, MinValid: proto.ForceNew,
	})
	if err != nil {
		return err
	}
	return rep.Err()
}

func (w *world) stored(name string) bool {
	w.t.Helper()
	list, err := w.svc.Admin().Logins(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range list {
		if l.Name == name {
			return l.Stored
		}
	}
	return false
}
