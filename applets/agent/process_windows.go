package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// leaveTerminal closes the pipe to the starting process.
func leaveTerminal(keepStderr bool) error {
	err := os.Stdout.Close()
	if !keepStderr {
		err = errors.Join(err, os.Stderr.Close())
	}
	return err
}

// become runs the command and ends as it does: a process cannot be replaced here.
func become(ctx context.Context, env *cli.Env, argv, more []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(env.Environ(), more...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.Stdin, env.Stdout, env.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return cli.Exit(exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	return nil
}

// replaceProcess does not exist here: a process cannot become another program, and a running program's file cannot be
// replaced either.
func replaceProcess(string, []string, []string, []*os.File) error { return errors.ErrUnsupported }

func terminate(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// running is false: terminate has waited for nobody, but nothing outlives it.
func running(int) bool { return false }

// waitForExit returns errCommandEnded when the process has ended.
func waitForExit(ctx context.Context, pid int) error {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return errCommandEnded
	}
	defer windows.CloseHandle(h)
	for ctx.Err() == nil {
		ev, err := windows.WaitForSingleObject(h, uint32(2*time.Second/time.Millisecond))
		if err != nil || ev == windows.WAIT_OBJECT_0 {
			return errCommandEnded
		}
	}
	return nil
}

// restrictFiles has nothing to do: files take the access list of their directory.
func restrictFiles() {}

var errNoGroups = errors.New("sockets have no groups on this system")

func groupID(string) (int, error) { return -1, errNoGroups }

func memberOf(sock.Peer, int) bool { return false }

func (c *Cmd) logger(env *cli.Env) *slog.Logger {
	if !c.Console && !c.LogStderr {
		return slog.New(slog.DiscardHandler)
	}
	level := slog.LevelWarn
	if c.Debug || c.LogStderr {
		level = slog.LevelDebug
	}
	return cli.NewLog(env.Stderr, level)
}
