package gen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

// maxLine bounds what a person types and what a file with one secret holds.
const maxLine = 64 << 10

// ask reads a line from the terminal; def is what an empty one means.
func (s *session) ask(what, option, def string) (string, error) {
	if !s.interactive() {
		if def != "" {
			return def, nil
		}
		return "", need(what, option)
	}
	question := strings.ToUpper(what[:1]) + what[1:]
	if def != "" {
		question += " [" + def + "]"
	}
	_, _ = fmt.Fprint(s.env.Stderr, cli.Printable(question)+": ")
	line, err := readLine(s.env.Stdin)
	if err != nil && line == "" {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if line = strings.TrimSpace(line); line == "" {
		line = def
	}
	if line == "" {
		return "", need(what, option)
	}
	return line, nil
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

// confirm asks yes or no.
func (s *session) confirm(question string, def bool) (bool, error) {
	switch {
	case s.cmd.ConfirmYes:
		return true, nil
	case s.cmd.ConfirmNo:
		return false, nil
	case s.cmd.ConfirmDefault:
		return def, nil
	case !s.interactive():
		return false, cli.Fail(cli.Usage, errors.New(question+" cannot be asked here"),
			"answer with --confirm-yes, --confirm-no or --confirm-default")
	}
	choice := "yes"
	if !def {
		choice = "no"
	}
	answer, err := s.ask(question+" (yes or no)", "--confirm-yes", choice)
	return strings.HasPrefix(strings.ToLower(answer), "y"), err
}

// newPassword asks for one twice.
func (s *session) newPassword(what string) (secret.Text, error) {
	if s.cmd.Prompt == "none" {
		return secret.Text{}, errNobody
	}
	first, err := term.Password(s.env, "New "+what+": ")
	if err != nil {
		return secret.Text{}, nobody(err)
	}
	second, err := term.Password(s.env, "The same again: ")
	defer second.Wipe()
	if err == nil && !first.Equal(second) {
		err = errors.New("the two are not the same")
	}
	if err == nil && first.Empty() {
		err = errors.New("it is empty")
	}
	if err != nil {
		first.Wipe()
		return secret.Text{}, fmt.Errorf("read new %s: %w", what, err)
	}
	return first, nil
}

func (s *session) password(what string) (secret.Text, error) {
	if s.cmd.Prompt == "none" {
		return secret.Text{}, errNobody
	}
	t, err := term.Password(s.env, what+": ")
	return t, nobody(err)
}

// errNobody says that a question would be needed and nobody may or can be asked.
var errNobody = errors.New("there is nobody to ask")

func nobody(err error) error {
	if errors.Is(err, term.ErrNoTerminal) {
		return errNobody
	}
	return err
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
		s.env.Warn("the value of %s can be seen by other processes of this machine; %s-file reads it from a file",
			option, option)
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
