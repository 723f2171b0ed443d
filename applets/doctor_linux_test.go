package applets

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diagnosis is what "self doctor --json" prints.
type diagnosis struct {
	Faults   int `json:"faults"`
	Findings []struct {
		ID, Severity, About, Text, Next string
	} `json:"findings"`
}

// doctor runs the doctor of a house, with a command in front of it where there is one.
func (h *house) doctor(front ...string) diagnosis {
	h.tb.Helper()
	args := append(front, h.bin, "self", "doctor", "--json")
	o := h.exec(args[0], args[1:]...)
	var d diagnosis
	if err := json.Unmarshal([]byte(o.out), &d); err != nil || (o.code == 1) != (d.Faults > 0) || o.code > 1 {
		h.tb.Fatalf("%v: %v %d\n%s%s", args, err, o.code, o.out, o.errOut)
	}
	for _, f := range d.Findings {
		if f.Next == "" && (f.Severity == "warning" || f.Severity == "fault") {
			h.tb.Errorf("%s does not say what to do", f.ID)
		}
	}
	return d
}

func (d diagnosis) has(severity, id, about string) bool {
	for _, f := range d.Findings {
		if f.Severity == severity && f.ID == id && strings.Contains(f.About, about) {
			return true
		}
	}
	return false
}

// TestDoctorStaleFile: the provider has replaced the refresh token, and the password of the account file is not at hand.
func TestDoctorStaleFile(t *testing.T) {
	h := newHouse(t)
	h.startAgent()
	h.gen("mine")
	exported := h.must("self", "keystore", "export", "mine", "--dir", h.path("home/.config/oidc-agent"),
		"--pw-file", h.path("passphrase"))
	h.must("add", "--remove", "mine")
	h.endAgent()
	if err := os.Remove(h.path("home/.local/state/oidcbox/keystore")); err != nil {
		t.Fatal(err, exported)
	}
	h.startLockedAgent("--no-keystore")
	h.write("once", "correct horse battery staple\n")
	h.must("add", "--pw-file", h.path("once"), "mine")
	if err := os.Remove(h.path("once")); err != nil {
		t.Fatal(err)
	}
	h.must("token", "--force-new", "mine")
	if d := h.doctor(); !d.has("warning", "login.stale-file", "mine") {
		t.Errorf("%+v", d)
	}
	// What it says to do helps.
	h.must("add", "--pw-file", h.path("passphrase"), "--pw-store", "mine")
	for end := time.Now().Add(30 * time.Second); h.doctor().has("warning", "login.stale-file", "mine"); {
		if time.Now().After(end) {
			t.Fatal("the file stays behind")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestDoctorLimits: what the shell allows is what an agent started from it would have.
func TestDoctorLimits(t *testing.T) {
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("prlimit is not installed")
	}
	h := bareHouse(t)
	d := h.doctor(prlimit, "--nofile=100:100", "--memlock=0:0")
	if !d.has("warning", "limits.files", "") || !d.has("warning", "limits.memlock", "") {
		t.Errorf("%+v", d)
	}
	if d := h.doctor(); d.has("warning", "limits.files", "") {
		t.Errorf("%+v", d)
	}
}

// TestDoctorSlots: with two ways to unlock nothing is said about one.
func TestDoctorSlots(t *testing.T) {
	h := bareHouse(t)
	h.startAgent()
	if d := h.doctor(); !d.has("note", "keystore.slots", "keystore") || !d.has("ok", "keystore.holder", "") {
		t.Errorf("%+v", d)
	}
	h.write("key", strings.Repeat("k", 64))
	h.must("self", "keystore", "slot", "add", "keyfile", h.path("key"))
	if d := h.doctor(); !d.has("ok", "keystore.slots", "keystore") {
		t.Errorf("%+v", d)
	}
	h.endAgent()
	if d := h.doctor(); !d.has("ok", "keystore.slots", "keystore") || !d.has("note", "agent.none", "") {
		t.Errorf("%+v", d)
	}
	// An agent that this shell does not find has the file.
	h.startAgent()
	there := h.runDir
	h.runDir = h.path("elsewhere")
	if err := os.Mkdir(h.runDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if d := h.doctor(); !d.has("note", "keystore.holder", "keystore") || !d.has("fault", "agent.dangling", h.socket()) {
		t.Errorf("%+v", d)
	}
	h.runDir = there
	h.endAgent()
	if err := os.Chmod(h.path("home/.local/state/oidcbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	if d := h.doctor(); !d.has("fault", "keystore.unsafe", "keystore") {
		t.Errorf("%+v", d)
	}
}

// TestDoctorForwarded: behind the socket is a process of the name that sshd has.
func TestDoctorForwarded(t *testing.T) {
	h := bareHouse(t)
	b, err := os.ReadFile(h.bin)
	if err != nil {
		t.Fatal(err)
	}
	own := h.bin
	h.bin = h.path("sshd")
	if err := os.WriteFile(h.bin, b, 0o700); err != nil {
		t.Fatal(err)
	}
	h.startLockedAgent("--no-keystore")
	h.bin = own
	if d := h.doctor(); !d.has("note", "agent.forwarded", h.socket()) {
		t.Errorf("%+v", d)
	}
}

// TestDoctorProgress: on a terminal a person sees how far it has come; the report itself is on standard output.
func TestDoctorProgress(t *testing.T) {
	h := newHouse(t)
	h.startAgent()
	h.gen("mine")
	term := newTerminal(t)
	cmd := h.command("self", "doctor")
	cmd.Stdin, cmd.Stderr = term.tty, term.tty
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "nothing is wrong") || strings.Contains(string(out), "asked") {
		t.Fatalf("%v\n%s", err, out)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(term.text(), "asked 1 of 1 provider"); {
		if time.Now().After(end) {
			t.Fatalf("the terminal shows %q", term.text())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestDoctorGroup: who may use a socket is said.
func TestDoctorGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a socket to any group")
	}
	h := bareHouse(t)
	h.startLockedAgent("--no-keystore", "--with-group=root")
	for _, f := range h.doctor().Findings {
		if f.ID == "agent.socket" && f.About == h.socket() && strings.Contains(f.Text, "you and the group root may use it") {
			return
		}
	}
	t.Error("the group is not named")
}

// TestDoctorAsNobody: a person without privileges, whose limit leaves no memory to lock. The tests may run as root, whom
// no limit holds.
func TestDoctorAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	const nobody = 65534
	bin, err := oneBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "doctor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own := filepath.Join(dir, "box") // its name is that of the sockets' directory
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{own: b, filepath.Join(dir, "pass"): []byte("correct horse battery\n")} {
		if err := os.WriteFile(path, content, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(dir, "pass"), 0o600), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	const script = `ulimit -l 0
./box agent --console --passphrase-file pass --pid-file pid 2>log &
agent=$!
while ! ./box agent --status >/dev/null 2>&1 && kill -0 $agent; do sleep 0.05; done
./box self doctor
kill $agent
wait $agent || { cat log; exit 1; }`
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"warning  the agent could not lock memory", "ok       the agent leaves no core file",
		"warning  the limit of locked memory is 0 KiB", "nothing is broken; 2 warnings",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
