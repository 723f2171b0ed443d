package token

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
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const expires = 1795288013

// agent answers with what it was asked, so that a comparison of outputs is one of requests, too.
func agent(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
	switch r.Account {
	case "absent":
		return proto.Failure(proto.TextNotConfigured, "")
	case "expired":
		return proto.Failure("invalid_grant: token is gone", "try:\n\toidc-gen expired --reauthenticate")
	case "locked":
		return proto.Failure(proto.TextLocked, "")
	case "denied":
		return proto.Failure(proto.TextForbidden, "")
	case "down":
		return proto.Failure(proto.TextCannotReach, "")
	case "empty":
		return proto.Success("")
	case "refused":
		rep := proto.Failure("invalid_scope: not for you", "ask for fewer")
		rep.Issuer = "https://op.example.org"
		return rep
	}
	issuer := "https://op.example.org"
	if r.Account == "evil" {
		issuer = "https://op.example.org/$(id)'x"
	}
	said := strings.NewReplacer(" ", "_").Replace(fmt.Sprintf("%s.%s.%s.%d.%s.%s.%s",
		r.Type, r.Account, r.Issuer, r.MinValid, r.Scope, r.Audience, r.Hint))
	switch r.Type {
	case proto.TypeAccessToken:
		rep := proto.Reply{
			Status: proto.StatusSuccess, AccessToken: secret.FromString(said), Issuer: issuer, ExpiresAt: expires,
		}
		if r.Account == "less" {
			rep.Scope, rep.Narrowed = "openid", true
		}
		return rep
	case proto.TypeIDToken:
		return proto.Reply{Status: proto.StatusSuccess, IDToken: secret.FromString(said), Issuer: issuer}
	case proto.TypeMytoken:
		return proto.Reply{Status: proto.StatusSuccess, Mytoken: secret.FromString(fmt.Sprintf(
			`{"mytoken":%q,"mytoken_issuer":"https://mt.example.org","oidc_issuer":%q,"expires_at":%d}`,
			"mt."+strings.Trim(string(r.MytokenProfile), `"`), issuer, expires))}
	}
	return proto.Failure(proto.TextUnknownType, "")
}

func serve(t *testing.T) (socket string) {
	t.Helper()
	return serveWith(t, proto.HandlerFunc(agent))
}

func serveWith(t *testing.T, h proto.Handler) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "token")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	ln, err := sock.Listen(socket, sock.ListenOptions{})
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
		_ = os.RemoveAll(dir)
	})
	return socket
}

type outcome struct {
	code        int
	out, errOut string
}

func run(t *testing.T, socket string, upstream bool, args ...string) outcome {
	t.Helper()
	return runIn(t, map[string]string{"OIDC_SOCK": socket}, upstream, args...)
}

func runIn(t *testing.T, vars map[string]string, upstream bool, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut, Upstream: upstream,
		Now:    func() time.Time { return time.Unix(expires-100, 0) },
		Getenv: func(k string) string { return vars[k] },
	}
	g := cli.Grammar{Name: "oidcbox token", Argp: true}
	if upstream {
		g.Name = "oidc-token"
	}
	code := cli.Run(t.Context(), env, g, New(), args)
	return outcome{code, out.String(), errOut.String()}
}

