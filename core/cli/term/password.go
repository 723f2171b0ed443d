package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

var (
	// ErrNoTerminal is returned when there is nobody to ask: the process has no controlling terminal.
	ErrNoTerminal = errors.New("there is no terminal to ask at")
	// ErrInterrupted is returned when the person gave up (Ctrl-C, Ctrl-D on an empty line) or the process was told to
	// stop.
	ErrInterrupted = errors.New("interrupted")
)

// maxPassword bounds what is typed or pasted, in bytes.
const maxPassword = 4 << 10

// Control characters as they arrive from a terminal in raw mode.
const (
	keyInterrupt = 0x03 // Ctrl-C
	keyEnd       = 0x04 // Ctrl-D
	keyBackspace = 0x08
	keyKill      = 0x15 // Ctrl-U
	keyEscape    = 0x1b
	keyDelete    = 0x7f
)

// Password shows prompt on the controlling terminal and reads a line there without echo, whatever standard input and
// output are. The terminal is put back before it returns, also on SIGINT and SIGTERM. The caller wipes the secret.
func Password(_ *cli.Env, prompt string) (secret.Text, error) {
	return Hidden(context.Background(), prompt)
}

// Hidden is Password for a question that may be taken back: when ctx ends, its error is returned.
func Hidden(ctx context.Context, prompt string) (secret.Text, error) { return ask(ctx, prompt, false) }

// Line is Hidden for what may be seen. The caller wipes nothing.
func Line(ctx context.Context, prompt string) (string, error) {
	t, err := ask(ctx, prompt, true)
	defer t.Wipe()
	return t.Expose(), err
}

func ask(ctx context.Context, prompt string, echo bool) (secret.Text, error) {
	tty, err := openTerminal()
	if err != nil {
		return secret.Text{}, fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer func() { _ = tty.Close() }()
	if !tty.inFront() {
		return secret.Text{}, fmt.Errorf("%w: it belongs to another job", ErrNoTerminal)
	}
	return askRaw(ctx, tty, prompt, echo)
}

// Usable reports whether a question could be asked now: there is a controlling terminal, and we are its foreground job.
// A job in the background would be stopped by the first byte it reads.
func Usable() bool {
	tty, err := openTerminal()
	if err != nil {
		return false
	}
	defer func() { _ = tty.Close() }()
	return tty.inFront()
}

// Show writes lines to the controlling terminal, made safe for it.
func Show(text string) error {
	tty, err := openTerminal()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer func() { _ = tty.Close() }()
	if _, err := io.WriteString(tty.out, cli.Printable(text)); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}

func askRaw(ctx context.Context, tty *terminal, prompt string, echo bool) (secret.Text, error) {
	// Signals are caught before the terminal changes, so that none can slip in between and leave it changed.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stop)
	restore, err := tty.raw()
	if err != nil {
		return secret.Text{}, fmt.Errorf("switch the terminal's echo off: %w", err)
	}
	defer func() {
		restore()
		_, _ = io.WriteString(tty.out, "\n")
	}()
	if _, err := io.WriteString(tty.out, cli.Printable(prompt)); err != nil {
		return secret.Text{}, fmt.Errorf("write to the terminal: %w", err)
	}
	line := make(chan result, 1)
	screen := io.Discard
	if echo {
		screen = tty.out
	}
	go func() { line <- readKeys(tty.in, screen) }()
	ended := ErrInterrupted
	select {
	case r := <-line:
		return r.text, r.err
	case <-stop:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	tty.interrupt()
	if tty.interruptible {
		r := <-line
		r.text.Wipe()
	}
	return secret.Text{}, ended
}

type result struct {
	text secret.Text
	err  error
}

// readKeys reads up to the end of the line from a terminal in raw mode, and shows what it takes on screen. Backspace and
// Ctrl-U work; keys that send escape sequences are ignored.
func readKeys(in io.Reader, screen io.Writer) result {
	buf := make([]byte, 0, maxPassword) // never grows, so there is one copy
	var key [1]byte
	inEscape := false
	for {
		if _, err := io.ReadFull(in, key[:]); err != nil {
			clear(buf)
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
				err = ErrInterrupted
			}
			return result{err: err}
		}
		c := key[0]
		if inEscape {
			// A sequence ends with a letter or a tilde, after "[" or "O" and parameters.
			inEscape = c == '[' || c == 'O' || c < '@' || c == keyEscape
			continue
		}
		switch {
		case c == '\r' || c == '\n':
			return result{text: secret.New(buf)}
		case c == keyInterrupt || c == keyEnd && len(buf) == 0:
			clear(buf)
			return result{err: ErrInterrupted}
		case c == keyBackspace || c == keyDelete:
			_, n := utf8.DecodeLastRune(buf)
			clear(buf[len(buf)-n:])
			buf = buf[:len(buf)-n]
			erase(screen, min(n, 1))
		case c == keyKill:
			erase(screen, utf8.RuneCount(buf))
			clear(buf)
			buf = buf[:0]
		case c == keyEscape:
			inEscape = true
		case c < ' ' && c != '\t':
		case len(buf) == maxPassword:
			clear(buf)
			return result{err: fmt.Errorf("more than %d bytes were typed", maxPassword)}
		default:
			buf = append(buf, c)
			_, _ = screen.Write(key[:])
		}
	}
}

// erase takes characters back from the screen.
func erase(screen io.Writer, n int) { _, _ = io.WriteString(screen, strings.Repeat("\b \b", n)) }

// terminal is the controlling terminal.
type terminal struct {
	in, out       *os.File
	interruptible bool // a read can be ended from outside
}

// raw switches echo and line editing off and returns the way back.
func (t *terminal) raw() (restore func(), err error) {
	var state *term.State
	err = t.control(func(fd int) (err error) {
		state, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func() {
		_ = t.control(func(fd int) error { return term.Restore(fd, state) })
	}, nil
}

// control runs fn with the descriptor. Fd() would switch the file to blocking mode, where a read cannot be ended.
func (t *terminal) control(fn func(fd int) error) error {
	conn, err := t.in.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) { inner = fn(int(fd)) })
	return errors.Join(err, inner)
}
