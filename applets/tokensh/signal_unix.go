//go:build unix

package tokensh

import (
	"os"
	"syscall"
)

// passedOn are the signals that are for the command; none of them ends this process before it.
func passedOn() []os.Signal {
	return []os.Signal{
		syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
	}
}

// hand gives the command a signal. Those of the keyboard go to everybody at the terminal: the command has them already.
func hand(p *os.Process, sig os.Signal, terminal bool) {
	if terminal && (sig == syscall.SIGINT || sig == syscall.SIGQUIT) {
		return
	}
	_ = p.Signal(sig) // it may have ended just now
}

// exitCode is as a shell gives it: 128 and the signal for a command that a signal ended.
func exitCode(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}
