//go:build unix

package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
)

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string, o ListenOptions) net.Listener {
	t.Helper()
	ln, err := Listen(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestListenAndDial(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ln := listen(t, path, ListenOptions{})
	accepted := make(chan Peer, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		p, _ := PeerOf(c)
		_, _ = c.Write([]byte("hi"))
		_ = c.Close()
		accepted <- p
	}()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 2)
	if _, err := c.Read(buf); err != nil || string(buf) != "hi" {
		t.Errorf("read %q, %v", buf, err)
	}
	if p := <-accepted; p.UID != uint32(os.Getuid()) || !Own(p) {
		t.Errorf("server sees %+v", p)
	}
	if p, err := PeerOf(c); err != nil || p.UID != uint32(os.Getuid()) {
		t.Errorf("client sees %+v, %v", p, err)
	}
}

func TestListenMode(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		for want, o := range map[fs.FileMode]ListenOptions{0o600: {}, 0o660: {Mode: 0o660}} {
			old := syscall.Umask(umask)
			path := filepath.Join(shortDirUmask(t, old, umask), "s")
			ln, err := Listen(path, o)
			now := syscall.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			if now != umask {
				t.Errorf("the umask was %04o and is %04o", umask, now)
			}
			fi, err := os.Lstat(path)
			if err != nil || fi.Mode().Perm() != want {
				t.Errorf("umask %04o: mode %v, %v, want %v", umask, fi.Mode(), err, want)
			}
			_ = ln.Close()
		}
	}
}

// shortDirUmask makes the directory under the usual umask.
func shortDirUmask(t *testing.T, usual, strange int) string {
	t.Helper()
	syscall.Umask(usual)
	defer syscall.Umask(strange)
	return shortDir(t)
}

func TestListenReplacesOnlyTheDead(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	ln := listen(t, path, ListenOptions{})
	var used *InUseError
	if _, err := Listen(path, ListenOptions{}); !errors.As(err, &used) || used.Path != path {
		t.Fatalf("a living socket: %v", err)
	} else if used.PID != int32(os.Getpid()) {
		t.Errorf("it is said to be of process %d", used.PID)
	}
	// What a killed process leaves: the file without a listener.
	_ = ln.(*listener).UnixListener.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNobody) {
		t.Errorf("dial a dead socket: %v", err)
	}
	// The file system may use the inode again at once; then only the time tells the two files apart.
	time.Sleep(20 * time.Millisecond)
	second := listen(t, path, ListenOptions{})
	// The first one's Close must not take the file of its successor away.
	_ = ln.Close()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = second.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("something stays behind: %v", left)
	}
}

func TestListenKeepsOtherFiles(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ListenOptions{}); !errors.Is(err, ErrNotSocket) {
		t.Errorf("error is %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file holds %q", b)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotSocket) {
		t.Errorf("dial: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(link, ListenOptions{}); !errors.Is(err, ErrNotSocket) {
		t.Errorf("a link: %v", err)
	}
}

func TestListenOnce(t *testing.T) {
	// Many start at once over a dead socket: one wins, the others are told who.
	path := filepath.Join(shortDir(t), "s")
	dead := listen(t, path, ListenOptions{})
	_ = dead.(*listener).UnixListener.Close()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		won []net.Listener
	)
	for range 8 {
		wg.Go(func() {
			ln, err := Listen(path, ListenOptions{})
			var used *InUseError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, ln)
			case !errors.As(err, &used):
				t.Errorf("error is %v", err)
			}
		})
	}
	wg.Wait()
	for _, ln := range won {
		_ = ln.Close()
	}
	if len(won) != 1 {
		t.Errorf("%d listen", len(won))
	}
}

