package services

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a machine of the test's own as far as accounts, PAM and sockets are concerned: /etc, /home, /root, /run, /srv,
// /var/lib/oidcbox, /var/log and /var/mail are throw-away copies or empty directories in a mount namespace, and /dev has
// a log of its own. Everything else, processes, network and /tmp included, is the real machine's.
//
// Numbers of accounts come from a range that no other Host uses meanwhile, so that ending the processes of a user ends
// nobody else's.
type Host struct {
	// FirstUID and LastUID bound the uids and gids that useradd and groupadd choose, and that a test may choose.
	FirstUID, LastUID int

	tb     testing.TB
	dir    string
	holder *exec.Cmd // stands in the namespace until its standard input ends
	syslog *syslogSink
}

const (
	uidRange  = 500
	firstUIDs = 20000
	uidSlots  = 75
	lastStop  = 30 * time.Second // for processes of the host to be gone after SIGKILL, and for a line of its log
)

// NewHost makes a host, which is there until the test ends with all processes that still run in it. It needs root.
func NewHost(tb testing.TB) *Host {
	tb.Helper()
	Need(tb, "nsenter", "mount", "useradd", "chpasswd")
	NeedRoot(tb)
	dir, err := os.MkdirTemp("", "host") // above tb.TempDir there is a directory that only root enters
	h := &Host{tb: tb, dir: dir}
	h.check(err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	h.check(os.Chmod(dir, 0o755))
	h.check(h.fill())
	h.takeUIDs()
	h.hurryPAM()
	h.hold()
	h.check(h.mount())
	h.syslog, err = newSyslog(h.File("/dev/log"))
	h.check(err)
	tb.Cleanup(h.syslog.close)
	tb.Cleanup(h.killAll)
	return h
}

// hostDirs are the host's own directories and their modes. What begins with "=" is a copy.
func hostDirs() map[string]os.FileMode {
	return map[string]os.FileMode{
		"=/etc": 0o755, "/home": 0o755, "/root": 0o700, "/run": 0o755, "/srv": 0o755, "/var/lib/oidcbox": 0o755,
		"/var/log": 0o755, "/var/mail": 0o755, "/dev": 0o755,
	}
}

// devices are what programs of a host need in /dev. Directories are taken with what is in them.
func devices() []string {
	return []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/", "shm/"}
}

func (h *Host) fill() error {
	for name, mode := range hostDirs() {
		from, isCopy := strings.CutPrefix(name, "=")
		to := filepath.Join(h.dir, from)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(to, mode); err != nil {
			return err
		}
		if isCopy {
			if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
				return fmt.Errorf("copy %s: %w: %s", from, err, out)
			}
		}
	}
	for _, d := range []string{"sshd", "oidcbox", "lock"} {
		if err := os.Mkdir(filepath.Join(h.dir, "run", d), 0o755); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(h.dir, "dev", name)); err != nil {
			return err
		}
	}
	return nil
}

// takeUIDs finds a range of numbers and makes shadow-utils use it.
func (h *Host) takeUIDs() {
	h.tb.Helper()
	const locks = "/tmp/oidcbox-test-uids"
	h.check(os.MkdirAll(locks, 0o755))
	for slot := range uidSlots {
		f, err := os.OpenFile(filepath.Join(locks, strconv.Itoa(slot)), os.O_CREATE|os.O_RDWR, 0o600)
		h.check(err)
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			f.Close()
			continue
		}
		h.tb.Cleanup(func() { f.Close() })
		h.FirstUID = firstUIDs + slot*uidRange
		h.LastUID = h.FirstUID + uidRange - 1
		break
	}
	if h.FirstUID == 0 {
		h.tb.Fatal("all ranges of uids are taken by other tests")
	}
	path := h.File("/etc/login.defs")
	b, err := os.ReadFile(path)
	h.check(err)
	var lines []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 0 || !strings.HasSuffix(f[0], "ID_MIN") && !strings.HasSuffix(f[0], "ID_MAX") ||
			strings.HasPrefix(f[0], "SUB_") {
			lines = append(lines, line)
		}
	}
	for _, kind := range []string{"UID", "GID"} {
		lines = append(lines, fmt.Sprintf("%s_MIN %d\n%s_MAX %d\nSYS_%s_MIN 100\nSYS_%s_MAX 999\n",
			kind, h.FirstUID, kind, h.LastUID, kind, kind))
	}
	h.check(os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644))
}

// hurryPAM takes the two seconds out of Debian's stack that pam_unix waits after a wrong password.
func (h *Host) hurryPAM() {
	h.tb.Helper()
	const common = "/etc/pam.d/common-auth"
	b, err := os.ReadFile(h.File(common))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	h.check(err)
	h.Write(common, strings.ReplaceAll(string(b), "pam_unix.so nullok", "pam_unix.so nullok nodelay"), 0o644)
}

// hold starts the process that keeps the namespace.
func (h *Host) hold() {
	h.tb.Helper()
	h.holder = exec.Command("cat")
	h.holder.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	in, err := h.holder.StdinPipe()
	h.check(err)
	h.check(h.holder.Start())
	h.tb.Cleanup(func() {
		in.Close()
		_ = h.holder.Wait()
	})
}

