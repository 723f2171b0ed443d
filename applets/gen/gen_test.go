//go:build unix

package gen

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const lines = "Generating account configuration ...\naccepted\nsuccess\nThe generated account config was successfully added " +
	"to oidc-agent. You don't have to run oidc-add.\nEverything setup correctly!\n"

func TestCodeFlow(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	r := w.must("demo", "--issuer", w.op.URL, "--flow", "code", "--prompt", "none", "--no-url-call", "--port", "0")
	if r.out != "Registering Client ...\n"+lines {
		t.Errorf("standard output:\n%s", r.out)
	}
	if !w.stored("demo") {
		t.Error("the login is not in the keystore")
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
	// Again under the same name: a new login replaces the old one.
	w.must("demo", "--issuer", w.op.URL, "-w", "code", "--prompt", "none", "--client-id", "native", "--redirect-uri", "http://localhost:0")
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}

func TestDeviceFlow(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	r := w.must("demo", "--iss", w.op.URL+"/", "-w", "device", "--prompt", "none", "--client-id", "native")
	if r.out != "No account exists with this short name. Creating new configuration ...\n"+lines {
		t.Errorf("standard output:\n%s", r.out)
	}
	for _, want := range []string{"without a slash at the end", "enter the code: ", w.op.URL + "/device"} {
		if !strings.Contains(r.errOut, want) {
			t.Errorf("standard error lacks %q:\n%s", want, r.errOut)
		}
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}

func TestRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	toks := w.op.Tokens("alice", "openid offline_access")
	w.write("rt", toks.Refresh.Expose()+"\n")
	w.write("cs", "web-secret\n")
	args := []string{"demo", "--issuer", w.op.URL, "--prompt", "none", "--client-id", "web", "--client-secret-file", w.path("cs")}
	r := w.must(append(args, "--rt-file", "rt")...)
	if strings.Contains(r.out, "accepted") || !strings.Contains(r.out, "success\n") || !w.stored("demo") {
		t.Errorf("standard output:\n%s", r.out)
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
	// A dead one: nothing is stored, and nobody is sent to a browser.
	w.env["OIDC_REFRESH_TOKEN"] = "planted-dead-token"
	args[0] = "dead"
	bad := w.run(append(args, "--rt-env")...)
	if bad.code != cli.Human || strings.Contains(bad.errOut, "planted") || w.stored("dead") {
		t.Errorf("dead refresh token: %d %q", bad.code, bad.errOut)
	}
}

func TestSecretsInArguments(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	toks := w.op.Tokens("alice", "openid offline_access")
	r := w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "--client-id", "web", "--client-secret", "web-secret",
		"--rt", toks.Refresh.Expose())
	if strings.Count(r.errOut, "can be seen by other processes") != 2 {
		t.Errorf("want a warning for each: %q", r.errOut)
	}
	for _, planted := range []string{"web-secret", toks.Refresh.Expose()} {
		if strings.Contains(r.errOut+r.out, planted) {
			t.Error("a secret was printed")
		}
	}
}

func TestOnlyAT(t *testing.T) {
	w := newWorld(t)
	r := w.must("--only-at", "--issuer", w.op.URL, "-w", "code", "--prompt", "none", "--client-id", "native", "--redirect-uri", "http://localhost:0")
	last := r.out[strings.LastIndex(strings.TrimSpace(r.out), "\n")+1:]
	if strings.Count(last, ".") != 2 {
		t.Errorf("last line %q is no token", last)
	}
	if strings.Contains(r.out, "Everything") {
		t.Errorf("standard output:\n%s", r.out)
	}
}

// TestNowhereToSave: a person must not log in for nothing.
func TestNowhereToSave(t *testing.T) {
	w := newWorld(t)
	for _, upstream := range []bool{false, true} {
		r := w.runAs(upstream, "demo", "--issuer", w.op.URL, "--prompt", "none", "--scope", "openid")
		if r.code == 0 || !strings.Contains(r.errOut, "--pw-file") || r.out != "" {
			t.Errorf("upstream %v: %d %q %q", upstream, r.code, r.out, r.errOut)
		}
	}
	for _, q := range w.op.Requests() {
		if q.Method == http.MethodPost {
			t.Errorf("something was done at the provider: %s", q.Path)
		}
	}
	w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "--no-save", "-w", "code", "--port", "0")
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}

