package add

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// demoFile is an account file that the original decrypts, with the password "correct horse".
const (
	demoFile = `254
AAECAwQFBgcICQoLDA0ODxAREhMUFRYX
AAECAwQFBgcICQoLDA0ODw==
24:16:16:32:1:2:67108864:2
fL8JXtjjXvjHfyOKvdnSjF6U++UvFSbo4CZYMtMKbvQ4YFOX1GFBlskscv6VuxnkddqjFSkot65eghbFGDccNC9mOLLFIXuqfFAbJuGMbNSQPVMyStDJFm0ZoTXPpE4az8sXShkdRKHB43V6ZHZbmq4DmPZeZ7DQ+vtdsD3xXmMArfEoMzjh9H+uASvbl8Pf59fMRGSlxIpeaJsStWbTAFSmOYbcGSZfTIY7YPpP+L73eArXidAjnXZLpwj5K8YEc1FkcLPrO4qCvcDkw9gqI35oR8lAQt0PQMR5gs/zwRT8EKFow8QQFLfbh2ijIhOHM10xMbDKK4Zdz5ruZRA=
GUR7cJ2ZFoqnGH9wpG75ZaV2phh55a8RVS7pTkdTFKY=
Generated using version: 5.3.3`
	demoConfig = `{"name":"demo","client_name":"oidc-agent:demo-host","issuer_url":"https://op.example.org/",` +
		`"client_id":"c1","client_secret":"s1","refresh_token":"rt1","auth_scope":"openid profile offline_access",` +
		`"redirect_uris":["http://localhost:4242"]}`
	demoPassword = "correct horse"
)

// agentOf is an agent for tests: it notes what it was asked.
type agentOf struct {
	mu       sync.Mutex
	asked    []string
	loaded   []string
	failWith proto.Reply
}

func (f *agentOf) Handle(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := r.Type
	for name, v := range map[string]string{"account": r.Account, "password": r.Password.Expose()} {
		if v != "" {
			line += " " + name + "=" + v
		}
	}
	if !r.Config.Empty() {
		line += " config=" + compact(r.Config.Expose())
	}
	if r.HasLifetime {
		line += fmt.Sprintf(" lifetime=%d", r.Lifetime)
	}
	if r.Confirm {
		line += " confirm"
	}
	if r.AlwaysAllowIDToken {
		line += " idtoken"
	}
	if r.PlainAdd {
		line += " plain"
	}
	f.asked = append(f.asked, line)
	if f.failWith.Error != "" && r.Type != proto.TypeLoadedAccounts {
		return f.failWith
	}
	switch r.Type {
	case proto.TypeLoadedAccounts:
		return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(f.loaded)}
	case proto.TypeAdd:
		if r.HasLifetime {
			return proto.Success(fmt.Sprintf("Lifetime set to %d seconds", r.Lifetime))
		}
	case proto.TypeLock:
		return proto.Success(proto.TextAgentLocked)
	case proto.TypeUnlock:
		return proto.Success(proto.TextAgentUnlocked)
	case proto.TypeAccountInfo:
		return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(map[string]any{
			"https://op.example.org/": map[string]any{"pubclient": false, "accounts": map[string]bool{"demo": false}},
			"https://two.example.org": map[string]any{"pubclient": false, "accounts": map[string]bool{"b": true, "a": false}},
			"https://no.example.org":  map[string]any{"pubclient": true},
		})}
	}
	return proto.Success("")
}

