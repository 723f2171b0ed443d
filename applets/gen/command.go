package gen

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	commandTime  = 60 * time.Second // it may ask the person
	commandGrace = 2 * time.Second  // a program that it left behind may hold its output open
)

// commandLine is the first line a command prints. The command is split at blanks and run without a shell.
func (s *session) commandLine(ctx context.Context, line string) (secret.Text, error) {
	argv := strings.Fields(line)
	if len(argv) == 0 {
		return secret.Text{}, cli.Failf(cli.Usage, "--pw-cmd is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stderr = s.env.Dir, s.childEnviron(), s.env.Stdin, s.env.Stderr
	out := &firstBytes{b: make([]byte, 0, maxLine+2)} // a line may end with two characters
	defer func() { clear(out.b) }()
	cmd.Stdout = out
	cmd.WaitDelay = commandGrace
	if err := cmd.Run(); err != nil {
		return secret.Text{}, fmt.Errorf("run %s for a password: %w", argv[0], err)
	}
	first, _, ended := bytes.Cut(out.b, []byte("\n"))
	if !ended && len(first) > maxLine {
		return secret.Text{}, fmt.Errorf("%s printed a line of more than %d bytes", argv[0], maxLine)
	}
	first = bytes.TrimSuffix(first, []byte("\r"))
	if len(first) == 0 {
		return secret.Text{}, fmt.Errorf("%s printed no password", argv[0])
	}
	return secret.New(bytes.Clone(first)), nil
}

// firstBytes keeps what fits into its capacity and takes the rest without keeping it: it never grows, so there is one
// copy of a password.
type firstBytes struct{ b []byte }

func (w *firstBytes) Write(p []byte) (int, error) {
	w.b = append(w.b, p[:min(len(p), cap(w.b)-len(w.b))]...)
	return len(p), nil
}
