package gen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

// maxLine bounds what a person types and what a file with one secret holds.
const maxLine = 64 << 10

// maxWrong is how often a question is asked again after an answer that is none.
const maxWrong = 3

// Values of --prompt and --pw-prompt.
const (
	promptCLI  = "cli"
	promptGUI  = "gui"
	promptNone = "none"
)

// asker asks the person one thing. The errors are those of core/agent/prompt; an empty answer is "".
type asker interface {
	line(ctx context.Context, q question) (string, error)
	hidden(ctx context.Context, label string) (secret.Text, error)
}

// question is one that wants a line.
type question struct {
	text    string // shown before
	label   string // in front of the answer, default included
	def     string
	guess   bool     // def is one: it counts only for somebody who has seen it
	choices []choice // numbered; the number stands for the value
}

type choice struct{ value, note string }

// askers are those that the options choose, for texts and for passwords.
func (s *session) askers() (texts, passwords asker) {
	if s.cmd.Prompt == promptNone {
		return nil, nil
	}
	self, err := cli.OwnProgram()
	if err != nil {
		self = ""
	}
	windows := window{prompt.Best(prompt.Env{Getenv: s.env.Getenv, Self: self})}
	var here asker
	switch {
	case cli.IsTerminal(s.env.Stdin):
		here = terminal{}
	case s.env.Upstream:
		here = &pipedLines{in: s.env.Stdin, out: s.env.Stderr} // the original takes answers from a file
	}
	texts, passwords = here, here
	if passwords == nil {
		passwords = terminal{} // a password is asked for at the terminal wherever standard input comes from
	}
	if s.cmd.Prompt == promptGUI {
		texts = windows
	}
	if s.cmd.Prompt == promptGUI || s.cmd.PwPrompt == promptGUI {
		passwords = windows
	}
	return texts, passwords
}

// ask wants a value. Where nobody can be asked, def counts; without one the error names the option.
func (s *session) ask(ctx context.Context, what, option string, q question) (string, error) {
	if s.asks == nil {
		return s.unasked(what, option, q)
	}
	line, err := s.asks.line(ctx, q)
	switch {
	case errors.Is(err, prompt.ErrNobody) || errors.Is(err, io.EOF):
		return s.unasked(what, option, q)
	case err != nil:
		return "", fmt.Errorf("ask for %s: %w", what, err)
	}
	if line = strings.TrimSpace(line); line == "" {
		line = q.def
	}
	if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(q.choices) {
		line = q.choices[n-1].value
	}
	if line == "" {
		return "", s.need(what, option)
	}
	return line, nil
}

// unasked is the default, except that the original takes none where it may not ask.
func (s *session) unasked(what, option string, q question) (string, error) {
	if q.def == "" || q.guess || s.env.Upstream {
		return "", s.need(what, option)
	}
	return q.def, nil
}

// withDefault is a label that shows what an empty answer means.
func withDefault(label, def string) string {
	if def == "" {
		return label
	}
	return label + " [" + def + "]"
}

// confirm asks yes or no.
func (s *session) confirm(ctx context.Context, text string, def bool) (bool, error) {
	switch {
	case s.cmd.ConfirmYes:
		return true, nil
	case s.cmd.ConfirmNo:
		return false, nil
	case s.cmd.ConfirmDefault:
		return def, nil
	}
	cannot := cli.Fail(cli.Usage, errors.New(text+" cannot be asked here"),
		"answer with --confirm-yes, --confirm-no or --confirm-default")
	if s.asks == nil {
		return false, cannot
	}
	label := text + " [yes/No]"
	if def {
		label = text + " [Yes/no]"
	}
	for range maxWrong {
		line, err := s.asks.line(ctx, question{label: label})
		if errors.Is(err, prompt.ErrNobody) || errors.Is(err, io.EOF) {
			return false, cannot
		}
		if err != nil {
			return false, fmt.Errorf("ask the person: %w", err)
		}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "":
			return def, nil
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		case "q", "quit":
			return false, errors.New("given up")
		}
	}
	return false, errors.New("neither yes nor no was answered")
}

// newPassword asks for one twice.
func (s *session) newPassword(ctx context.Context, first, again string) (secret.Text, error) {
	one, err := s.password(ctx, first)
	if err != nil {
		return secret.Text{}, err
	}
	two, err := s.password(ctx, again)
	defer two.Wipe()
	if err == nil && !one.Equal(two) {
		err = errors.New("the two are not the same")
	}
	if err == nil && one.Empty() {
		err = errors.New("it is empty")
	}
	if err != nil {
		one.Wipe()
		return secret.Text{}, fmt.Errorf("read a new password: %w", err)
	}
	return one, nil
}

func (s *session) password(ctx context.Context, label string) (secret.Text, error) {
	if s.asksPw == nil {
		return secret.Text{}, errNobody
	}
	t, err := s.asksPw.hidden(ctx, label)
	if errors.Is(err, prompt.ErrNobody) || errors.Is(err, io.EOF) {
		return secret.Text{}, errNobody
	}
	return t, err
}

// errNobody says that a question would be needed and nobody may or can be asked.
var errNobody = errors.New("there is nobody to ask")

