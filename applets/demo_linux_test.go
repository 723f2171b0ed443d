package applets

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestDemo: the walk is true to its end, for a mytoken server at our own provider and at one of another make. What it shows
// of networks takes root.
func TestDemo(t *testing.T) {
	t.Run("own", func(t *testing.T) { walk(t) })
	t.Run("npm", func(t *testing.T) {
		op := services.OP(t)
		walk(t, "--mytoken-provider", op.Issuer)
	})
}

// TestDemoLeavesNothing: the login node of the walk was on this machine's disk at no time.
func TestDemoLeavesNothing(t *testing.T) {
	services.NeedRoot(t)
	services.Need(t, "sshd", "nsenter", "setpriv")
	look := func() string {
		var all strings.Builder
		for _, name := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/ssh/sshd_config", "/etc/pam.d/sshd", "/proc/self/mounts"} {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(name + "\n" + string(b))
		}
		for _, dir := range []string{"/home", "/root/.ssh", "/run", "/srv"} {
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != "netns" { // of another walk at the same time
					all.WriteString(dir + "/" + e.Name() + "\n")
				}
			}
		}
		return all.String()
	}
	before := look()
	walk(t)
	if after := look(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func walk(t *testing.T, args ...string) {
	t.Helper()
	h := bareHouse(t)
	cmd := exec.Command(h.bin, append([]string{"demo", "--timeout", "180s"}, args...)...)
	cmd.Dir, cmd.Env = h.dir, append(h.environ(), "LANG=C")
	said, err := cmd.CombinedOutput()
	text := string(said)
	if err != nil || !strings.Contains(text, "all steps are true") {
		t.Fatalf("%v\n%s", err, text)
	}
	shown := []string{
		"storage.create:/vo/results/run7", "clause 1: used as often as allowed", "clause 1: not after", "invalid_token",
	}
	_, ipErr := exec.LookPath("ip")
	if os.Geteuid() == 0 && ipErr == nil && !strings.Contains(text, "not allowed here") {
		shown = append(shown, `not from country "DE"`)
	} else {
		shown = append(shown, "not shown: the job runs on this machine")
	}
	if os.Geteuid() == 0 && !strings.Contains(text, "not shown: logging in by ssh: ") {
		shown = append(shown, "uid=2000000000(alice)", "a password for one login", "is suspended", "uid 2000000000 again")
	} else {
		shown = append(shown, "not shown: logging in by ssh: ")
	}
	for _, s := range shown {
		if !strings.Contains(text, s) {
			t.Errorf("it does not show %q:\n%s", s, text)
		}
	}
}
