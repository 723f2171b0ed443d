//go:build unix

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// TestMain lets the test binary play the agent, under both of its names.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "oidc-agent", "agent":
		env := cli.OS()
		env.Command, env.Args, env.Upstream = name, os.Args[1:], name == "oidc-agent"
		os.Exit(cli.Main(env, cli.Grammar{Name: name, Argp: true, Version: "test"}, New(), env.Args))
	}
	os.Exit(m.Run())
}

// home is a directory with everything an agent finds its way by.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func newHome(t *testing.T) *home {
	t.Helper()
	// Not t.TempDir: the path of a socket is short.
	dir, err := os.MkdirTemp("", "ag")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &home{t: t, dir: dir}
	for _, d := range []string{"home", "run", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.write("pass", "correct horse\n")
	h.env = []string{
		"HOME=" + h.path("home"), "XDG_RUNTIME_DIR=" + h.path("run"), "TMPDIR=" + h.path("tmp"), "PATH=" + os.Getenv("PATH"),
	}
	return h
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) write(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) command(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0], cmd.Env, cmd.Dir = name, h.env, h.dir
	return cmd
}

type result struct {
	code        int
	out, errOut string
}

func (h *home) run(name string, args ...string) result {
	h.t.Helper()
	var out, errOut bytes.Buffer
	cmd := h.command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// started is what an agent printed.
type started struct {
	socket string
	pid    int
}

// start runs an agent that detaches, and ends it with the test.
func (h *home) start(name string, args ...string) started {
	h.t.Helper()
	r := h.run(name, args...)
	if r.code != 0 {
		h.t.Fatalf("%s %v exited with %d: %s%s", name, args, r.code, r.out, r.errOut)
	}
	m := regexp.MustCompile(`^OIDC_SOCK=(\S+); export OIDC_SOCK;\nOIDCD_PID=(\d+); export OIDCD_PID;\n`).FindStringSubmatch(r.out)
	if m == nil {
		h.t.Fatalf("printed %q", r.out)
	}
	pid, _ := strconv.Atoi(m[2])
	h.t.Cleanup(func() {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		for range 300 {
			if !alive(pid) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	})
	return started{socket: m[1], pid: pid}
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && os.IsPermission(err)
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

func check(t *testing.T, path string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	rep, err := proto.Client{Path: path}.Call(ctx, proto.Request{Type: proto.TypeCheck})
	if err != nil {
		return err
	}
	return rep.Err()
}

func TestUpstreamStart(t *testing.T) {
	h := newHome(t)
	a := h.start("oidc-agent")
	if !regexp.MustCompile(`/tmp/oidc-[a-z0-9]{6}/oidc-agent\.` + strconv.Itoa(os.Getpid()) + `$`).MatchString(a.socket) {
		t.Errorf("socket %s", a.socket)
	}
	// No waiting: when the lines are there the agent answers.
	if err := check(t, a.socket); err != nil {
		t.Errorf("at its own socket: %v", err)
	}
	if err := check(t, h.path("run/oidcbox/agent.sock")); err != nil {
		t.Errorf("at the well-known socket: %v", err)
	}
	for path, want := range map[string]os.FileMode{a.socket: 0o600, filepath.Dir(a.socket): 0o700} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, fi.Mode().Perm(), want, err)
		}
	}
	h.env = append(h.env, "OIDC_SOCK="+a.socket, fmt.Sprintf("OIDCD_PID=%d", a.pid))
	if r := h.run("oidc-agent", "--status"); r.code != 0 || !strings.Contains(r.out, "Daemon:\t\t\ttrue") {
		t.Errorf("status: %d %q", r.code, r.out)
	}
	if r := h.run("oidc-agent", "--status", "--json"); r.code != 0 || !json.Valid([]byte(r.out)) {
		t.Errorf("status as JSON: %d %q", r.code, r.out)
	}
	r := h.run("oidc-agent", "-k")
	if want := fmt.Sprintf("unset OIDC_SOCK;\nunset OIDCD_PID;\necho Agent pid %d killed;\n", a.pid); r.code != 0 || r.out != want {
		t.Errorf("kill: %d %q %q", r.code, r.out, r.errOut)
	}
	if _, err := os.Stat(filepath.Dir(a.socket)); !os.IsNotExist(err) {
		t.Errorf("the directory of the socket stayed behind: %v", err)
	}
	h.env = append(h.env, "OIDCD_PID=99999999") // there are not that many
	if r := h.run("oidc-agent", "-k"); r.code != 1 || r.errOut != "kill: No such process\n" {
		t.Errorf("kill without an agent: %d %q", r.code, r.errOut)
	}
}

func TestOwnStart(t *testing.T) {
	h := newHome(t)
	a := h.start("agent", "--quiet")
	if want := h.path("run/oidcbox/agent.sock"); a.socket != want {
		t.Errorf("socket %s, want %s", a.socket, want)
	}
	if r := h.run("agent"); r.code != cli.Temporary || !strings.Contains(r.errOut, "hint: ") {
		t.Errorf("a second agent at the same socket: %d %q", r.code, r.errOut)
	}
	if r := h.run("agent", "-k"); r.code != 0 {
		t.Errorf("kill by the control socket: %d %q", r.code, r.errOut)
	}
}