func TestAccountFile(t *testing.T) {
	w := newWorld(t)
	w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--port", "0", "--pw-file", "pw", "--scope", "openid email")
	f, err := login.ReadAccount(w.path("home/.oidc-agent"), "demo")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.Open(t.Context(), secret.FromString("file password"))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	_ = plain.Use(func(b []byte) error { return json.Unmarshal(b, &m) })
	if m["issuer_url"] != w.op.URL+"/" || m["refresh_token"] == "" || m["scope"] != m["auth_scope"] {
		t.Errorf("the file is not for both versions: issuer %v, scope %v, auth_scope %v", m["issuer_url"], m["scope"], m["auth_scope"])
	}
	r := w.must("-p", "demo", "--pw-file", "pw")
	if !strings.Contains(r.out, "\"refresh_token\":\t\"") {
		t.Error("print shows no refresh token")
	}
	if r := w.run("-p", "nope", "--pw-file", "pw"); r.code != cli.NotFound {
		t.Errorf("print of nothing: %d %q", r.code, r.errOut)
	}
	if r := w.must("-l"); r.out != "demo\n" {
		t.Errorf("list: %q", r.out)
	}
}

// TestKeystoreIsMade with the passphrase that is given, and unlocked with it later.
func TestKeystoreIsMade(t *testing.T) {
	w := newWorld(t)
	args := []string{"--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--port", "0", "--passphrase-file", w.path("pw")}
	w.must(append([]string{"a"}, args...)...)
	if !w.stored("a") {
		t.Fatal("not in the keystore")
	}
	if err := w.svc.Admin().Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.write("wrong", "wrong\n")
	args[len(args)-1] = w.path("wrong")
	before := len(w.op.Requests())
	if r := w.run(append([]string{"b"}, args...)...); r.code != cli.Denied || !strings.Contains(r.errOut, "wrong passphrase") {
		t.Errorf("wrong passphrase: %d %q", r.code, r.errOut)
	}
	for _, q := range w.op.Requests()[before:] {
		if q.Method == http.MethodPost {
			t.Errorf("something was done at the provider: %s", q.Path)
		}
	}
	args[len(args)-1] = w.path("pw")
	w.must(append([]string{"b"}, args...)...)
	if !w.stored("a") || !w.stored("b") {
		t.Error("not in the keystore")
	}
}

