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
	}
	issuer := "https://op.example.org"
	if r.Account == "evil" {
		issuer = "https://op.example.org/$(id)'x"
	}
	said := strings.NewReplacer(" ", "_").Replace(fmt.Sprintf("%s.%s.%s.%d.%s.%s.%s",
		r.Type, r.Account, r.Issuer, r.MinValid, r.Scope, r.Audience, r.Hint))
	switch r.Type {
	case proto.TypeAccessToken:
		return proto.Reply{
			Status: proto.StatusSuccess, AccessToken: secret.FromString(said), Issuer: issuer, ExpiresAt: expires,
		}
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
	go func() { done <- proto.Serve(ctx, ln, proto.HandlerFunc(agent), proto.ServeOptions{}) }()
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
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdout: &out, Stderr: &errOut, Upstream: upstream,
		Now:    func() time.Time { return time.Unix(expires-100, 0) },
		Getenv: func(k string) string { return map[string]string{"OIDC_SOCK": socket}[k] },
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
