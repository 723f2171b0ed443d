package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// node is a login node of the walk's own: a mount and a process namespace in which /etc, /home, /root, /run, /srv,
// /var/log and /var/mail are throw-away and /dev has a log of its own. Accounts are made there, daemons and sshd run there,
// and nothing of it is on this machine's disk. Its first process is a program that waits; when that ends the kernel ends
// all others and takes the directories away.
type node struct {
	init *exec.Cmd
	wait io.Closer // closing it ends the first process
	log  nodeLog
}

// nodePrograms are what a login node takes beside root.
func nodePrograms() []string {
	return []string{
		"cat", "nsenter", "mount", "setpriv", "install", "useradd", "groupadd", "usermod", "userdel", "chage", "getent", "sshd",
		"ssh", "ssh-keygen",
	}
}

const nodeWait = 20 * time.Second // for one of the commands that prepare it

// openNode makes one, or says why there is none.
func openNode(ctx context.Context) (*node, string) {
	if os.Geteuid() != 0 {
		return nil, "a login node of its own takes root"
	}
	for _, p := range nodePrograms() {
		if _, err := exec.LookPath(p); err != nil {
			if _, err := os.Stat("/usr/sbin/" + p); err != nil {
				return nil, "a login node of its own takes the program " + p
			}
		}
	}
	if !hasPAMExec() {
		return nil, "a login node of its own takes PAM with pam_exec.so"
	}
	n := &node{init: exec.Command("cat")}
	n.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Setpgid: true,
	}
	in, err := n.init.StdinPipe()
	if err == nil {
		n.wait, err = in, n.init.Start()
	}
	if err != nil {
		return nil, "namespaces are not allowed here: " + err.Error()
	}
	if err := n.prepare(ctx); err != nil {
		n.close()
		return nil, "a login node of its own is not allowed here: " + oneLine(err.Error())
	}
	return n, ""
}

func hasPAMExec() bool {
	for _, pattern := range []string{
		"/lib/*/security/pam_exec.so", "/usr/lib/*/security/pam_exec.so", "/lib/security/pam_exec.so",
		"/usr/lib64/security/pam_exec.so", "/lib64/security/pam_exec.so",
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

// root is where the directories of the node are seen from outside.
func (n *node) root(path string) string {
	return filepath.Join("/proc", strconv.Itoa(n.init.Process.Pid), "root", path)
}

// command is a command line that runs in the node as root.
func (n *node) command(ctx context.Context, line ...string) *exec.Cmd {
	enter := []string{"--mount", "--pid", "--target", strconv.Itoa(n.init.Process.Pid), "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, line...)...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TMPDIR=/run",
	}
	return cmd
}

// do runs a command line to its end.
func (n *node) do(ctx context.Context, line ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	out, err := n.command(ctx, line...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// devices are what programs need in /dev.
func devices() []string { return []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx"} }

// prepare puts throw-away directories over those of this machine, inside the node.
func (n *node) prepare(ctx context.Context) error {
	const base = "/tmp" // what is mounted there is not seen outside, and this machine's /tmp is not needed inside
	lines := [][]string{
		{"mount", "--make-rprivate", "/"},
		{"mount", "-t", "proc", "proc", "/proc"},
		{"mount", "-t", "tmpfs", "-o", "mode=0755,size=512m", "oidcbox-demo", base},
		{"mkdir", base + "/etc", base + "/home", base + "/root", base + "/run", base + "/srv", base + "/log", base + "/mail"},
		{"mkdir", base + "/dev"},
		{"mkdir", base + "/dev/pts", base + "/dev/shm", base + "/run/sshd", base + "/run/lock"},
		{"cp", "-a", "/etc/.", base + "/etc"},
		{"chmod", "0700", base + "/root"},
		{"ln", "-s", "/proc/self/fd", base + "/dev/fd"},
	}
	for _, d := range devices() {
		to := base + "/dev/" + d
		lines = append(lines, []string{"touch", to}, []string{"mount", "--bind", "/dev/" + d, to})
	}
	lines = append(lines, []string{"mount", "--bind", "/dev/pts", base + "/dev/pts"})
	for from, to := range map[string]string{
		"etc": "/etc", "home": "/home", "root": "/root", "run": "/run", "srv": "/srv", "log": "/var/log", "mail": "/var/mail",
		"dev": "/dev",
	} {
		lines = append(lines, []string{"mount", "--rbind", base + "/" + from, to})
	}
	for _, line := range lines {
		if _, err := n.do(ctx, line...); err != nil {
			return err
		}
	}
	return n.log.listen(n.root("/dev/log"))
}

// write makes a file of the node.
func (n *node) write(path, text string, mode os.FileMode) error {
	to := n.root(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

// close ends the node and all that runs in it.
func (n *node) close() {
	_ = n.wait.Close()
	end := time.AfterFunc(3*time.Second, func() { _ = n.init.Process.Kill() })
	_ = n.init.Wait()
	end.Stop()
	n.log.close()
}

// nodeLog is the system log of a node.
type nodeLog struct {
	conn net.PacketConn
	done chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

const maxNodeLog = 1 << 20

func (l *nodeLog) listen(path string) error {
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		return err
	}
	l.conn, l.done = conn, make(chan struct{})
	go func() {
		defer close(l.done)
		b := make([]byte, 8<<10)
		for {
			k, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			l.mu.Lock()
			if l.text.Len() < maxNodeLog {
				l.text.Write(bytes.TrimSpace(b[:k]))
				l.text.WriteByte('\n')
			}
			l.mu.Unlock()
		}
	}()
	return os.Chmod(path, 0o666)
}

// line is the last one that has text in it, without what stands before the name of the program.
func (l *nodeLog) line(ctx context.Context, program, text string) (string, error) {
	for {
		l.mu.Lock()
		all := strings.Split(l.text.String(), "\n")
		l.mu.Unlock()
		for i := len(all) - 1; i >= 0; i-- {
			if at := strings.Index(all[i], program); at >= 0 && strings.Contains(all[i], text) {
				return all[i][at:], nil
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.New("the log does not say: " + text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (l *nodeLog) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		<-l.done
	}
}
