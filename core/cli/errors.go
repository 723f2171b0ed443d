package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Exit codes of the commands under our own names. Under an upstream name every failure is 1 and wrong usage is 64.
const (
	OK        = 0
	No        = 1 // the answer is no, or the operation failed
	Usage     = 2 // wrong usage
	NotFound  = 3 // not found, or not configured
	Denied    = 4 // no permission
	Temporary = 5 // lock held, network, 5xx: try again
	Human     = 6 // needs a person: the login has expired
)

const upstreamUsage = 64 // EX_USAGE, as GNU argp exits

// Error carries an exit code and a hint for the person beside what went wrong.
type Error struct {
	Code int
	// Hint is what to do next, one line, no capital, no full stop; "" when there is nothing to say. It names commands as
	// the originals are called; see Grammar.Own.
	Hint string
	Err  error // nil: exit quietly with Code

	exact    bool // Code is not ours to change
	misspelt bool // the command line does not parse
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Fail wraps err with an exit code and a hint.
func Fail(code int, err error, hint string) error { return &Error{Code: code, Hint: hint, Err: err} }

// Failf is Fail with a formatted error (%w works) and no hint.
func Failf(code int, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Exit ends with code and prints nothing: the role has said what there was to say.
func Exit(code int) error { return &Error{Code: code} }

// PassOn ends with the exit code of a command that was run, whatever name this one was called by.
func PassOn(code int) error { return &Error{Code: code, exact: true} }

// Report prints err as the person should see it and returns the exit code. Text from strangers inside it is made safe
// for a terminal.
func Report(env *Env, err error) int {
	if err == nil {
		return OK
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: No, Err: err}
	}
	code := e.Code
	if env.Upstream && !e.exact {
		code = upstreamCode(e.Code)
	}
	if e.Err == nil {
		return code
	}
	if env.Upstream && e.misspelt {
		// GNU argp says it in this form.
		_, _ = fmt.Fprintf(env.Stderr, "%[1]s: %[2]s\nTry `%[1]s --help' or `%[1]s --usage' for more information.\n",
			env.Name, Printable(err.Error()))
		return code
	}
	// err, not e: what wraps the coded error belongs to the message.
	printError(env, err.Error(), e.Hint)
	return code
}

func upstreamCode(code int) int {
	switch code {
	case OK:
		return OK
	case Usage:
		return upstreamUsage
	default:
		return No
	}
}

func printError(env *Env, msg, hint string) {
	if env.Upstream {
		_, _ = fmt.Fprintf(env.Stderr, "Error: %s\n", Printable(msg))
		if hint != "" {
			_, _ = fmt.Fprintf(env.Stderr, "%s\n", Printable(hint))
		}
		return
	}
	_, _ = fmt.Fprintf(env.Stderr, "%s: %s\n", env.Name, Printable(lowerFirst(msg)))
	if hint != "" {
		_, _ = fmt.Fprintf(env.Stderr, "hint: %s\n", Printable(ownHint(env, hint)))
	}
}

// ownHint makes a hint ours. Many come from an agent, which does not know under which names it is asked: they are
// sentences over several lines, and name the original's commands.
func ownHint(env *Env, hint string) string {
	words := strings.Join(strings.Fields(hint), " ")
	return lowerFirst(strings.NewReplacer(env.own...).Replace(words))
}

// lowerFirst takes the capital off a sentence; an abbreviation or a variable keeps it.
func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] >= 'a' && s[1] <= 'z' || s[1] == ' ') {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}

// Printable makes a string from a provider, a file or another program safe for a terminal: control characters (escape
// sequences, carriage returns), bidirectional overrides and what cannot be seen become visible escapes. Newlines and tabs stay.
func Printable(s string) string {
	safe := func(r rune) bool {
		switch {
		case r == '\n' || r == '\t':
			return true
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfffd:
			return false
		case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
			return false
		case r > 0x7f && unicode.Is(unicode.Cf, r): // others that cannot be seen, or turn the order of letters around
			return false
		}
		return true
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if safe(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Warn prints one line for a person on standard error. It never fails a command.
func (e *Env) Warn(format string, args ...any) {
	writeLine(e.Stderr, e.Name+": ", fmt.Sprintf(format, args...))
}

// Note prints one line without the name in front, for progress and results meant for a person.
func (e *Env) Note(format string, args ...any) { writeLine(e.Stderr, "", fmt.Sprintf(format, args...)) }

func writeLine(w io.Writer, prefix, line string) {
	_, _ = fmt.Fprintf(w, "%s%s\n", prefix, Printable(line))
}
