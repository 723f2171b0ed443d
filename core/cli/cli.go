// Package cli is the frame every role runs in: streams, environment, clock, signals, exit codes and error lines.
//
// A role is a struct whose exported fields are its grammar (kong tags) and whose Run does the work. It reaches the
// outside through [Env] only, never through package os, so that a test can run it inside the process. Messages for
// people go to standard error, results to standard output.
//
// It does not know which roles exist (applets does), and it asks no questions (core/cli/term does).
//
// Not a public API.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"
)

// Command is one role. Run returns nil for exit code 0, else an error; see [Fail] for choosing the code.
type Command interface {
	Run(ctx context.Context, env *Env) error
}

// Chooser is a Command that has other grammars beside its own: one with the original's options alone under an upstream
// name, or a small one for the command lines that scripts call in loops.
type Chooser interface {
	Command
	// Choose returns the command that reads args.
	Choose(upstream bool, args []string) Command
}

// Env is what a role may know of its process.
type Env struct {
	// Name is how the person called it, for messages: "oidcbox token" or "oidc-token".
	Name string
	// Upstream is set when it was called under the name of an original program: exit codes and messages are then the
	// original's (style of "Error: ..." and 0, 1, 64), not ours.
	Upstream bool
	// Command is the base name of argv[0] that chose the role ("oidc-agent-service"), or the role's name.
	Command string
	// Version is that of the program, as "self version" prints it.
	Version string
	Args    []string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	Getenv  func(string) string
	Environ func() []string
	Now     func() time.Time
	Dir     string // working directory
	Log     *slog.Logger

	own []string // Grammar.Own
}

// OS is the environment of this process.
func OS() *Env {
	dir, _ := os.Getwd()
	e := &Env{
		Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Now: time.Now, Dir: dir,
	}
	e.Log = NewLog(e.Stderr, slog.LevelInfo)
	return e
}

// NewLog returns a logger for daemons: text on a terminal, JSON otherwise.
func NewLog(w io.Writer, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// IsTerminal reports whether w (or an io.Reader) is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	return isTerminal(f)
}
