//go:build linux

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// fakePinentry speaks the protocol and gives the words of the file "typed".
const fakePinentry = `echo "OK hi"
while read -r line; do
  echo "$line" >>"$0.in"
  case "$line" in
  GETPIN) printf 'D '; cat "$(dirname "$0")/typed"; echo; echo OK;;
  BYE) echo OK; exit 0;;
  *) echo OK;;
  esac
done
`

// fakePrompt is a program with the interface of oidc-prompt.
const fakePrompt = `for a in "$@"; do echo "<$a>" >>"$0.in"; done
case "$1" in
password) cat "$(dirname "$0")/typed"; echo;;
confirm*) cat "$(dirname "$0")/said"; echo;;
esac
`

// tool makes a program that the agent finds on its PATH.
func (h *home) tool(name, body string) {
	h.t.Helper()
	if err := os.MkdirAll(h.path("bin"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path("bin/"+name), []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+body), 0o700); err != nil {
		h.t.Fatal(err)
	}
}

// configured writes an account file, as oidc-gen does.
func (h *home) configured(op *issuertest.Server, name string) {
	h.t.Helper()
	toks := op.Tokens("alice", "openid offline_access storage.read:/")
	b, err := json.Marshal(map[string]any{
		"name": name, "issuer_url": op.URL, "client_id": "web", "client_secret": "web-secret",
		"refresh_token": toks.Refresh.Expose(), "scope": "openid offline_access storage.read:/",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	f, err := login.EncryptFile(h.t.Context(), secret.New(b), secret.FromString("file password"))
	if err != nil {
		h.t.Fatal(err)
	}
	dir := h.path("home/.config/oidc-agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := login.WriteAccount(dir, name, f); err != nil {
		h.t.Fatal(err)
	}
}

// debianToken runs Debian's oidc-token, which has no terminal here.
func (h *home) debianToken(socket string, args ...string) result {
	h.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(h.t.Context(), "/usr/bin/oidc-token", args...)
	cmd.Env = append([]string{"OIDC_SOCK=" + socket}, h.env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// TestOriginalTokenIsAskedFor: the original's client asks ours for an account that is configured and not loaded.
func TestOriginalTokenIsAskedFor(t *testing.T) {
	services.Need(t, "oidc-token")
	op := issuertest.Start(t)
	for name, c := range map[string]struct {
		tools map[string]string
		typed string
		want  string // of standard error; "" for a token
	}{
		"pinentry":       {map[string]string{"pinentry": fakePinentry}, "file password", ""},
		"oidc-prompt":    {map[string]string{"oidc-prompt": fakePrompt}, "file password", ""},
		"both":           {map[string]string{"pinentry": "exit 1", "oidc-prompt": fakePrompt}, "file password", ""},
		"wrong_password": {map[string]string{"pinentry": fakePinentry}, "guess", proto.TextNotLoaded},
		"cancelled":      {map[string]string{"oidc-prompt": fakePrompt}, "", proto.TextNotLoaded},
		"nothing_there":  {nil, "", proto.TextNotLoaded},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.tool("dirname", `exec /usr/bin/dirname "$@"`)
			for tool, body := range c.tools {
				h.tool(tool, body)
			}
			h.write("bin/typed", c.typed)
			h.env = append(h.env, "DISPLAY=:99", "PATH="+h.path("bin"))
			h.configured(op, "wlcg")
			a := h.start("oidc-agent", "--no-keystore")
			begin := time.Now()
			got := h.debianToken(a.socket, "wlcg")
			if c.want == "" && (got.code != 0 || strings.Count(got.out, ".") != 2 || got.errOut != "") {
				t.Errorf("got %+v", got)
			}
			if c.want != "" && (got.code != 1 || got.out != "" || !strings.HasPrefix(got.errOut, "Error: "+c.want+"\n")) {
				t.Errorf("got %+v", got)
			}
			if took := time.Since(begin); took > 60*time.Second {
				t.Errorf("it took %v", took)
			}
			if got := h.debianToken(a.socket, "nowhere"); got.code != 1 || !strings.HasPrefix(got.errOut, "Error: "+proto.TextNotConfigured) {
				t.Errorf("an account that does not exist: %+v", got)
			}
		})
	}
}

// TestOriginalTokenIsConfirmed: --confirm, as the original's users have it.
func TestOriginalTokenIsConfirmed(t *testing.T) {
	services.Need(t, "oidc-token")
	op := issuertest.Start(t)
	h := newHome(t)
	h.tool("oidc-prompt", fakePrompt)
	h.tool("dirname", `exec /usr/bin/dirname "$@"`)
	h.write("bin/typed", "file password")
	h.env = append(h.env, "DISPLAY=:99", "PATH="+h.path("bin"))
	h.configured(op, "wlcg")
	a := h.start("oidc-agent", "--confirm", "--no-keystore")
	for said, want := range map[string]int{"yes": 0, "no": 1, "": 1} {
		h.write("bin/said", said)
		got := h.debianToken(a.socket, "--name", `rucio"; touch `+filepath.Join(h.dir, "pwned"), "wlcg")
		if got.code != want || want == 1 && !strings.HasPrefix(got.errOut, "Error: "+proto.TextForbidden) {
			t.Errorf("said %q: %+v", said, got)
		}
	}
	if b, _ := os.ReadFile(h.path("bin/oidc-prompt.in")); !strings.Contains(string(b), "rucio") {
		t.Errorf("the question was\n%s", b)
	}
	if _, err := os.Stat(h.path("pwned")); err == nil {
		t.Error("what the client said was run")
	}
}