func TestReauthenticate(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--port", "0")
	before := len(w.op.Requests())
	r := w.must("demo", "--reauthenticate", "-w", "code", "--prompt", "none")
	if !strings.Contains(r.out, "success\n") || len(w.op.Requests()) == before {
		t.Errorf("standard output:\n%s", r.out)
	}
	if err := w.token("demo"); err != nil || !w.stored("demo") {
		t.Error(err)
	}
	if r := w.run("nope", "--reauthenticate"); r.code != cli.NotFound {
		t.Errorf("a login that is not there: %d", r.code)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--port", "0", "--pw-file", "pw")
	if r := w.run("-d", "demo", "--prompt", "none"); r.code != cli.Usage {
		t.Errorf("delete without a word of the person: %d %q", r.code, r.errOut)
	}
	if r := w.must("-d", "demo", "--confirm-no"); r.out != "" || !w.stored("demo") {
		t.Errorf("deleted although the answer was no: %q", r.out)
	}
	w.must("-d", "demo", "--confirm-yes")
	if w.stored("demo") {
		t.Error("still in the keystore")
	}
	if _, err := os.Stat(w.path("home/.oidc-agent/demo")); !os.IsNotExist(err) {
		t.Errorf("the account file is still there: %v", err)
	}
	var revoked, unregistered bool
	for _, q := range w.op.Requests() {
		revoked = revoked || strings.HasSuffix(q.Path, "/revoke")
		unregistered = unregistered || q.Method == http.MethodDelete
	}
	if !revoked || !unregistered {
		t.Errorf("at the provider: revoked %v, client deleted %v", revoked, unregistered)
	}
}

func TestCodeExchange(t *testing.T) {
	w := newWorld(t)
	cmdline := []string{
		"demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--client-id", "native", "--no-webserver", "--no-save",
		"--redirect-uri", "http://localhost:1",
	}
	r, errW := io.Pipe()
	env := &cli.Env{
		Command: "gen", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: errW, Getenv: w.getenv,
		Environ: func() []string { return nil }, Now: time.Now, Dir: w.dir,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cli.Run(ctx, env, cli.Grammar{Name: "gen", Argp: true}, New(), cmdline)
	}()
	b := make([]byte, 4096)
	var said string
	link := regexp.MustCompile(regexp.QuoteMeta(w.op.URL) + `/authorize\?\S+\n`)
	for link.FindString(said) == "" {
		n, err := r.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		said += string(b[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	final := w.op.Login(strings.TrimSpace(link.FindString(said)), "alice")
	cancel()
	<-ended
	_ = errW.Close()
	got := w.must("--codeExchange", final, "--no-save")
	if !strings.Contains(got.out, "success\n") {
		t.Errorf("standard output:\n%s", got.out)
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}

// TestInterrupted: the port of a login that was given up is free at once.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	free, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithCancel(context.Background())
	w.visit = func(string) { cancel() }
	r, errW := io.Pipe()
	said := make(chan string)
	go func() { said <- w.browse(r) }()
	args := []string{"demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--no-save", "--port", port}
	env := &cli.Env{
		Command: "gen", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: errW, Getenv: w.getenv,
		Environ: func() []string { return nil }, Now: time.Now, Dir: w.dir,
	}
	code := cli.Run(ctx, env, cli.Grammar{Name: "gen", Argp: true}, New(), args)
	_ = errW.Close()
	if errOut := <-said; code != cli.No || !strings.Contains(errOut, "interrupted") {
		t.Errorf("%d %q", code, errOut)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			_ = ln.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the listener is still there: %v", err)
		}
	}
}

func TestPublicClient(t *testing.T) {
	w := newWorld(t)
	if r := w.run("demo", "--pub", "--issuer", w.op.URL, "--prompt", "none", "--no-save"); r.code != cli.NotFound ||
		!strings.Contains(r.errOut, "hint: leave --pub out") {
		t.Errorf("without one: %d %q", r.code, r.errOut)
	}
	dir := w.path("home/.oidc-agent")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("home/.oidc-agent/pubclients.config", "# ours\nnative@"+w.op.URL+"\n")
	w.must("demo", "--pub", "--issuer", w.op.URL, "--prompt", "none", "--no-save", "-w", "code", "--port", "0")
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	iss := w.op.URL
	nobody := httptest.NewServer(nil)
	nobody.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no issuer":      {[]string{"a", "--prompt", "none"}, cli.Usage, "give it with --issuer"},
		"no name":        {[]string{"--issuer", iss, "--prompt", "none"}, cli.Usage, "short name is missing"},
		"hostile name":   {[]string{"../a", "--issuer", iss, "--prompt", "none"}, cli.Usage, "unusable account name"},
		"not an issuer":  {[]string{"a", "--issuer", "ftp://x", "--prompt", "none"}, cli.Usage, "issuer looks like"},
		"no provider":    {[]string{"a", "--issuer", nobody.URL, "--prompt", "none"}, cli.Temporary, ""},
		"unknown flow":   {[]string{"a", "--issuer", iss, "-w", "implicit"}, cli.Usage, "implicit"},
		"missing secret": {[]string{"a", "--issuer", iss, "--rt-file", "nothing", "--prompt", "none"}, cli.NotFound, "nothing"},
		"empty variable": {[]string{"a", "--issuer", iss, "--rt-env=NOPE", "--prompt", "none"}, cli.Usage, "NOPE is empty"},
		"wrong state":    {[]string{"--state", "x"}, cli.NotFound, "no finished login"},
		"wrong uri":      {[]string{"--codeExchange", "http://localhost/?code=planted&state=y"}, cli.No, "wrong state"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.run(c.args...)
			if r.code != c.code || !strings.Contains(r.errOut, c.want) || strings.Contains(r.errOut, "planted") {
				t.Errorf("exit code %d, %q; want %d and %q", r.code, r.errOut, c.code, c.want)
			}
		})
	}
}

func TestNoAgent(t *testing.T) {
	w := newWorld(t)
	w.env["OIDC_SOCK"] = w.path("run/nobody.sock")
	r := w.run("demo", "--issuer", w.op.URL, "--prompt", "none")
	if r.code != cli.NotFound || !strings.Contains(r.errOut, "eval $(oidc-agent)") {
		t.Errorf("%d %q", r.code, r.errOut)
	}
}

// TestOtherAgentsKeystore: the agent at OIDC_SOCK may be forwarded from another machine; its logins do not belong into
// the keystore here.
func TestOtherAgentsKeystore(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	other := newWorld(t)
	w.env["OIDC_SOCK"] = other.env["OIDC_SOCK"]
	ln, err := net.Listen("unix", w.path("run/fake.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = proto.Serve(t.Context(), ln, proto.HandlerFunc(func(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
			if r.Type == proto.TypeStatusJSON {
				return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(map[string]any{"version": "t", "pid": 1})}
			}
			return other.svc.Handle(ctx, p, r)
		}), proto.ServeOptions{})
	})
	w.env["OIDC_SOCK"] = w.path("run/fake.sock")
	r := w.run("demo", "--issuer", w.op.URL, "--prompt", "none")
	if r.code != cli.Usage || !strings.Contains(r.errOut, "no place to save") {
		t.Errorf("%d %q", r.code, r.errOut)
	}
	_ = ln.Close()
}

func TestRegistered(t *testing.T) {
	for _, c := range []struct{ asked, granted, want string }{
		{"openid a b", "", "openid a b"},
		{"openid a b", "b openid", "openid b"},
		{"openid storage.read:/x", "openid storage.read:/", "openid storage.read:/x"},
		{"openid storage.read:/x", "openid", "openid"},
		{"openid storage.read:/", "openid storage.read:/", "openid storage.read:/"},
	} {
		if got := registered(c.asked, c.granted); got != c.want {
			t.Errorf("registered(%q, %q) = %q, want %q", c.asked, c.granted, got, c.want)
		}
	}
}