func TestUnsafeDirectories(t *testing.T) {
	for mode, safe := range map[fs.FileMode]bool{
		0o700:                 true,
		0o755:                 true,
		0o777 | fs.ModeSticky: true,
		0o777:                 false,
		0o770:                 false,
		0o770 | fs.ModeSticky: true,
		0o722:                 false,
	} {
		dir := shortDir(t)
		path := filepath.Join(dir, "s")
		ln := listen(t, path, ListenOptions{})
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		c, err := dialBoth(t.Context(), path)
		if err == nil {
			_ = c.Close()
		}
		if safe != (err == nil) || !safe && !errors.Is(err, ErrForeign) {
			t.Errorf("dial, mode %v: %v", mode, err)
		}
		_ = ln.Close()
		if ln, err = Listen(path, ListenOptions{}); err == nil {
			_ = ln.Close()
		}
		if safe != (err == nil) || !safe && !errors.Is(err, ErrForeign) {
			t.Errorf("listen, mode %v: %v", mode, err)
		}
	}
}

func TestPathTooLong(t *testing.T) {
	path := "/" + strings.Repeat("x", 107)
	if _, err := dialBoth(t.Context(), path); !errors.Is(err, ErrPathTooLong) {
		t.Errorf("dial: %v", err)
	}
	if _, err := Listen(path, ListenOptions{}); !errors.Is(err, ErrPathTooLong) {
		t.Errorf("listen: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	dir := shortDir(t)
	for _, path := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "no", "dir")} {
		if _, err := dialBoth(t.Context(), path); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDialAtAFullQueue(t *testing.T) {
	// A server that does not accept: connect waits for it, but not longer than it may.
	path := filepath.Join(shortDir(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd) //nolint:errcheck // the test is over
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	refused := 0
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		c, err := Dial(ctx, path)
		if err == nil {
			defer c.Close()
		} else {
			refused++
		}
		cancel()
	}
	if took := time.Since(begin); refused == 0 || took > 3*time.Second {
		t.Errorf("%d were given up, in %v", refused, took)
	}
	// One that waits gets in when there is room.
	go func() {
		time.Sleep(20 * time.Millisecond)
		_, _, _ = syscall.Accept(fd)
	}()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestRuntimeDir(t *testing.T) {
	base := shortDir(t)
	getenv := func(k string) string { return map[string]string{"XDG_RUNTIME_DIR": base}[k] }
	dir, err := RuntimeDir(getenv)
	if err != nil || dir != filepath.Join(base, "oidcbox") {
		t.Fatalf("%s, %v", dir, err)
	}
	if again, err := RuntimeDir(getenv); err != nil || again != dir {
		t.Errorf("again: %s, %v", again, err)
	}
	if fi, _ := os.Stat(dir); fi.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v", fi.Mode())
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := RuntimeDir(getenv); !errors.Is(err, ErrForeign) {
		t.Errorf("open to the group: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shortDir(t), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := RuntimeDir(getenv); !errors.Is(err, ErrForeign) {
		t.Errorf("a link: %v", err)
	}
	none := func(string) string { return "" }
	if got := RuntimePath(none); got != "/tmp/oidcbox-"+strconv.Itoa(os.Getuid()) {
		t.Errorf("without XDG_RUNTIME_DIR: %s", got)
	}
	relative := func(string) string { return "run" }
	if got := RuntimePath(relative); got != "/tmp/oidcbox-"+strconv.Itoa(os.Getuid()) {
		t.Errorf("relative XDG_RUNTIME_DIR: %s", got)
	}
}

func TestForeignOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const stranger = 12345
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	listen(t, path, ListenOptions{})
	chown := func(path string, uid int) {
		t.Helper()
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	chown(path, stranger)
	if _, err := dialBoth(t.Context(), path); !errors.Is(err, ErrForeign) {
		t.Errorf("socket of a stranger: %v", err)
	}
	chown(path, 0)
	chown(dir, stranger)
	if _, err := dialBoth(t.Context(), path); !errors.Is(err, ErrForeign) {
		t.Errorf("directory of a stranger: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "t"), ListenOptions{}); !errors.Is(err, ErrForeign) {
		t.Errorf("listen there: %v", err)
	}
	if _, err := RuntimeDir(func(string) string { return filepath.Dir(dir) }); err != nil && !errors.Is(err, ErrForeign) {
		t.Errorf("runtime directory: %v", err)
	}
}

func TestForeignListener(t *testing.T) {
	// The file is ours by now, but the process behind it is not: only the kernel knows.
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as somebody else")
	}
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	const stranger = 12345
	if err := os.Chown(dir, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copyTo := filepath.Join(dir, "exe")
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copyTo, b, 0o755); err != nil { //nolint:gosec // the stranger has to run it
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copyTo, "-test.run", "^TestServeAsStranger$")
	cmd.Env = append(os.Environ(), "SOCK_TEST_SERVE="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it is killed
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(path, 0, 0), os.Chown(dir, 0, 0)); err != nil {
		t.Fatal(err)
	}
	_, err = dialBoth(t.Context(), path)
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "served by uid 12345") {
		t.Errorf("error is %v", err)
	}
}

// TestServeAsStranger is the other process of TestForeignListener.
func TestServeAsStranger(t *testing.T) {
	if os.Getenv("SOCK_TEST_SERVE") == "" {
		t.Skip("part of TestForeignListener")
	}
	serveForParent()
}

func serveForParent() {
	ln, err := net.Listen("unix", os.Getenv("SOCK_TEST_SERVE"))
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	for {
		if _, err := ln.Accept(); err != nil {
			return
		}
	}
}

func TestAdmit(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ln := listen(t, path, ListenOptions{})
	if _, err := Dial(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Admit(c, nil); err != nil {
		t.Errorf("ourselves: %v", err)
	}
	if p, err := Admit(c, func(Peer) bool { return false }); !errors.Is(err, ErrForeign) || p.UID != uint32(os.Getuid()) {
		t.Errorf("refused: %+v, %v", p, err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	out, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := Admit(out, func(Peer) bool { return true }); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without credentials: %v", err)
	}
}

func TestActivation(t *testing.T) {
	env := map[string]string{}
	getenv := func(k string) string { return env[k] }
	if got, err := Activation(getenv, 7); err != nil || got != nil {
		t.Errorf("without variables: %v, %v", got, err)
	}
	env["LISTEN_PID"], env["LISTEN_FDS"] = "8", "1"
	if got, err := Activation(getenv, 7); err != nil || got != nil {
		t.Errorf("meant for somebody else: %v, %v", got, err)
	}
	env["LISTEN_PID"] = "7"
	for _, n := range []string{"-1", "x", "65", ""} {
		env["LISTEN_FDS"] = n
		if _, err := Activation(getenv, 7); err == nil {
			t.Errorf("LISTEN_FDS=%q is taken", n)
		}
	}
}

// TestActivated is run by TestActivationOfAChild in a process that got two sockets.
func TestActivated(t *testing.T) {
	if os.Getenv("SOCK_TEST_ACTIVATED") == "" {
		t.Skip("part of TestActivationOfAChild")
	}
	getenv := func(k string) string {
		if k == "LISTEN_PID" {
			return strconv.Itoa(os.Getpid())
		}
		return os.Getenv(k)
	}
	got, err := Activation(getenv, os.Getpid())
	if err != nil || len(got) != 2 || got[0].Name != "agent" || got[1].Name != "unknown" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, a := range got {
		c, err := a.Listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(a.Name))
		_ = c.Close()
	}
}

func TestActivationOfAChild(t *testing.T) {
	dir := shortDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestActivated$", "-test.v")
	cmd.Env = append(os.Environ(), "SOCK_TEST_ACTIVATED=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=agent")
	for _, name := range []string{"a", "b"} {
		ln := listen(t, filepath.Join(dir, name), ListenOptions{})
		f, err := ln.(*listener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		want := map[string]string{"a": "agent", "b": "unknown"}[name]
		c, err := Dial(t.Context(), filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 16)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("socket %s: %q, %v", name, buf[:n], err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// dialBoth is Dial, and sees to it that DialPatient says the same.
func dialBoth(ctx context.Context, path string) (net.Conn, error) {
	c, err := Dial(ctx, path)
	patient, other := DialPatient(ctx, path)
	if other == nil {
		_ = patient.Close()
	}
	for _, e := range []error{ErrForeign, ErrNobody, ErrNotSocket, ErrPathTooLong} {
		if errors.Is(err, e) != errors.Is(other, e) {
			return nil, fmt.Errorf("Dial says %v, DialPatient says %v", err, other)
		}
	}
	return c, err
}
