package sysuser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const defaultGetent = "/usr/bin/getent"

// exitNone is how getent says that a key was not found.
const exitNone = 2

// ask puts one key to the name service and returns the line of its answer.
func (d DB) ask(ctx context.Context, database, key string) (string, error) {
	program := d.Getent
	if program == "" && d.Root == "" {
		program = defaultGetent
	}
	if program == "" || program == FilesOnly {
		return "", fmt.Errorf("%s %s: %w", database, key, ErrNone)
	}
	limit := d.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, database, key)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}, "/"
	cmd.WaitDelay = time.Second // a child that keeps the pipe
	out := &bounded{limit: maxLine}
	cmd.Stdout = out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil && ctx.Err() == nil:
		line, _, _ := strings.Cut(out.text.String(), "\n")
		return line, nil
	case ctx.Err() == nil && errors.As(err, &exit) && exit.ExitCode() == exitNone:
		return "", fmt.Errorf("%s %s: %w", database, key, ErrNone)
	case err == nil:
		err = ctx.Err()
	}
	return "", fmt.Errorf("ask the name service for %s %s: %w: %w", database, key, ErrUnavailable, err)
}

// bounded keeps what fits and makes the writer fail after that. The buffer is not embedded: io.Copy would go by its
// ReadFrom, past the bound.
type bounded struct {
	text  bytes.Buffer
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.limit {
		return 0, errLongLine
	}
	return b.text.Write(p)
}
