// Package command runs a program of this host for the account system: by absolute path, with an argument vector and no
// shell, in an environment of our own, with a limit on time and output, and with everything it started ended when the
// time is over.
//
// It does not check arguments: who calls it hands in names that core/account/names let through.
//
// Not a public API.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// DefaultTimeout bounds a program where Command does not say.
const DefaultTimeout = 30 * time.Second

// maxOutput is how much of a program's words is kept.
const maxOutput = 8 << 10

var (
	// ErrTimeout: the program was still running when its time, or the caller's, was over. It was killed.
	ErrTimeout = errors.New("program took too long")
	// ErrStart: the program is not there or cannot be run.
	ErrStart = errors.New("program cannot be run")
	// ErrTooLong: the program wrote more than its answer may have.
	ErrTooLong = errors.New("program says too much")
)

// ExitError says that a program ended with another code than 0, or by a signal (Code is -1).
type ExitError struct {
	Program string
	Code    int
	Output  string // what it said, cut, on one line
}

func (e *ExitError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s ended with code %d", e.Program, e.Code)
	}
	return fmt.Sprintf("%s ended with code %d: %s", e.Program, e.Code, e.Output)
}

// Command is one run of a program.
type Command struct {
	Path    string // absolute
	Args    []string
	Timeout time.Duration // 0: DefaultTimeout
	Env     []string      // beside PATH and LC_ALL
}

// Run runs it and returns what it wrote to standard output and standard error together, cut after 8 KiB. The error is
// *ExitError, ErrTimeout or ErrStart.
func Run(ctx context.Context, c Command) (string, error) {
	out := &head{room: maxOutput}
	err := run(ctx, c, streams{out: out, errors: out})
	return out.String(), err
}

// Talk runs it with in as its standard input and returns what it wrote to standard output. More than limit bytes are
// ErrTooLong. What it wrote to standard error is in *ExitError; otherwise the errors are those of Run.
func Talk(ctx context.Context, c Command, in []byte, limit int) ([]byte, error) {
	out, said := &head{room: limit + 1}, &head{room: maxOutput}
	if err := run(ctx, c, streams{in: bytes.NewReader(in), out: out, errors: said}); err != nil {
		return nil, err
	}
	if out.text.Len() > limit {
		return nil, fmt.Errorf("run %s: %w", filepath.Base(c.Path), ErrTooLong)
	}
	return out.text.Bytes(), nil
}

type streams struct {
	in          io.Reader
	out, errors *head
}

func run(ctx context.Context, c Command, s streams) error {
	if !filepath.IsAbs(c.Path) {
		return fmt.Errorf("run %s: %w: path is not absolute", c.Path, ErrStart)
	}
	limit := c.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in, s.out, s.errors
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w: %w", c.Path, ErrStart, err)
	}
	err := cmd.Wait()
	name := filepath.Base(c.Path)
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return nil // a daemon that it left behind and that keeps its output is not its failure
	case ctx.Err() != nil:
		return fmt.Errorf("run %s: %w", name, ErrTimeout)
	case errors.As(err, &exit):
		return &ExitError{Program: name, Code: exit.ExitCode(), Output: oneLine(s.errors.String())}
	}
	return fmt.Errorf("run %s: %w", name, err)
}

// head keeps the beginning of what is written and throws the rest away. The buffer is not embedded: io.Copy would go by
// its ReadFrom, past the bound.
type head struct {
	text bytes.Buffer
	room int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.room - h.text.Len(); room > 0 {
		h.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string { return h.text.String() }

// oneLine makes an error text of a program's words: 300 bytes, nothing that does something to a terminal or a log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = s[:300]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
