//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// leaveTerminal lets go of everything the starting process may be waiting for.
func leaveTerminal(keepStderr bool) error {
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("leave the working directory: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer null.Close()
	fds := []int{0, 2, 1} // standard output last: its end tells the starting process that all is done
	if keepStderr {
		fds = []int{0, 1}
	}
	for _, fd := range fds {
		if err := dup(int(null.Fd()), fd); err != nil {
			return fmt.Errorf("detach: %w", err)
		}
	}
	return nil
}

// become replaces this process by the command.
func become(_ context.Context, env *cli.Env, argv, more []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	vars := slices.DeleteFunc(env.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "OIDC_SOCK=") || strings.HasPrefix(v, "OIDCD_PID=")
	})
	if err := unix.Exec(path, argv, append(vars, more...)); err != nil {
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	return nil
}

// replaceProcess makes this process run another program, which gets the files under the numbers they have here.
func replaceProcess(path string, argv, environ []string, files []*os.File) error {
	for _, f := range files {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("run the new program: %w", err)
		}
	}
	if err := unix.Exec(path, argv, environ); err != nil {
		return fmt.Errorf("run the new program: %w", err)
	}
	return nil
}

func terminate(pid int) error { return unix.Kill(pid, unix.SIGTERM) }

// running is also false for a process that has ended and that nobody has collected.
func running(pid int) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// restrictFiles makes every file and directory of this process private, whatever the caller's umask.
func restrictFiles() { unix.Umask(0o077) }

func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(g.Gid)
}

// memberOf reports whether the peer's own group is gid, or its user is a member.
func memberOf(p sock.Peer, gid int) bool {
	if int64(p.GID) == int64(gid) {
		return true
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, strconv.Itoa(gid))
}

// logger writes to standard error in the foreground and to the system log else. Where there is none nothing is logged.
func (c *Cmd) logger(env *cli.Env) *slog.Logger {
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	if c.Console || c.LogStderr {
		if c.Console && !c.LogStderr && !c.Debug {
			level = slog.LevelWarn
		}
		return cli.NewLog(env.Stderr, level)
	}
	var w io.Writer
	w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "oidc-agent")
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
