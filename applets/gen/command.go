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

const commandTime = 60 * time.Second // it may ask the person

// commandLine is the first line a command prints. The command is split at blanks and run without a shell.
func (s *session) commandLine(ctx context.Context, line string) (secret.Text, error) {
	argv := strings.Fields(line)
	if len(argv) == 0 {
		return secret.Text{}, cli.Failf(cli.Usage, "--pw-cmd is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stderr = s.env.Dir, s.env.Environ(), s.env.Stdin, s.env.Stderr
	out, err := cmd.Output()
	defer clear(out)
	if err != nil {
		return secret.Text{}, fmt.Errorf("run %s for a password: %w", argv[0], err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	first = bytes.TrimSuffix(first, []byte("\r"))
	if len(first) == 0 {
		return secret.Text{}, fmt.Errorf("%s printed no password", argv[0])
	}
	return secret.New(bytes.Clone(first)), nil
}
