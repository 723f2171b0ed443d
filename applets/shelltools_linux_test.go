package applets

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// shellHouse is a home without a provider: where agents are found and started nobody logs in.
type shellHouse struct {
	t   *testing.T
	dir string
	env []string
}

// newShellHouse has the names of the original's programs on its PATH, in front of everything else: as links to our
// binary, or as Debian's programs with theirs.
func newShellHouse(t *testing.T, theirs bool) *shellHouse {
	t.Helper()
	bin, err := oneBinary()
	if err != nil {
		t.Fatal(err)
	}
	h := &shellHouse{t: t, dir: t.TempDir()}
	for _, d := range []string{"home", "run", "bin", "tmp"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := "/usr/bin:/bin"
	if !theirs {
		path = filepath.Join(h.dir, "bin") + ":" + path
		for _, name := range []string{"oidc-agent", "oidc-agent-service", "oidc-keychain", "oidc-add"} {
			if err := os.Symlink(bin, filepath.Join(h.dir, "bin", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.env = []string{
		"PATH=" + path, "HOME=" + filepath.Join(h.dir, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(h.dir, "run"),
		"TMPDIR=" + filepath.Join(h.dir, "tmp"),
	}
	t.Cleanup(h.endAgents)
	return h
}

// sh runs a script in a shell of this house.
func (h *shellHouse) sh(shell, script string) output {
	h.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(shell, "-c", script)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = h.env, h.dir, &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return output{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// pids are the agents whose sockets lie in this house.
func (h *shellHouse) pids() []string {
	var pids []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		name, _, _ := strings.Cut(string(line), "\x00")
		if strings.HasSuffix(name, "oidc-agent") && bytes.Contains(environ, []byte("HOME="+h.dir)) {
			pids = append(pids, filepath.Base(dir))
		}
	}
	return pids
}

func (h *shellHouse) endAgents() {
	for _, pid := range h.pids() {
		_ = exec.Command("kill", pid).Run()
	}
}

// TestServiceLikeTheOriginal compares what a shell gets from both scripts. The directory is another one in version 4.
func TestServiceLikeTheOriginal(t *testing.T) {
	services.Need(t, "oidc-agent", "jq")
	services.NeedRoot(t) // to find the agents that are left over
	place := regexp.MustCompile(`/[^ ';]*/oidc-agent-service(-\d+|/\d+)/`)
	pid := regexp.MustCompile(`(OIDCD_PID=|pid )\d+`)
	tidy := func(o output) string {
		out := place.ReplaceAllString(o.out, "DIR/")
		out = strings.ReplaceAll(out, "/usr/bin/oidc-agent-service ", "oidc-agent-service ")
		return fmt.Sprintf("%d\n%s", o.code, pid.ReplaceAllString(out, "${1}N"))
	}
	theirs, ours := newShellHouse(t, true), newShellHouse(t, false)
	for _, step := range []string{
		"oidc-agent-service", "oidc-agent-service nothing", "oidc-agent-service stop",
		// Not "use" a second time: theirs prints an empty OIDCD_PID then, unless the shell has it already.
		"oidc-agent-service use", "oidc-agent-service start", "oidc-agent-service restart-s",
		`eval $(oidc-agent-service use) | wc -w
			test -S "$OIDC_SOCK" && test -f "$OIDCD_PID_FILE" && kill -0 $OIDCD_PID && echo there`,
	} {
		a, b := tidy(theirs.sh("bash", step)), tidy(ours.sh("bash", step))
		if a != b {
			t.Errorf("%s\ntheirs:\n%s\nours:\n%s", step, a, b)
		}
	}
}

// TestKeychainLikeTheOriginal compares the shell's variables and the exit codes; the original's lines cannot be quoted.
func TestKeychainLikeTheOriginal(t *testing.T) {
	services.Need(t, "oidc-agent")
	services.NeedRoot(t)
	theirs, ours := newShellHouse(t, true), newShellHouse(t, false)
	number := regexp.MustCompile(`\d+`)
	for _, step := range []string{
		"oidc-keychain -k",
		`eval $(oidc-keychain); test -S $OIDC_SOCK && kill -0 $OIDCD_PID && echo there; sleep 0.2`,
		`eval $(oidc-keychain); one=$OIDCD_PID; unset OIDC_SOCK OIDCD_PID
			eval $(oidc-keychain); test $one = $OIDCD_PID && echo same`,
		`unset OIDC_SOCK OIDCD_PID; . $HOME/.oidc-agent/.keychain/$(uname -n).sh; kill -0 $OIDCD_PID && echo sourced`,
		`eval $(oidc-keychain --accounts nosuch) > /dev/null; echo $?`,
		`eval $(oidc-keychain -k); echo "<$OIDC_SOCK$OIDCD_PID>"`,
		"oidc-keychain -k", "oidc-keychain --usage > /dev/null", "oidc-keychain --help > /dev/null",
	} {
		a, b := theirs.sh("bash", step), ours.sh("bash", step)
		same := func(o output) string { return fmt.Sprintf("%d\n%s", o.code, number.ReplaceAllString(o.out, "N")) }
		if same(a) != same(b) {
			t.Errorf("%s\ntheirs:\n%s\nours:\n%s%s", step, same(a), same(b), b.errOut)
		}
	}
}

// TestUseAtOnce: shells that start together, as when a desktop opens its windows again.
func TestUseAtOnce(t *testing.T) {
	services.NeedRoot(t)
	for _, command := range []string{"oidc-agent-service use", "oidc-keychain"} {
		t.Run(command, func(t *testing.T) {
			h := newShellHouse(t, false)
			const shells = 20
			said := make([]output, shells)
			var wg sync.WaitGroup
			for i := range said {
				wg.Go(func() { said[i] = h.sh("sh", command) })
			}
			wg.Wait()
			variables := regexp.MustCompile(`OIDCD_PID=\d+`)
			for _, o := range said {
				if o.code != 0 || variables.FindString(o.out) != variables.FindString(said[0].out) {
					t.Errorf("%+v\nbeside\n%+v", o, said[0])
				}
			}
			if n := len(h.pids()); n != 1 {
				t.Errorf("%d agents", n)
			}
		})
	}
}

// TestStopAndUseAtOnce: whatever the order, at the end one agent runs or none, and the next one works.
func TestStopAndUseAtOnce(t *testing.T) {
	services.NeedRoot(t)
	h := newShellHouse(t, false)
	var wg sync.WaitGroup
	for i := range 12 {
		command := "oidc-agent-service use"
		if i%3 == 2 {
			command = "oidc-agent-service stop"
		}
		wg.Go(func() {
			if o := h.sh("sh", command); o.code != 0 {
				t.Errorf("%s: %+v", command, o)
			}
		})
	}
	wg.Wait()
	if n := len(h.pids()); n > 1 {
		t.Errorf("%d agents", n)
	}
	if o := h.sh("sh", `eval $(oidc-agent-service use) >/dev/null && oidc-agent --status >/dev/null`); o.code != 0 {
		t.Errorf("afterwards: %+v", o)
	}
	if n := len(h.pids()); n != 1 {
		t.Errorf("afterwards %d agents", n)
	}
}

// TestServiceOfAnotherAgent: the file of options names the original's agent. It is started, found again, restarted with its
// options, and ended with its socket, which it leaves behind.
func TestServiceOfAnotherAgent(t *testing.T) {
	services.Need(t, "oidc-agent")
	services.NeedRoot(t)
	h := newShellHouse(t, false)
	config := filepath.Join(h.dir, "home", ".config", "oidc-agent")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	options := "OIDC_AGENT=/usr/bin/oidc-agent\nOIDC_AGENT_OPTS=--lifetime=70\n"
	if err := os.WriteFile(filepath.Join(config, "oidc-agent-service.options"), []byte(options), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"use", "use", "restart"} {
		o := h.sh("sh", "eval $(oidc-agent-service "+step+") > /dev/null && oidc-agent --status")
		if o.code != 0 || !strings.Contains(o.out, "running version 4.2.6") || !strings.Contains(o.out, "70 seconds") {
			t.Errorf("%s: %+v", step, o)
		}
	}
	if o := h.sh("sh", "oidc-agent-service stop"); o.code != 0 || !strings.Contains(o.out, "killed") {
		t.Errorf("stop: %+v", o)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "tmp", "oidc-agent-service-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestServicePlaceOfSomebodyElse: in /tmp others can be there first.
func TestServicePlaceOfSomebodyElse(t *testing.T) {
	services.NeedRoot(t)
	h := newShellHouse(t, false)
	place := filepath.Join(h.dir, "tmp", fmt.Sprintf("oidc-agent-service-%d", os.Getuid()))
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(place, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"oidc-agent-service use", "oidc-keychain", "oidc-agent-service stop"} {
		if o := h.sh("sh", command); o.code != 1 || !strings.Contains(o.errOut, "not trusted") || len(h.pids()) != 0 {
			t.Errorf("%s: %+v", command, o)
		}
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(h.dir, "home"), place); err != nil {
		t.Fatal(err)
	}
	if o := h.sh("sh", "oidc-agent-service use"); o.code != 1 || len(h.pids()) != 0 {
		t.Errorf("over a link: %+v", o)
	}
}
