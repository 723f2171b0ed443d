//go:build unix

package applets

import (
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestBriefRole: a role that the table calls brief is started without Go's delivery of signals, so that one ends it as
// the system does, also while it waits for an agent that says nothing.
func TestBriefRole(t *testing.T) {
	h := bareHouse(t)
	ln, err := net.Listen("unix", h.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(h.bin, "token", "anything")
		cmd.Env, cmd.Dir = h.environ(), h.dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		c, err := ln.Accept() // it has come as far as asking
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		stop.Stop()
		_ = c.Close()
		ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !ws.Signaled() || ws.Signal() != s {
			t.Errorf("%v: ended with %v", s, cmd.ProcessState)
		}
	}
}
