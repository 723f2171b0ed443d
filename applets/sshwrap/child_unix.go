//go:build unix

package sshwrap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/oidcbox/oidcbox/core/cli"
)

// child runs a command to its end. Signals go on to it; when it stops itself, as ssh does for ~^Z, this process stops
// too, so that the shell gets its terminal back. alone gives it no controlling terminal: releases before 8.4 use
// SSH_ASKPASS only then.
func (s *session) child(cmd *exec.Cmd, alone bool) (int, error) {
	got := make(chan os.Signal, 16)
	signal.Notify(got, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGWINCH)
	defer signal.Stop(got)
	if alone {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	terminal := cli.IsTerminal(s.env.Stdin) && !alone
	ended, handed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(handed)
		for {
			select {
			case sig := <-got:
				// Those of the keyboard go to everybody at the terminal: the command has them already.
				if !terminal || sig != syscall.SIGINT && sig != syscall.SIGQUIT && sig != syscall.SIGWINCH {
					_ = cmd.Process.Signal(sig)
				}
			case <-ended:
				return
			}
		}
	}()
	code, err := waitFor(cmd)
	close(ended)
	<-handed
	return code, err
}

// waitFor returns the exit code as a shell gives it: 128 and the signal for a command that a signal ended. Streams that
// are no files are the test's; exec copies them and has to wait itself.
func waitFor(cmd *exec.Cmd) (int, error) {
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if _, file := stream.(*os.File); !file && stream != nil {
			_ = cmd.Wait()
			return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
		}
	}
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for %s: %w", cmd.Path, err)
		case ws.Stopped():
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			_ = cmd.Process.Signal(syscall.SIGCONT)
		default:
			return exitCode(ws), cmd.Process.Release()
		}
	}
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