// terminal asks at the controlling terminal.
type terminal struct{}

func (terminal) line(ctx context.Context, q question) (string, error) {
	if !term.Usable() {
		return "", prompt.ErrNobody
	}
	if text := q.introduction(); text != "" {
		if err := term.Show(cli.Printable(text)); err != nil {
			return "", err
		}
	}
	ctx, cancel := withLimit(ctx)
	defer cancel()
	line, err := term.Line(ctx, q.label+": ")
	return line, limitOf(ctx, err)
}

// withLimit is for a question that somebody at a terminal may have walked away from.
func withLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, prompt.DefaultTimeout, prompt.ErrTimeout)
}

func limitOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (terminal) hidden(ctx context.Context, label string) (secret.Text, error) {
	ctx, cancel := withLimit(ctx)
	defer cancel()
	t, err := term.Hidden(ctx, label+": ")
	if errors.Is(err, term.ErrNoTerminal) {
		err = prompt.ErrNobody
	}
	return t, limitOf(ctx, err)
}

// introduction is what stands above the line to fill in.
func (q question) introduction() string {
	var b strings.Builder
	if q.text != "" {
		b.WriteString(q.text + "\n")
	}
	for i, c := range q.choices {
		fmt.Fprintf(&b, "[%d] %s", i+1, c.value)
		if c.note != "" {
			b.WriteString("  " + c.note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// window asks by pinentry, oidc-prompt or a helper of the desktop.
type window struct{ prompt.Asker }

func (w window) line(ctx context.Context, q question) (string, error) {
	pq := prompt.Question{Kind: prompt.Input, Title: "oidc-gen", Text: q.text, Label: q.label, Default: q.def}
	if len(q.choices) > 0 {
		pq.Kind = prompt.SelectOther
		for _, c := range q.choices {
			pq.Choices = append(pq.Choices, c.value)
		}
	}
	if pq.Text == "" {
		pq.Text = q.label
	}
	a, err := w.Ask(ctx, pq)
	if err != nil {
		return "", err
	}
	defer a.Text.Wipe()
	return a.Text.Expose(), nil
}

func (w window) hidden(ctx context.Context, label string) (secret.Text, error) {
	a, err := w.Ask(ctx, prompt.Question{Kind: prompt.Password, Title: "oidc-gen", Text: label, Label: "Password"})
	return a.Text, err
}

// pipedLines takes answers from a file or a pipe, a line each.
type pipedLines struct {
	in  io.Reader
	out io.Writer
}

func (l *pipedLines) line(ctx context.Context, q question) (string, error) {
	_, _ = fmt.Fprint(l.out, cli.Printable(q.introduction()+q.label)+": ")
	return l.next(ctx)
}

func (l *pipedLines) hidden(ctx context.Context, label string) (secret.Text, error) {
	_, _ = fmt.Fprint(l.out, cli.Printable(label)+": ")
	line, err := l.next(ctx)
	return secret.FromString(line), err
}

// next reads one line, for as long as a person may take. A read of a pipe cannot be ended: after that time it is left
// behind, and the program ends.
func (l *pipedLines) next(ctx context.Context) (string, error) {
	ctx, cancel := withLimit(ctx)
	defer cancel()
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := readLine(l.in)
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		if a.line != "" {
			a.err = nil
		}
		return strings.TrimSuffix(a.line, "\r"), a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// readLine takes no byte beyond the line: what follows is for the next question.
func readLine(r io.Reader) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for len(b) < maxLine {
		if _, err := io.ReadFull(r, one); err != nil {
			return string(b), err
		}
		if one[0] == '\n' {
			break
		}
		b = append(b, one[0])
	}
	return string(b), nil
}

// secretFrom is a secret from one of the places an option group names: a file, a variable, the arguments. With several
// the safest wins. None is empty.
func (s *session) secretFrom(file, variable, argument, option string) (secret.Text, error) {
	switch {
	case file != "":
		return s.firstLine(file)
	case variable != "":
		v := s.env.Getenv(variable)
		if v == "" {
			return secret.Text{}, cli.Failf(cli.Usage, "the variable %s is empty", variable)
		}
		return secret.FromString(v), nil
	case argument != "":
		if !s.env.Upstream {
			s.env.Warn("the value of %s can be seen by other processes of this machine; %s-file reads it from a file",
				option, option)
		}
		return secret.FromString(argument), nil
	}
	return secret.Text{}, nil
}

// firstLine reads a secret from a file, "-" for standard input.
func (s *session) firstLine(path string) (secret.Text, error) {
	in := s.env.Stdin
	if path != "-" {
		f, err := os.Open(s.abs(path))
		if err != nil {
			return secret.Text{}, cli.Fail(cli.NotFound, fmt.Errorf("read a secret: %w", err), "")
		}
		defer f.Close()
		in = f
	}
	b, err := bufio.NewReader(io.LimitReader(in, maxLine)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, fmt.Errorf("read a secret: %w", err)
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return secret.Text{}, cli.Failf(cli.Usage, "%s holds no secret", path)
	}
	return secret.New(b), nil
}