func (h *Host) mount() error {
	for _, d := range devices() {
		name, isDir := strings.CutSuffix(d, "/")
		to := filepath.Join(h.dir, "dev", name)
		if isDir {
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
		} else if err := os.WriteFile(to, nil, 0o666); err != nil {
			return err
		}
		if err := h.bind("/dev/"+name, to); err != nil {
			return err
		}
	}
	for name := range hostDirs() {
		name = strings.TrimPrefix(name, "=")
		if name == "/var/lib/oidcbox" { // made outside of the host, too: it stays, empty
			if err := os.MkdirAll(name, 0o755); err != nil {
				return err
			}
		}
		if err := h.bind(filepath.Join(h.dir, name), name); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) bind(from, to string) error {
	if out, err := h.Command("mount", "--rbind", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("mount %s on %s: %w: %s", from, to, err, out)
	}
	return nil
}

// Command is a command that runs in the host, as root, in directory "/". Its process is the program itself: signals and
// exit codes are the program's.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	enter := []string{"--mount=/proc/" + strconv.Itoa(h.holder.Process.Pid) + "/ns/mnt", "--", name}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
	}
	return cmd
}

// Run runs a command in the host and returns what it prints on both streams. A failure fails the test.
func (h *Host) Run(name string, args ...string) string {
	h.tb.Helper()
	out, err := h.Command(name, args...).CombinedOutput()
	if err != nil {
		h.tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Background starts a command of the host that stays until the test ends. What it prints goes to the file name.log of
// the host's Root, which a failed test shows.
func (h *Host) Background(name string, cmd *exec.Cmd) {
	h.tb.Helper()
	path := filepath.Join(h.dir, name+".log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	h.check(err)
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	h.check(cmd.Start())
	h.tb.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if h.tb.Failed() {
			b, _ := os.ReadFile(path)
			h.tb.Logf("%s said:\n%s", name, b[max(0, len(b)-6000):])
		}
	})
}

// Root is the directory on the real machine that holds the host's own directories.
func (h *Host) Root() string { return h.dir }

// File is where a file of the host lies on the real machine.
func (h *Host) File(path string) string {
	for name := range hostDirs() {
		name = strings.TrimPrefix(name, "=")
		if path == name || strings.HasPrefix(path, name+"/") {
			return filepath.Join(h.dir, path)
		}
	}
	return path
}

// Write makes a file of the host, and directories above it, owned by root.
func (h *Host) Write(path, content string, mode os.FileMode) {
	h.tb.Helper()
	to := h.File(path)
	if to == path {
		h.tb.Fatalf("%s is the real machine's", path)
	}
	h.check(os.MkdirAll(filepath.Dir(to), 0o755))
	h.check(os.WriteFile(to, []byte(content), mode))
	h.check(os.Chmod(to, mode))
}

// Read returns a file of the host, "" when it is not there.
func (h *Host) Read(path string) string {
	b, _ := os.ReadFile(h.File(path))
	return string(b)
}

// AddUser makes a local user with a home directory and a password; "" is none. args are more options of useradd. It
// returns the uid.
func (h *Host) AddUser(name, password string, args ...string) int {
	h.tb.Helper()
	h.Run("useradd", append(append([]string{"-m", "-s", "/bin/sh"}, args...), name)...)
	if password != "" {
		cmd := h.Command("chpasswd")
		cmd.Stdin = strings.NewReader(name + ":" + password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			h.tb.Fatalf("chpasswd: %v\n%s", err, out)
		}
	}
	return h.UID(name)
}

// UID is the uid of a user as the host sees it, -1 for none.
func (h *Host) UID(name string) int {
	out, err := h.Command("id", "-u", "--", name).Output()
	if err != nil {
		return -1
	}
	uid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	h.check(err)
	return uid
}

// Log is what programs of the host have said to syslog: one message a line, its priority in front.
func (h *Host) Log() string { return h.syslog.String() }

// AwaitLog waits until the log after the first from bytes of it has text in it, and returns that part.
func (h *Host) AwaitLog(from int, text string) string {
	h.tb.Helper()
	for deadline := time.Now().Add(lastStop); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if log := h.Log()[from:]; strings.Contains(log, text) {
			return log
		}
	}
	h.tb.Fatalf("the log does not say %q but:\n%s", text, h.Log()[from:])
	return ""
}

// killAll ends what is still running in the namespace, so that nothing of the test outlives it.
func (h *Host) killAll() {
	own := "/proc/" + strconv.Itoa(h.holder.Process.Pid)
	ns, err := os.Readlink(own + "/ns/mnt")
	if err != nil {
		return
	}
	for deadline := time.Now().Add(lastStop); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		procs, _ := filepath.Glob("/proc/[0-9]*")
		found := false
		for _, p := range procs {
			if other, err := os.Readlink(p + "/ns/mnt"); err != nil || other != ns || p == own {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(p))
			found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
		}
		if !found {
			return
		}
	}
	h.tb.Errorf("processes of the host do not end")
}

func (h *Host) check(err error) {
	h.tb.Helper()
	if err != nil {
		h.tb.Fatal(err)
	}
}

// syslogSink is the other end of /dev/log.
type syslogSink struct {
	conn *net.UnixConn
	done chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func newSyslog(path string) (*syslogSink, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	s := &syslogSink{conn: conn, done: make(chan struct{})}
	go s.read()
	return s, os.Chmod(path, 0o666)
}

func (s *syslogSink) read() {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	for {
		n, _, err := s.conn.ReadFromUnix(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.text.WriteString(strings.TrimRight(string(buf[:n]), "\n\x00") + "\n")
		s.mu.Unlock()
	}
}

func (s *syslogSink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *syslogSink) close() {
	s.conn.Close()
	<-s.done
}
