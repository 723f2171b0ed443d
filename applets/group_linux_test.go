package applets

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestGroupSocket: with --with-group a member, here with Debian's clients and a uid of somebody else, gets tokens of the
// logins that are loaded and nothing else; who is no member gets nothing.
func TestGroupSocket(t *testing.T) {
	services.NeedRoot(t)
	services.Need(t, "setpriv")
	const group, nobody = "games", "65534"
	g, err := user.LookupGroup(group)
	if err != nil {
		services.Missing(t, "group "+group)
	}
	h := newHouse(t)
	for _, dir := range []string{h.dir, filepath.Dir(h.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil { // the way to the socket is open, as that to /run is
			t.Fatal(err)
		}
	}
	h.startAgent("--with-group=" + group)
	h.gen("work")
	as := func(gid, program string, args ...string) (string, int) {
		t.Helper()
		line := append([]string{"--reuid", nobody, "--regid", gid, "--clear-groups", original(t, program)}, args...)
		cmd := exec.Command("setpriv", line...)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "OIDC_SOCK=" + h.socket()}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := as(g.Gid, "oidc-token", "work"); code != 0 || !strings.HasPrefix(out, "ey") {
		t.Errorf("a member's token: %d %s", code, out)
	}
	if out, code := as(g.Gid, "oidc-agent", "--status"); code != 1 || !strings.Contains(out, proto.TextForbidden) {
		t.Errorf("a member's status: %d %s", code, out)
	}
	if out, code := as(nobody, "oidc-token", "work"); code != 1 || strings.HasPrefix(out, "ey") {
		t.Errorf("a stranger's token: %d %s", code, out)
	}
	// The owner's own programs may do everything still.
	if o := h.exec(h.bin, "agent", "--status"); o.code != 0 {
		t.Errorf("the owner's status: %d %s", o.code, o.errOut)
	}
}