func TestJSON(t *testing.T) {
	h := newHome(t)
	r := h.run("oidc-agent", "--json", "--socket-path", h.path("tmp/x.sock"))
	var v struct{ Socket, Dpid string }
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.Socket != h.path("tmp/x.sock") || strings.HasSuffix(r.out, "\n") {
		t.Fatalf("%q: %v", r.out, err)
	}
	pid, err := strconv.Atoi(v.Dpid)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGTERM)
	if err := check(t, v.Socket); err != nil {
		t.Error(err)
	}
}

// TestDetached: who waits for the end of the output must not wait for the end of the agent.
func TestDetached(t *testing.T) {
	h := newHome(t)
	a := h.start("oidc-agent") // returns at the end of its output
	if os.Geteuid() != 0 {
		t.Skip("the descriptors of a process that cannot be traced are visible to root only")
	}
	for _, fd := range []string{"0", "1", "2"} {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", a.pid, fd))
		if err != nil || to != "/dev/null" {
			t.Errorf("descriptor %s is %s (%v)", fd, to, err)
		}
	}
	if to, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", a.pid)); err != nil || to != "/" {
		t.Errorf("working directory %s (%v)", to, err)
	}
}

func TestWithCommand(t *testing.T) {
	h := newHome(t)
	r := h.run("oidc-agent", "--", "sh", "-c", `echo "$OIDC_SOCK $OIDCD_PID"; exit 7`)
	if r.code != 7 {
		t.Fatalf("exit code %d, want the command's: %q", r.code, r.errOut)
	}
	sock, pidText, _ := strings.Cut(strings.TrimSpace(r.out), " ")
	pid, err := strconv.Atoi(pidText)
	if err != nil || sock == "" {
		t.Fatalf("the command saw %q", r.out)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the agent did not end with the command")
		}
	}
}

func TestUsage(t *testing.T) {
	h := newHome(t)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"--frobnicate"}, 64},
		{[]string{"--lifetime=-5"}, 64},
		{[]string{"-t", "soon"}, 64},
		{[]string{"--with-group=no-such-group"}, 1},
		{[]string{"--", "no-such-program"}, 1},
		{[]string{"--no-keystore", "--keystore", "x"}, 64},
	} {
		r := h.run("oidc-agent", c.args...)
		said := strings.HasPrefix(r.errOut, "Error: ") ||
			strings.HasPrefix(r.errOut, "oidc-agent: ") && strings.Contains(r.errOut, "\nTry `oidc-agent --help' or ")
		if r.code != c.code || r.out != "" || !said {
			t.Errorf("%v: exit code %d, %q %q", c.args, r.code, r.out, r.errOut)
		}
	}
	if left, _ := filepath.Glob(h.path("tmp/*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(h.path("run/oidcbox/agent.sock")); !os.IsNotExist(err) {
		t.Errorf("an agent was started: %v", err)
	}
}

func TestBadPassphraseStopsTheStart(t *testing.T) {
	h := newHome(t)
	ks := h.path("home/ks/keystore")
	a := h.start("agent", "--keystore", ks, "--passphrase-file", "pass") // relative to where it was called
	if fi, err := os.Stat(ks); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("the keystore: %v", err)
	}
	st, err := control.Client{Path: h.path("run/oidcbox/control.sock")}.Status(t.Context())
	if err != nil || st.Keystore != control.KeystoreOpen || st.PID != a.pid || st.KeystorePath != ks {
		t.Errorf("status %+v, %v", st, err)
	}
	h.run("agent", "-k")
	h.write("pass", "wrong\n")
	r := h.run("agent", "--keystore", ks, "--passphrase-file", h.path("pass"))
	if r.code != cli.Denied || r.out != "" || !strings.Contains(r.errOut, "wrong passphrase") {
		t.Errorf("%d %q %q", r.code, r.out, r.errOut)
	}
	if _, err := os.Stat(h.path("run/oidcbox/agent.sock")); !os.IsNotExist(err) {
		t.Errorf("a socket is there: %v", err)
	}
	r = h.run("agent", "--keystore", ks, "--passphrase-file", "nothing-here")
	if r.code == 0 || r.out != "" || !strings.Contains(r.errOut, "nothing-here") || strings.Contains(r.errOut, "no keystore") {
		t.Errorf("without the file: %d %q %q", r.code, r.out, r.errOut)
	}
}

