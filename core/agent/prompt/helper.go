package prompt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// helper asks by a program that shows one window and prints the answer.
type helper struct {
	env   Env
	name  string
	speak dialect
}

// dialect is the command line for a question, nil for a kind that the program does not know.
type dialect func(q Question) (args []string)

// Can implements the question that Chain asks beforehand.
func (h helper) Can(k Kind) bool {
	_, ok := h.env.find(h.name)
	return ok && h.env.screen() && h.speak(Question{Kind: k, Choices: []string{"-"}}) != nil
}

// Ask implements Asker.
func (h helper) Ask(ctx context.Context, q Question) (Answer, error) {
	args := h.speak(q.printable())
	path, ok := h.env.find(h.name)
	if !ok || !h.env.screen() || args == nil {
		return Answer{}, ErrNobody
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	begun := time.Now()
	out, err := run(ctx, h.env, append([]string{path}, args...))
	defer out.Wipe()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return h.unhappy(q, out, exit, time.Since(begun))
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", h.name, err)
	}
	return q.read(out)
}

// unhappy judges an exit code above 0. Dialogs say "no" and "cancelled" so; one that could not show anything says it at
// once and in the same way, so what came too fast for a person counts as not asked.
func (h helper) unhappy(q Question, out secret.Text, exit *exec.ExitError, after time.Duration) (Answer, error) {
	switch {
	case after < seen && out.Empty() && h.name != "oidc-prompt":
		return Answer{}, fmt.Errorf("%w: %s ended at once: %w", ErrBroken, h.name, exit)
	case q.Kind == Confirm && exit.ExitCode() == 1 && out.Empty():
		return Answer{}, nil
	}
	return Answer{}, ErrCancelled
}

// read understands what a program printed. Nothing means cancelled.
func (q Question) read(out secret.Text) (a Answer, err error) {
	err = out.Use(func(b []byte) error {
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
		switch q.Kind {
		case Confirm:
			a.Yes, err = yesNo(string(b))
			return err
		case Link:
			a.Yes = true
			return nil
		case Multiple:
			a.Chosen = strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
			if len(a.Chosen) == 0 {
				return ErrCancelled
			}
			return nil
		}
		if len(b) == 0 {
			return ErrCancelled
		}
		if bytes.ContainsAny(b, "\n\x00") {
			return fmt.Errorf("%w: it said more than one line", ErrBroken)
		}
		a.Text = secret.New(bytes.Clone(b))
		return nil
	})
	return a, err
}

func yesNo(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case Yes:
		return true, nil
	case No:
		return false, nil
	case "":
		return false, ErrCancelled
	}
	return false, fmt.Errorf("%w: it said neither yes nor no", ErrBroken)
}

// printable makes the texts safe to show.
func (q Question) printable() Question {
	q.Title, q.Text, q.Label = cli.Printable(q.Title), cli.Printable(q.Text), cli.Printable(q.Label)
	if q.Retry != "" {
		q.Text = cli.Printable(q.Retry) + "\n" + q.Text
	}
	choices := make([]string, 0, len(q.Choices))
	for _, c := range q.Choices {
		choices = append(choices, cli.Printable(c))
	}
	q.Choices, q.Default = choices, cli.Printable(q.Default)
	return q
}

// oneLine is a text for what shows one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// speakOIDCPrompt is the interface of the original's program: TYPE TITLE TEXT LABEL TIMEOUT INIT LIST...
func speakOIDCPrompt(q Question) []string {
	kind := string(q.Kind)
	if q.Kind == Confirm && q.Default != "" {
		kind += "-default-" + q.Default
	}
	timeout := q.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	args := []string{kind, q.Title, q.Text, q.Label, strconv.Itoa(int(timeout / time.Second))}
	initial := q.Default
	if q.Kind == Confirm || q.Kind == Link {
		return append(args, "")
	}
	if initial == "" && len(q.Choices) > 0 {
		initial = q.Choices[0]
	}
	args = append(args, initial)
	for _, c := range q.Choices {
		if c != initial {
			args = append(args, c)
		}
	}
	return args
}

// speakZenity leaves no way for markup in a text.
func speakZenity(q Question) []string {
	title := "--title=" + oneLine(q.Title)
	switch q.Kind {
	case Password:
		return []string{"--entry", "--hide-text", title, "--text=" + q.Text + "\n" + q.Label}
	case Input, SelectOther:
		return append([]string{"--entry", title, "--text=" + q.Text + "\n" + q.Label, "--entry-text=" + q.Default}, q.Choices...)
	case Confirm:
		args := []string{"--question", "--no-markup", title, "--text=" + q.Text}
		if q.Default == No {
			args = append(args, "--default-cancel")
		}
		return args
	case Link:
		return []string{"--info", "--no-markup", title, "--text=" + q.Text + "\n" + q.Label}
	case Select:
		return append([]string{"--list", title, "--text=" + q.Label, "--column=" + oneLine(q.Label)}, q.Choices...)
	}
	return nil
}

// speakKDialog keeps Qt from seeing rich text in what is none.
func speakKDialog(q Question) []string {
	plain := strings.NewReplacer("<", "‹", ">", "›").Replace
	title, text := "--title="+oneLine(q.Title), plain(q.Text)
	switch q.Kind {
	case Password:
		return []string{title, "--password", text + "\n" + plain(q.Label)}
	case Input:
		return []string{title, "--inputbox", text + "\n" + plain(q.Label), q.Default}
	case Confirm:
		return []string{title, "--yesno", text}
	case Link:
		return []string{title, "--msgbox", text + "\n" + plain(q.Label)}
	}
	return nil
}
