package mytoken

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
)

// world is a person with a home of his own, no agent, and a mytoken server.
type world struct {
	t   *testing.T
	srv *mytokentest.Server
	dir string
	env map[string]string
}

func newWorld(t *testing.T, edit ...func(*mytokentest.Options)) *world {
	t.Helper()
	w := &world{t: t, srv: mytokentest.Start(t, edit...), dir: t.TempDir(), env: map[string]string{}}
	w.env["MYTOKEN_URL"] = w.srv.URL
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR"} {
		w.env[name] = filepath.Join(w.dir, name)
		if err := os.Mkdir(w.env[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

type outcome struct {
	code        int
	out, errOut string
}

func (w *world) run(args ...string) outcome {
	w.t.Helper()
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut, Now: time.Now, Dir: w.dir,
		Getenv: func(name string) string { return w.env[name] }, Environ: func() []string { return nil },
	}
	ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
	defer stop()
	code := cli.Run(ctx, env, cli.Grammar{Name: "oidcbox mytoken", Version: "test"}, New(), args)
	return outcome{code, out.String(), errOut.String()}
}

// sent counts everything that reached the server but descriptions of itself.
func (w *world) sent() int { return len(w.srv.Requests()) }

// published is the example of the documentation as it was printed, in which every clause ends before it begins.
const published = `[
	{"exp":1634300000,"nbf":1634301000,"scope":"compute storage.read","audience":["https://hpc.example.org"],
	 "geoip_allow":["BE"],"usages_AT":2},
	{"exp":1634400000,"nbf":1634401000,"scope":"compute storage.read:/vo","usages_AT":5},
	{"exp":1634500000,"nbf":1634501000,"scope":"storage.modify:/vo/results","usages_AT":1,"usages_other":0}]`

func TestRefusedHere(t *testing.T) {
	w := newWorld(t)
	mt := w.file("mt", w.srv.Mint())
	example := w.file("example.json", published)
	for name, c := range map[string]struct {
		args []string
		says []string
	}{
		"published_example_three_reasons": {
			[]string{"MT", "--MT-file", mt, "--restrictions", example},
			[]string{"clause 1: exp", "clause 2: exp", "clause 3: exp", "is not after nbf"},
		},
		"over_already":      {[]string{"MT", "--MT-file", mt, "--exp", "2020-01-01"}, []string{"clause 1: exp", "past"}},
		"login_too":         {[]string{"MT", "--oidc", "--exp", "2020-01-01"}, []string{"clause 1: exp"}},
		"unknown_member":    {[]string{"MT", "--MT-file", mt, "--restrictions", `{"usage_AT":1}`}, []string{"usage_AT"}},
		"empty_audience":    {[]string{"MT", "--MT-file", mt, "--restrictions", `{"audience":[]}`}, []string{"audience"}},
		"no_time":           {[]string{"MT", "--MT-file", mt, "--exp", "soon"}, []string{"clause 1", "exp"}},
		"rotation_not_json": {[]string{"MT", "--MT-file", mt, "--rotation", "{on_AT"}, []string{"rotation"}},
		"two_sources":       {[]string{"AT", "--MT-file", mt, "--MT", "x"}, []string{"choose one"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.sent()
			o := w.run(c.args...)
			if o.code != cli.Usage || o.out != "" {
				t.Errorf("%+v", o)
			}
			for _, text := range c.says {
				if !strings.Contains(o.errOut, text) {
					t.Errorf("%q is not said: %s", text, o.errOut)
				}
			}
			if w.sent() != before {
				t.Errorf("the server was asked: %v", w.srv.Requests()[before:])
			}
		})
	}
}

func TestOneRequest(t *testing.T) {
	w := newWorld(t)
	mt := w.file("mt", w.srv.Mint("AT"))
	for range 3 {
		if o := w.run("AT", "--MT-file", mt); o.code != 0 || !strings.HasPrefix(o.out, "at.") {
			t.Fatalf("%+v", o)
		}
	}
	if n := w.srv.Count(mytokentest.PathAccess); n != 3 {
		t.Errorf("%d requests for three access tokens", n)
	}
	if n := w.srv.Described(); n != 1 {
		t.Errorf("the server was asked %d times what it is", n)
	}
}

func TestAsked(t *testing.T) {
	w := newWorld(t)
	mt := w.file("mt", w.srv.Mint())
	last := func() map[string]any { return w.srv.Requests()[w.sent()-1].Body }
	o := w.run("AT", "--MT-file", mt, "-s", "openid", "-s", "profile", "--aud", "fedcloud", "--aud", "https://se", "why")
	if got := last(); o.code != 0 || got["scope"] != "openid profile" || got["audience"] != "fedcloud https://se" ||
		got["comment"] != "why" {
		t.Errorf("%+v %v", o, got)
	}
	o = w.run("MT", "--MT-file", mt, "--geo-ip-disallow", "DE", "--rotation-on-AT", "--rotation-lifetime", "1h",
		"--rotation", `{"auto_revoke":true}`, "-n", "job")
	clauses, _ := last()["restrictions"].([]any)
	rotation, _ := last()["rotation"].(map[string]any)
	if o.code != 0 || len(clauses) != 1 || rotation["on_AT"] != true || rotation["lifetime"] != 3600.0 ||
		rotation["auto_revoke"] != true || last()["error_on_restrictions"] != true {
		t.Errorf("%+v %v", o, last())
	}
	if name, _ := last()["name"].(string); !strings.HasSuffix(name, ":job") {
		t.Errorf("name %q", name)
	}
	w.file("HOME/c.yaml", "token_name_prefix: grid\ndefault_token_capabilities: [AT]\nproviders:\n  ex: https://op.example.org\n")
	w.env["MYTOKEN_CONFIG"] = filepath.Join(w.env["HOME"], "c.yaml")
	o = w.run("MT", "--MT-file", mt, "-n", "job")
	if caps, _ := last()["capabilities"].([]any); o.code != 0 || last()["name"] != "grid:job" || len(caps) != 1 {
		t.Errorf("%+v %v", o, last())
	}
}

// TestLostPlace: the mytoken was replaced and cannot be put back where it was. The person gets it; no access token is
// handed out as if all were well.
func TestLostPlace(t *testing.T) {
	w := newWorld(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	dir := filepath.Join(w.dir, "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "mt")
	if err := os.WriteFile(path, []byte(w.srv.Mint("AT")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // everybody could exchange files there, so none is written
		t.Fatal(err)
	}
	o := w.run("AT", "--MT-file", path)
	if o.code == 0 || o.out != "" {
		t.Fatalf("%+v", o)
	}
	for line := range strings.Lines(o.errOut) {
		if mt := strings.TrimSpace(line); strings.HasPrefix(mt, "eyJ") && w.srv.Current(mt) {
			return
		}
	}
	t.Errorf("the mytoken is lost: %s", o.errOut)
}

// TestBrokenAnswer: the connection breaks in the middle of the answer that has the new mytoken.
func TestBrokenAnswer(t *testing.T) {
	w := newWorld(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	path := w.file("mt", w.srv.Mint("AT"))
	w.srv.Cut(mytokentest.PathAccess)
	if o := w.run("AT", "--MT-file", path); o.code != cli.Temporary || o.out != "" {
		t.Fatalf("%+v", o)
	}
	if o := w.run("AT", "--MT-file", path); o.code != 0 {
		t.Errorf("the mytoken was not saved: %+v", o)
	}
}

// TestTogether: jobs that share a file with a mytoken that is replaced at each use all get their access token.
func TestTogether(t *testing.T) {
	w := newWorld(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	path := w.file("mt", w.srv.Mint("AT"))
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if o := w.run("AT", "--MT-file", path); o.code != 0 || !strings.HasPrefix(o.out, "at.") {
				t.Errorf("%+v", o)
			}
		})
	}
	all.Wait()
}

func TestForeignHostEntry(t *testing.T) {
	good := "Host mytoken-a\n HostName mt.example.org\n Port 2222\n User x\n"
	for name, c := range map[string]struct {
		text, user string
		ok         bool
	}{
		"as_it_should_be":    {good, "abc", true},
		"command_is_dropped": {good + " ProxyCommand rm -rf /\n", "abc", true},
		"host_with_blank":    {"Host a b\nHostName c\n", "abc", false},
		"option_as_host":     {"Host -oProxyCommand=x\nHostName c\n", "abc", false},
		"pattern":            {"Host *\nHostName c\n", "abc", false},
		"no_address":         {"Host a\n", "abc", false},
		"user_of_two_lines":  {good, "abc\nProxyCommand x", false},
		"port":               {"Host a\nHostName b\nPort 22;x\n", "abc", false},
	} {
		t.Run(name, func(t *testing.T) {
			entry, err := hostEntry(c.text, c.user, "id.pub")
			if (err == nil) != c.ok || strings.Contains(entry, "Command") {
				t.Errorf("%v\n%s", err, entry)
			}
		})
	}
}

func TestHostileTexts(t *testing.T) {
	w := newWorld(t)
	mt := w.file("mt", w.srv.Mint())
	w.srv.Fail(mytokentest.PathInfo, 200,
		`{"events":[{"event":"a\u001b[2Jb\nc","time":1,"comment":"\u202ex","ip":"1","user_agent":"u\tv","mom_id":"m"}]}`)
	o := w.run("info", "history", "--MT-file", mt)
	if o.code != 0 || strings.ContainsAny(o.out, "\x1b\u202e") || strings.Count(o.out, "\n") != 2 {
		t.Errorf("%q %q", o.out, o.errOut)
	}
	w.srv.Fail(mytokentest.PathAccess, 400, `{"error":"invalid_request","error_description":"\u001b]0;x\u0007"}`)
	if o := w.run("AT", "--MT-file", mt); o.code != cli.No || strings.ContainsAny(o.errOut, "\x1b\x07") {
		t.Errorf("%q %q", o.out, o.errOut)
	}
}