func TestPassphraseCommand(t *testing.T) {
	h := newHome(t)
	ctl := control.Client{Path: h.path("run/oidcbox/control.sock")}
	for _, what := range []string{"made", "opened"} {
		a := h.start("agent", "--passphrase-cmd", "cat '"+h.path("pass")+"'")
		st, err := ctl.Status(t.Context())
		if err != nil || st.Keystore != control.KeystoreOpen {
			t.Errorf("the keystore was not %s: %+v, %v", what, st, err)
		}
		h.run("agent", "-k")
		for range 300 {
			if !alive(a.pid) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	h.env = append(h.env, "OIDCBOX_PASSPHRASE_FILE="+h.path("pass"))
	h.start("agent")
	if st, err := ctl.Status(t.Context()); err != nil || st.Keystore != control.KeystoreOpen {
		t.Errorf("by the environment: %+v, %v", st, err)
	}
}

func TestNoHome(t *testing.T) {
	h := newHome(t)
	h.env = []string{"XDG_RUNTIME_DIR=" + h.path("run"), "PATH=" + os.Getenv("PATH")}
	a := h.start("agent")
	if err := check(t, a.socket); err != nil {
		t.Error(err)
	}
	st, err := control.Client{Path: h.path("run/oidcbox/control.sock")}.Status(t.Context())
	if err != nil || st.Keystore != control.KeystoreAbsent || st.KeystorePath != "" {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestSecondAgent works for its own shell, without the keystore that the first one holds.
func TestSecondAgent(t *testing.T) {
	h := newHome(t)
	first := h.start("oidc-agent", "--passphrase-file", h.path("pass"))
	r := h.run("oidc-agent", "--passphrase-file", h.path("pass"), "--json")
	var v struct{ Socket, Dpid string }
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("%d %q %q", r.code, r.out, r.errOut)
	}
	pid, _ := strconv.Atoi(v.Dpid)
	defer syscall.Kill(pid, syscall.SIGTERM)
	if !strings.Contains(r.errOut, "in use by oidc-agent") {
		t.Errorf("no word about the keystore: %q", r.errOut)
	}
	if err := check(t, v.Socket); err != nil {
		t.Error(err)
	}
	st, err := control.Client{Path: h.path("run/oidcbox/control.sock")}.Status(t.Context())
	if err != nil || st.PID != first.pid {
		t.Errorf("the control socket answers for %d (%v), want the first agent %d", st.PID, err, first.pid)
	}
}

// TestEndsQuickly with clients that say nothing, or are in the middle of it.
func TestEndsQuickly(t *testing.T) {
	h := newHome(t)
	a := h.start("agent")
	for _, said := range []string{"", "x", `{"request":`} {
		c, err := net.Dial("unix", a.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte(said))
	}
	begin := time.Now()
	_ = syscall.Kill(a.pid, syscall.SIGTERM)
	for alive(a.pid) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("ended after %v", d)
	}
	if _, err := os.Stat(a.socket); !os.IsNotExist(err) {
		t.Errorf("the socket stayed behind: %v", err)
	}
}

// TestAfterKill: sockets of a dead agent are replaced.
func TestAfterKill(t *testing.T) {
	h := newHome(t)
	a := h.start("agent", "--passphrase-file", h.path("pass"))
	_ = syscall.Kill(a.pid, syscall.SIGKILL)
	for alive(a.pid) {
		time.Sleep(5 * time.Millisecond)
	}
	b := h.start("agent", "--passphrase-file", h.path("pass"))
	if err := check(t, b.socket); err != nil || b.socket != a.socket {
		t.Errorf("at %s: %v", b.socket, err)
	}
}

// TestNoLockedMemory: one warning, and the agent works.
func TestNoLockedMemory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may lock memory whatever the limit")
	}
	h := newHome(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := h.path("oidc-agent")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "ulimit -l 0 && exec "+link+" --json --socket-path "+h.path("tmp/s"))
	var out, errOut bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = h.env, &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	var v struct{ Dpid string }
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(v.Dpid)
	defer syscall.Kill(pid, syscall.SIGTERM)
	if strings.Count(errOut.String(), "memory cannot be locked") != 1 {
		t.Errorf("warned %q", errOut.String())
	}
	if err := check(t, h.path("tmp/s")); err != nil {
		t.Error(err)
	}
}

// TestSocketActivation: systemd has made the socket and hands it over.
func TestSocketActivation(t *testing.T) {
	h := newHome(t)
	path := h.path("run/activated.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, h.path("agent")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec "+h.path("agent")+" --console")
	cmd.Env, cmd.ExtraFiles = h.env, []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if err := check(t, path); err != nil { // waits in the socket's queue until the agent is there
		t.Error(err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket is systemd's to remove: %v", err)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/tmp/oidc-x/oidc-agent.1": "/tmp/oidc-x/oidc-agent.1",
		"/tmp/a b":                 "'/tmp/a b'",
		"/tmp/$(reboot)":           "'/tmp/$(reboot)'",
		"/tmp/it's":                `'/tmp/it'\''s'`,
		"":                         "''",
	} {
		if got := cli.ShellQuote(in); got != want {
			t.Errorf("cli.ShellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestChildArgs(t *testing.T) {
	c := &Cmd{Command: []string{"--", "sh", "-c", "x"}}
	env := &cli.Env{Args: []string{"-t", "60", "--", "sh", "-c", "x"}}
	got := strings.Join(withoutInternal(c.childArgs(env)), " ")
	if got != "-t 60" {
		t.Errorf("the child gets %q, want the options without the command", got)
	}
}
