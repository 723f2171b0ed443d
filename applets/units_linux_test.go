package applets

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestUnits checks the units as systemd reads them, with the path of a real binary.
func TestUnits(t *testing.T) {
	h := newHouse(t)
	dir := h.path("units")
	out := h.must("self", "install-units", "--dir", dir)
	for _, name := range []string{"oidcbox-agent.service", "oidcbox-agent.socket", "oidcbox-token@.service"} {
		if !strings.Contains(out, filepath.Join(dir, name)) {
			t.Errorf("%s is not in %q", name, out)
		}
	}
	unit, err := os.ReadFile(filepath.Join(dir, "oidcbox-agent.service"))
	if err != nil || !bytes.Contains(unit, []byte("\nExecStart="+h.bin+" agent --console ")) {
		t.Errorf("%v: no ExecStart of %s in\n%s", err, h.bin, unit)
	}
	t.Run("systemd_takes_them", func(t *testing.T) {
		services.Need(t, "systemd-analyze")
		cmd := exec.Command("systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no",
			filepath.Join(dir, "oidcbox-agent.service"), filepath.Join(dir, "oidcbox-agent.socket"),
			filepath.Join(dir, "oidcbox-token@.service"))
		cmd.Env = h.environ()
		if said, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
			t.Errorf("%v\n%s", err, said)
		}
	})
	h.must("self", "install-units", "--dir", dir, "--remove")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestActivated lets systemd's own program make the sockets and start the agent with the first client. They stay when
// the agent ends: they are systemd's.
func TestActivated(t *testing.T) {
	services.Need(t, "systemd-socket-activate")
	h := newHouse(t)
	dir := filepath.Join(h.runDir, "oidcbox")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	agent, control := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "control.sock")
	var set []string
	for _, v := range append(h.environ(), h.unlocked()...) {
		if !strings.HasPrefix(v, "OIDC_SOCK=") {
			set = append(set, "-E", v)
		}
	}
	args := append([]string{"-l", agent, "-l", control}, set...)
	cmd := exec.Command("systemd-socket-activate", append(args, h.bin, "agent", "--console", "--quiet", "--log-stderr")...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(control); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no sockets")
		}
	}
	status, err := h.at(nil, "agent", "--status").CombinedOutput()
	if err != nil || !bytes.Contains(status, []byte("oidc-agent status")) {
		t.Fatalf("status: %v %s", err, status)
	}
	// The control socket is the agent's as well: a login is saved through it.
	slots, err := h.at(nil, "self", "keystore", "slot", "list").CombinedOutput()
	if err != nil || !bytes.Contains(slots, []byte("passphrase")) {
		t.Errorf("slots: %v %s", err, slots)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	for _, path := range []string{agent, control} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the agent removed a socket that is not its own: %v", err)
		}
	}
}
