package applets

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copyFile makes a program of another one, whole before it has its name.
func copyFile(t *testing.T, from, to string) os.FileInfo {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestRestartOnUpdate replaces the program of an agent whose keystore was unlocked by a passphrase that is not kept.
// The pid stays, no client is refused, and the login is served as before.
func TestRestartOnUpdate(t *testing.T) {
	h := newHouse(t)
	prog := h.path("prog")
	copyFile(t, h.bin, prog)
	old := h.bin
	h.bin = prog
	h.startLockedAgent("--restart-on-update", "--log-stderr", "--pid-file", h.path("agent.pid"))
	h.bin = old
	h.must("self", "keystore", "create", "--passphrase-file", h.path("passphrase"))
	h.gen("mine")
	h.must("add", "--remove", "mine")
	h.must("add", "--lifetime", "3000", "mine")
	h.must("token", "mine")
	slots := h.must("self", "keystore", "slot", "list")

	// The kernel does not say which program an agent runs, except to root: an agent cannot be looked into.
	opened := func() int {
		b, err := os.ReadFile(h.path("agent.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "keystore is open")
	}
	before := opened()
	copyFile(t, old, prog)
	runs := func() bool { return opened() > before }
	end := time.Now().Add(60 * time.Second)
	for n := 0; n < 20 || !runs(); n++ {
		if o := h.run("token", "mine"); o.code != 0 {
			t.Fatalf("a client was refused: %+v", o)
		}
		if time.Now().After(end) {
			t.Fatal("the new program does not run")
		}
	}
	if o := h.run("token", "--force-new", "mine"); o.code != 0 {
		t.Errorf("with the new program: %+v", o)
	}
	if pid := strings.TrimSpace(h.await(h.path("agent.pid"))); pid != fmt.Sprint(h.agent.Process.Pid) {
		t.Errorf("pid file says %s, the process is %d", pid, h.agent.Process.Pid)
	}
	if now := h.must("self", "keystore", "slot", "list"); now != slots {
		t.Errorf("key slots before:\n%s\nafter:\n%s", slots, now)
	}
	logins := h.must("add", "--loaded", "--json")
	if !strings.Contains(logins, "mine") {
		t.Errorf("loaded: %s", logins)
	}
	h.endAgent()
	if left, _ := filepath.Glob(filepath.Join(h.runDir, "*.sock")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUpdateThatDoesNotRun: an agent that would end with a broken program goes on with the old one.
func TestUpdateThatDoesNotRun(t *testing.T) {
	h := newHouse(t)
	prog := h.path("prog")
	copyFile(t, h.bin, prog)
	old := h.bin
	h.bin = prog
	h.startAgent("--restart-on-update", "--log-stderr")
	h.bin = old
	broken := h.path("broken")
	h.write("broken", "#!/nonexistent\n")
	copyFile(t, broken, prog)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		b, _ := os.ReadFile(h.path("agent.log"))
		if strings.Contains(string(b), "the new program does not run") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nothing said:\n%s", b)
		}
	}
	if out, err := exec.Command(h.bin, "self", "version").Output(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if o := h.run("agent", "--status"); o.code != 0 {
		t.Errorf("the agent is gone: %+v", o)
	}
}