// original runs Debian's oidc-token.
func original(t *testing.T, socket string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "oidc-token", args...)
	cmd.Env = []string{"OIDC_SOCK=" + socket, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// TestAsOriginal runs the same command lines through Debian's oidc-token and ours against the same agent.
func TestAsOriginal(t *testing.T) {
	services.Need(t, "oidc-token")
	socket := serve(t)
	for _, line := range []string{
		"acc",
		"https://op.example.org",
		"http://op.example.org",
		"-t 60 acc",
		"--time=60 acc",
		"--tim 60 acc",
		"acc --time 60",
		"-f acc",
		"--force acc",
		"-s openid -s profile acc",
		"--scope=openid --sc profile acc",
		"--aud=https://a.example.org acc",
		"--name=rucio acc",
		"-o acc",
		"-i acc",
		"-e acc",
		"--issuer acc",
		"--exp acc",
		"-oie acc",
		"-o -i -e acc",
		"-i -e acc",
		"-iISS acc",
		"--issuer=ISS acc",
		"--token=AT -e acc",
		"-eEXP -o acc",
		"-c acc",
		"--env acc",
		"-c -iISS acc",
		"-a acc",
		"--all acc",
		"-a -i acc",
		"-a -c acc",
		"-fa acc",
		"-fat60 acc",
		"absent",
		"expired",
		"locked",
		"less", // members that only our agent sends
		"acc other",
		"--bogus acc",
		"-Z acc",
		"--time acc",
		"--",
		"-- acc",
		"",
	} {
		args := strings.Fields(line)
		want, got := original(t, socket, args...), run(t, socket, true, args...)
		if got.code != want.code || got.out != want.out {
			t.Errorf("oidc-token %s\n got %+v\nwant %+v", line, got, want)
			continue
		}
		// The original leaves out the line end after a help text.
		if want.code == 1 && strings.TrimSuffix(got.errOut, "\n") != strings.TrimSuffix(want.errOut, "\n") {
			t.Errorf("oidc-token %s: standard error\n got %q\nwant %q", line, got.errOut, want.errOut)
		}
	}
}

// TestOriginalLooksOver: members that only our agent sends change nothing for the original's client.
func TestOriginalLooksOver(t *testing.T) {
	services.Need(t, "oidc-token")
	got := original(t, serve(t), "refused")
	const want = "Error: invalid_scope: not for you\nask for fewer"
	if got.code != 1 || got.out != "" || strings.TrimSpace(got.errOut) != want {
		t.Errorf("got %+v", got)
	}
}

// TestNewerOptions are those that Debian's version does not have, and --id-token, which there asks a remote agent only.
func TestNewerOptions(t *testing.T) {
	socket := serve(t)
	const at = "access_token.acc..0...oidc-token"
	for line, want := range map[string]string{
		"--id-token acc":    "id_token.acc..0...oidc-token\n",
		"--bearer acc":      "Bearer " + at + "\n",
		"--auth-header acc": "Authorization: Bearer " + at,
		"--auth acc":        "Authorization: Bearer " + at,
		"-m acc":            "mt.web-default\n",
		"-mp acc":           "mt.p\n",
		"--mytoken=p acc":   "mt.p\n",
		"--MT acc":          "mt.web-default\n",
		"-m -i acc":         "https://mt.example.org\n",
		"-c evil": "OIDC_AT=access_token.evil..0...oidc-token; export OIDC_AT;\n" +
			`OIDC_ISS='https://op.example.org/$(id)'\''x'; export OIDC_ISS;` + "\nOIDC_EXP=1795288013; export OIDC_EXP;\n",
	} {
		if got := run(t, socket, true, strings.Fields(line)...); got != (outcome{0, want, ""}) {
			t.Errorf("oidc-token %s: %+v", line, got)
		}
	}
	for _, line := range []string{
		"-m https://op.example.org", "-i$(id) acc", "-i1x acc", "--token=a;b acc", "--json acc",
	} {
		if got := run(t, socket, true, strings.Fields(line)...); got.code != 64 || got.out != "" {
			t.Errorf("oidc-token %s: %+v", line, got)
		}
	}
}

func TestIDTokenErrorIsBare(t *testing.T) {
	if got := run(t, serve(t), true, "--id-token", "absent"); got != (outcome{1, "", proto.TextNotConfigured + "\n"}) {
		t.Errorf("got %+v", got)
	}
}

func TestOurName(t *testing.T) {
	socket := serve(t)
	for line, want := range map[string]struct {
		code int
		says []string // the frame has the last word on capitals and white space
	}{
		"absent":  {cli.NotFound, []string{"no account configured with that short name", "hint: see what there is with:"}},
		"expired": {cli.Human, []string{"invalid_grant: token is gone", "hint: log in again with:", "--reauthenticate expired"}},
		"locked":  {cli.Human, []string{"agent locked", "hint: unlock it with:", "add --unlock"}},
		"denied":  {cli.Denied, []string{"operation forbidden"}},
		"down":    {cli.Temporary, []string{"could not connect to url"}},
		"empty":   {cli.No, []string{"the agent answered without a token"}},
	} {
		got := run(t, socket, false, line)
		said := strings.ToLower(got.errOut)
		if got.code != want.code || got.out != "" || !strings.HasPrefix(said, "oidcbox token: ") {
			t.Errorf("oidcbox token %s: %+v", line, got)
		}
		for _, words := range want.says {
			if !strings.Contains(said, words) {
				t.Errorf("oidcbox token %s does not say %q: %q", line, words, got.errOut)
			}
		}
	}
	for line, want := range map[string]outcome{
		"-t 90 acc": {0, "access_token.acc..90...oidc-token\n", ""},
		"-t 101 acc": {
			0, "access_token.acc..101...oidc-token\n",
			"oidcbox token: the token is valid for 100 s only; the provider gives none for longer\n",
		},
	} {
		if got := run(t, socket, false, strings.Fields(line)...); got != want {
			t.Errorf("oidcbox token %s:\n got %+v\nwant %+v", line, got, want)
		}
	}
	if got := run(t, socket, false, "acc", "other"); got.code != cli.Usage {
		t.Errorf("two names: %+v", got)
	}
	if got := run(t, socket, false); got.code != cli.Usage {
		t.Errorf("no name: %+v", got)
	}
}

func TestJSON(t *testing.T) {
	socket := serve(t)
	for line, want := range map[string]string{
		"--json acc": `{"access_token":"access_token.acc..0...oidc-token","issuer":"https://op.example.org",` +
			`"expires_at":1795288013}`,
		"--json --id-token acc": `{"id_token":"id_token.acc..0...oidc-token","issuer":"https://op.example.org"}`,
		"--json -m acc":         `{"mytoken":"mt.web-default","issuer":"https://mt.example.org","expires_at":1795288013}`,
	} {
		got := run(t, socket, false, strings.Fields(line)...)
		if got.out != want+"\n" || !json.Valid([]byte(got.out)) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestNoAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	got := run(t, socket, false, "acc")
	const said = "oidcbox token: no agent is running: socket "
	if got.code != cli.NotFound || got.out != "" || !strings.HasPrefix(got.errOut, said+socket) ||
		!strings.Contains(got.errOut, "hint: start one with: eval $(") {
		t.Errorf("got %+v", got)
	}
	got = run(t, socket, true, "acc")
	if got.code != 1 || !strings.HasPrefix(got.errOut, "Error: Could not connect to oidc-agent") || got.out != "" {
		t.Errorf("got %+v", got)
	}
}

func TestSocketOfSomebodyElse(t *testing.T) {
	services.NeedRoot(t)
	socket := serve(t)
	if err := os.Chown(socket, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	got := run(t, socket, false, "acc")
	if got.code != cli.Denied || got.out != "" || !strings.Contains(got.errOut, "belongs to uid 12345") {
		t.Errorf("got %+v", got)
	}
}

// TestLessThanAsked: under our own name nothing is printed but the reason; as oidc-token the token comes with a note.
func TestLessThanAsked(t *testing.T) {
	socket := serve(t)
	const said = "https://op.example.org granted less than was asked for: scope \"storage.read:/\" is missing\n"
	const token = "access_token.less..0.openid_storage.read:/..oidc-token\n"
	asked := []string{"-s", "openid storage.read:/", "less"}
	for name, c := range map[string]struct {
		upstream bool
		more     []string
		want     outcome
	}{
		"own name": {false, nil, outcome{
			cli.No, "", "oidcbox token: login less: " + said + "hint: take it all the same with --accept-less\n",
		}},
		"own name, accepted": {false, []string{"--accept-less"}, outcome{0, token, "oidcbox token: " + said}},
		"oidc-token":         {true, nil, outcome{0, token, "oidc-token: " + said}},
	} {
		if got := run(t, socket, c.upstream, append(c.more, asked...)...); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	// Nothing was asked for, so nothing can be missing.
	if got := run(t, socket, false, "less"); got.code != 0 || got.errOut != "" {
		t.Errorf("got %+v", got)
	}
}

// TestRefusalNames: a failure says of which login, which provider and what was asked.
func TestRefusalNames(t *testing.T) {
	socket := serve(t)
	got := run(t, socket, false, "-s", "a b", "--aud", "x", "refused")
	const own = `oidcbox token: login refused at https://op.example.org, scope "a b", audience "x": invalid_scope: not for you` +
		"\nhint: ask for fewer\n"
	if got != (outcome{cli.No, "", own}) {
		t.Errorf("got %+v", got)
	}
	got = run(t, socket, true, "-s", "a b", "refused")
	const upstream = "Error: invalid_scope: not for you\nask for fewer\n" +
		`This was about login refused at https://op.example.org, scope "a b".` + "\n"
	if got != (outcome{1, "", upstream}) {
		t.Errorf("got %+v", got)
	}
}

// TestSmallGrammar: a plain request is read by the small grammar, and both understand it alike.
func TestSmallGrammar(t *testing.T) {
	for line, want := range map[string]cli.Command{
		"work":                           &plain{},
		"-s openid --aud x -t 5 work":    &plain{},
		"--json --scope=a work":          &plain{},
		"--store work":                   &Cmd{},
		"--sto work":                     &Cmd{},
		"--s openid work":                &Cmd{}, // the beginning of several
		"--re work":                      &Cmd{},
		"--help":                         &Cmd{},
		"-h":                             &Cmd{},
		"":                               &Cmd{},
		"--revoke -":                     &Cmd{},
		"--client-credentials --json me": &Cmd{},
	} {
		got := New().(*Cmd).Choose(false, strings.Fields(line))
		if reflect.TypeOf(got) != reflect.TypeOf(want) {
			t.Errorf("%q is read by %T, want %T", line, got, want)
		}
		if up := New().(*Cmd).Choose(true, strings.Fields(line)); reflect.TypeOf(up) != reflect.TypeFor[*oidcToken]() {
			t.Errorf("oidc-token %q is read by %T", line, up)
		}
	}
}

// TestJobsDoNotMix: options of different jobs together are wrong usage, before anybody is asked.
func TestJobsDoNotMix(t *testing.T) {
	for _, line := range []string{
		"", "--store --watch f acc", "--store --bearer acc", "--watch f -i acc", "--watch f --id-token acc",
		"--exchange --revoke acc", "--exchange -m acc", "--client-credentials --id-token acc", "--save-as x acc",
		"--exchange --replace acc", "--resource https://r acc", "--client-id x acc", "--client-secret-file f acc",
		"--exchange --client-id x acc", "--exchange https://op.example.org", "--revoke https://op.example.org",
		"--watch f --renew-at 1.5 acc", "--token-file f acc", "--exchange --subject-file - --watch f acc",
		"--exchange --subject-file a --subject-login b acc", "--exchange --save-as x --watch f acc", "--revoke --store acc",
		"--ca-file f acc", "--exchange --subject-type x --subject-login acc acc",
	} {
		if got := run(t, filepath.Join(t.TempDir(), "none"), false, strings.Fields(line)...); got.code != cli.Usage || got.out != "" {
			t.Errorf("oidcbox token %s: %+v", line, got)
		}
	}
}

// TestUsualMinimum: the setting counts where the command line says nothing, "-t 0" included.
func TestUsualMinimum(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	const text = `{"oidc-agent":{},"oidc-gen":{},"oidc-add":{},"oidc-token":{"default-min-lifetime":60,"default_mytoken_profile":"mine"}}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"OIDC_SOCK": serve(t), "OIDC_USER_CONFIG": config, "HOME": t.TempDir()}
	for line, want := range map[string]string{
		"acc":        "access_token.acc..60...oidc-token\n",
		"-t 0 acc":   "access_token.acc..0...oidc-token\n",
		"-t 5 acc":   "access_token.acc..5...oidc-token\n",
		"-f acc":     "access_token.acc..-1...oidc-token\n",
		"-m acc":     "mt.mine\n",
		"-mhers acc": "mt.hers\n",
	} {
		for _, upstream := range []bool{false, true} {
			if got := runIn(t, vars, upstream, strings.Fields(line)...); got != (outcome{0, want, ""}) {
				t.Errorf("%s: %+v", line, got)
			}
		}
	}
	// A file that makes no sense is said and costs no token.
	if err := os.WriteFile(config, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runIn(t, vars, true, "acc"); got.code != 0 || got.out != "access_token.acc..0...oidc-token\n" || got.errOut == "" {
		t.Errorf("got %+v", got)
	}
}