func (f *agentOf) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// compact makes texts of one configuration equal, whoever wrote them: the order of members and the white space go.
func compact(text string) string {
	var v map[string]any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// known keeps the members of a configuration that all versions have: version 4 drops what is newer and fills up with
// empty ones.
func known(text string) string {
	var all, kept map[string]any
	if json.Unmarshal([]byte(text), &all) != nil {
		return text
	}
	kept = map[string]any{}
	for _, name := range []string{
		"name", "client_name", "issuer_url", "client_id", "client_secret", "refresh_token", "redirect_uris",
	} {
		kept[name] = all[name]
	}
	b, _ := json.Marshal(kept)
	return string(b)
}

// essence drops how the versions make sure of an agent: 4 asks "check" first, 5 and we ask what is loaded.
func essence(asked []string) []string {
	var out []string
	for i, a := range asked {
		if a == proto.TypeCheck || a == proto.TypeLoadedAccounts && i < len(asked)-1 {
			continue
		}
		if before, config, ok := strings.Cut(a, " config="); ok {
			end := strings.LastIndex(config, "}") + 1
			a = before + " config=" + known(config[:end]) + config[end:]
		}
		out = append(out, a)
	}
	return out
}

// place is a home for one test: runtime directory, account files and an agent's socket.
type place struct {
	t      *testing.T
	dir    string
	socket string
	env    map[string]string
}

func newPlace(t *testing.T, h proto.Handler) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "add")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &place{t: t, dir: dir, socket: filepath.Join(dir, "agent.sock")}
	p.env = map[string]string{
		"OIDC_SOCK": p.socket, "XDG_RUNTIME_DIR": filepath.Join(dir, "run"),
		"OIDC_CONFIG_DIR": filepath.Join(dir, "accounts"),
		"PATH":            os.Getenv("PATH"), "HOME": dir, "PW": demoPassword, "BAD": "wrong",
	}
	for _, d := range []string{"run", "accounts"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.write("accounts/demo", demoFile)
	p.write("pw", demoPassword+"\nsecond line\n")
	p.write("show", "#!/bin/sh\necho '"+demoPassword+"'\n")
	if err := os.Chmod(filepath.Join(dir, "show"), 0o700); err != nil {
		t.Fatal(err)
	}
	if h != nil {
		serve(t, p.socket, h)
	}
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func serve(t *testing.T, path string, h proto.Handler) {
	t.Helper()
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proto.Serve(ctx, ln, h, proto.ServeOptions{}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type outcome struct {
	code        int
	out, errOut string
}

func (p *place) args(line string) []string {
	return strings.Fields(strings.ReplaceAll(line, "DIR", p.dir))
}

func (p *place) run(upstream bool, line string) outcome {
	p.t.Helper()
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdout: &out, Stderr: &errOut, Upstream: upstream, Dir: p.dir,
		Getenv: func(k string) string { return p.env[k] },
	}
	g := cli.Grammar{Name: "oidcbox add", Argp: true}
	if upstream {
		g.Name = "oidc-add"
	}
	code := cli.Run(p.t.Context(), env, g, New(), p.args(line))
	return outcome{code, out.String(), errOut.String()}
}

// original runs Debian's oidc-add.
func (p *place) original(line string) outcome {
	p.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(p.t.Context(), "oidc-add", p.args(line)...)
	for k, v := range p.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// withoutHeader drops the line that version 4 prints for people and version 5 only on a terminal.
func withoutHeader(s string) string {
	if first, rest, ok := strings.Cut(s, "\n"); ok && strings.HasPrefix(first, "The following account configurations") {
		return rest
	}
	return s
}

// TestAsOriginal runs the same command lines through Debian's oidc-add and ours: exit code, standard output and what
// the agent was asked are the same.
func TestAsOriginal(t *testing.T) {
	services.Need(t, "oidc-add")
	f := &agentOf{loaded: []string{"one", "two"}}
	p := newPlace(t, f)
	for _, line := range []string{
		"-a",
		"--loaded",
		"-l",
		"--list",
		"-R",
		"-r demo",
		"--rem demo",
		"demo -r",
		"--pw-env=PW demo",
		"--pw-file=DIR/pw demo",
		"--pw-cmd=DIR/show demo",
		"--pw-file=DIR/pw -c demo",
		"--pw-file=DIR/pw --always-allow-idtoken demo",
		"--pw-file=DIR/pw -p demo",
		"--bogus",
		"",
		"demo other",
	} {
		_ = f.take()
		want := p.original(line)
		wantAsked := f.take()
		got := p.run(true, line)
		gotAsked := f.take()
		out := withoutHeader(want.out)
		if strings.Contains(line, "-p ") {
			out, got.out = known(out), known(got.out)
		}
		if got.code != want.code || got.out != out {
			t.Errorf("oidc-add %s\n got %+v\nwant %+v", line, got, want)
		}
		if gotAsked, wantAsked := essence(gotAsked), essence(wantAsked); !reflect.DeepEqual(gotAsked, wantAsked) {
			t.Errorf("oidc-add %s asked\n%q\nwant\n%q", line, gotAsked, wantAsked)
		}
	}
}

func TestLoad(t *testing.T) {
	f := &agentOf{loaded: []string{"here"}}
	p := newPlace(t, f)
	config := " config=" + compact(demoConfig)
	for line, c := range map[string]struct {
		want  outcome
		asked string // the last request
	}{
		"--pw-env=PW demo":              {outcome{0, "success\n", ""}, "add" + config},
		"--pw-env=PW --skip-check demo": {outcome{0, "success\n", ""}, "add" + config + " plain"},
		"--pw-env=PW -t 60 demo": {
			outcome{0, "success\n", "Lifetime set to 60 seconds\n"}, "add" + config + " lifetime=60",
		},
		"--pw-env=PW -t0 -c demo": {
			outcome{0, "success\n", "Lifetime set to 0 seconds\n"}, "add" + config + " lifetime=0 confirm",
		},
		"--pw-env=BAD --pw-file=DIR/pw demo": {
			outcome{0, "success\n", "oidc-add: --pw-env: wrong password\n"}, "add" + config,
		},
		"https://op.example.org --pw-env=PW": {outcome{0, "success\n", ""}, "add" + config},
		"here":                               {outcome{0, "Account 'here' already loaded\n", ""}, "loaded_accounts"},
		"absent": {
			outcome{1, "", "Error: No account configured with that short name\nsee what there is with --list\n"},
			"loaded_accounts",
		},
		"https://no.example.org": {
			outcome{1, "", "Error: No account configured with that short name\nsee what there is with --list\n"}, "account_info",
		},
		"https://two.example.org": {
			outcome{64, "", "Error: there are several logins for issuer https://two.example.org: a, b\nname one of them\n"},
			"account_info",
		},
	} {
		_ = f.take()
		got := p.run(true, line)
		asked := f.take()
		if got != c.want {
			t.Errorf("oidc-add %s\n got %+v\nwant %+v", line, got, c.want)
		}
		if len(asked) == 0 || asked[len(asked)-1] != c.asked {
			t.Errorf("oidc-add %s asked %q, want %q last", line, asked, c.asked)
		}
	}
}

func TestForceLoadsAnew(t *testing.T) {
	f := &agentOf{loaded: []string{"demo"}}
	p := newPlace(t, f)
	got := p.run(true, "-f --pw-env=PW demo")
	want := []string{"loaded_accounts", "remove account=demo", "add config=" + compact(demoConfig)}
	if asked := f.take(); got.code != 0 || !reflect.DeepEqual(asked, want) {
		t.Errorf("got %+v, asked %q", got, asked)
	}
}

func TestRefusals(t *testing.T) {
	f := &agentOf{}
	p := newPlace(t, f)
	p.write("accounts/gpg", "-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n"+
		"Generated using version: 5.3.3")
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"../demo":                          {cli.Usage, "unusable account name"},
		"-t -5 demo":                       {cli.Usage, "lifetime"},
		"--pw-store=soon --pw-env=PW demo": {cli.Usage, "--pw-store"},
		"gpg":                              {cli.Denied, "OpenPGP"},
		"absent":                           {cli.NotFound, "o account configured"},
		"--pw-prompt=window demo":          {cli.Usage, "pw-prompt"},
		"-x --pw-env=NOT_SET":              {cli.Usage, "empty"},
	} {
		_ = f.take()
		got := p.run(false, line)
		if got.code != want.code || got.out != "" || !strings.Contains(got.errOut, want.text) {
			t.Errorf("oidcbox add %s: %+v", line, got)
		}
		for _, a := range f.take() {
			if strings.HasPrefix(a, "add") {
				t.Errorf("oidcbox add %s: the agent was asked %q", line, a)
			}
		}
	}
	f.failWith = proto.Failure("invalid_grant: gone", "try oidc-gen demo --reauthenticate")
	got := p.run(false, "--pw-env=PW demo")
	if got.code != cli.Human || got.out != "" || !strings.HasPrefix(got.errOut, "oidcbox add: invalid_grant: gone\nhint: try ") {
		t.Errorf("login refused: %+v", got)
	}
}

func TestWithoutAgent(t *testing.T) {
	p := newPlace(t, nil)
	if got := p.run(true, "-l"); got != (outcome{0, "demo\n", ""}) {
		t.Errorf("list: %+v", got)
	}
	if got := p.run(false, "-l --json"); got != (outcome{0, "[\"demo\"]\n", ""}) {
		t.Errorf("list as JSON: %+v", got)
	}
	if got := p.run(true, "-p --pw-env=PW demo"); got.code != 0 || compact(got.out) != compact(demoConfig) {
		t.Errorf("print: %+v", got)
	}
	got := p.run(false, "-a")
	if got.code != cli.NotFound || !strings.Contains(got.errOut, "hint: start one with: eval $(") {
		t.Errorf("loaded: %+v", got)
	}
	got = p.run(true, "demo")
	if got.code != 1 || !strings.HasPrefix(got.errOut, "Error: Could not connect to oidc-agent") {
		t.Errorf("load: %+v", got)
	}
}

func TestLists(t *testing.T) {
	f := &agentOf{loaded: []string{"b", "a"}}
	p := newPlace(t, f)
	p.write("accounts/another", demoFile)
	p.write("accounts/notes.txt", "no account")
	if got := p.run(true, "-l"); got.out != "another\ndemo\n" {
		t.Errorf("usable: %+v", got)
	}
	if got := p.run(true, "-a"); got.out != "b\na\n" {
		t.Errorf("loaded: %+v", got)
	}
	if got := p.run(false, "-a --json"); got.out != "[\"b\",\"a\"]\n" {
		t.Errorf("loaded as JSON: %+v", got)
	}
	f.loaded = nil
	if got := p.run(false, "-a --json"); got.out != "[]\n" {
		t.Errorf("nothing loaded: %+v", got)
	}
	if got := p.run(true, "-a --json"); got.code != 64 {
		t.Errorf("JSON under the original's name: %+v", got)
	}
}

func TestLockAndUnlock(t *testing.T) {
	f := &agentOf{}
	p := newPlace(t, f)
	if got := p.run(true, "-x --pw-file=DIR/pw"); got != (outcome{0, "success\n", ""}) {
		t.Errorf("lock: %+v", got)
	}
	if got := p.run(true, "-X --pw-cmd=/bin/true"); got.code != 1 || got.out != "" {
		t.Errorf("a command that prints nothing: %+v", got)
	}
	if got := p.run(true, "-X --pw-env=PW"); got != (outcome{0, "success\n", ""}) {
		t.Errorf("unlock: %+v", got)
	}
	want := []string{"lock password=" + demoPassword, "unlock password=" + demoPassword}
	asked := slices.DeleteFunc(f.take(), func(s string) bool { return s == "check" }) // whether there is an agent at all
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q", asked)
	}
	f.failWith = proto.Failure(proto.TextWrongPassword, "")
	if got := p.run(false, "-X --pw-env=BAD"); got != (outcome{cli.Denied, "", "oidcbox add: wrong password\n"}) {
		t.Errorf("wrong password: %+v", got)
	}
}

func TestPasswordEntry(t *testing.T) {
	text := secret.FromString(demoPassword)
	hour := int64(3600)
	day := "86400"
	alone := "-"
	const stored = `{"account":"demo","type":9,"password":"correct horse"`
	for name, c := range map[string]struct {
		cmd  Cmd
		from int
		want string
	}{
		"prompt":         {Cmd{}, fromPrompt, `{"account":"demo","type":8}`},
		"env":            {Cmd{PwEnv: "PW"}, fromMemory, stored + `}`},
		"command":        {Cmd{PwCmd: "pass show x"}, fromCommand, `{"account":"demo","type":12,"command":"pass show x"}`},
		"keyring":        {Cmd{PwKeyring: true}, fromPrompt, strings.Replace(stored, ":9", ":11", 1) + `}`},
		"file below":     {Cmd{PwFile: "pw"}, fromFile, `{"account":"demo","type":24,"pw_file":"/here/pw"}`},
		"gpg":            {Cmd{PwGpg: "ABC"}, fromPrompt, `{"account":"demo","type":40,"gpg_key":"ABC"}`},
		"file":           {Cmd{PwFile: "/pw"}, fromFile, `{"account":"demo","type":24,"pw_file":"/pw"}`},
		"store":          {Cmd{PwStore: &alone}, fromPrompt, stored + `}`},
		"store for":      {Cmd{PwStore: &day}, fromPrompt, stored + `,"expires_at":1086400,"expires_after":86400}`},
		"store lifetime": {Cmd{PwStore: &alone, Lifetime: &hour}, fromPrompt, stored + `,"expires_at":1003600,"expires_after":3600}`},
	} {
		env := &cli.Env{Dir: "/here", Now: func() time.Time { return time.Unix(1000000, 0) }}
		got, err := c.cmd.passwordEntry(env, "demo", &password{text: text, from: c.from}, false)
		if err != nil || got.Expose() != c.want {
			t.Errorf("%s: %s, %v", name, got.Expose(), err)
		}
	}
}
