package sshwrap

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

// child runs a command to its end. Ctrl-C goes to everybody at the console.
func (s *session) child(cmd *exec.Cmd, _ bool) (int, error) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, os.Interrupt)
	defer signal.Stop(got)
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 0, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return cmd.ProcessState.ExitCode(), nil
}
