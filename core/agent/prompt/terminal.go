package prompt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

// maxWrong is how often a terminal asks again after an answer that is none.
const maxWrong = 3

// Terminal asks at the controlling terminal of this process.
type Terminal struct {
	NoColour bool
	Dumb     bool // draws no pictures
}

var _ Asker = Terminal{}

// Can reports whether there is a terminal and we are its foreground job.
func (Terminal) Can(Kind) bool { return term.Usable() }

// Ask implements Asker.
func (t Terminal) Ask(ctx context.Context, q Question) (Answer, error) {
	if !term.Usable() {
		return Answer{}, ErrNobody
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	q = q.printable()
	if err := t.introduce(q); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNobody, err)
	}
	a, err := t.answer(ctx, q)
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		return Answer{}, ended(ctx)
	case errors.Is(err, term.ErrNoTerminal):
		return Answer{}, fmt.Errorf("%w: %w", ErrNobody, err)
	case errors.Is(err, term.ErrInterrupted):
		return Answer{}, ErrCancelled
	}
	return Answer{}, err
}

// introduce shows what the question is about.
func (t Terminal) introduce(q Question) error {
	text := strings.TrimRight(q.Text, "\n")
	if text != "" {
		text += "\n"
	}
	if q.Kind == Link {
		return t.link(q, text)
	}
	if q.Kind == Select || q.Kind == SelectOther {
		for i, c := range q.Choices {
			text += "[" + strconv.Itoa(i+1) + "] " + c + "\n"
		}
	}
	return term.Show(text)
}

// link shows an address, also as a picture for a telephone where there is room.
func (t Terminal) link(q Question, text string) error {
	if err := term.Show(text + q.Label + "\n"); err != nil {
		return err
	}
	web := strings.HasPrefix(q.Label, "https://") || strings.HasPrefix(q.Label, "http://")
	if q.Default == AnyDevice && web && !t.Dumb {
		_ = term.ShowQR(q.Label, !t.NoColour) // the address is there all the same
	}
	return term.Show("Waiting until that is done; Ctrl-C gives up.\n")
}

func (t Terminal) answer(ctx context.Context, q Question) (Answer, error) {
	switch q.Kind {
	case Password:
		text, err := term.Hidden(ctx, label(q, "")+": ")
		if err == nil && text.Empty() {
			err = ErrCancelled
		}
		return Answer{Text: text}, err
	case Confirm:
		return t.confirm(ctx, q)
	case Link:
		<-ctx.Done()
		return Answer{}, ctx.Err()
	case Multiple:
		return t.multiple(ctx, q)
	case Select, SelectOther:
		return t.choose(ctx, q)
	}
	line, err := t.line(ctx, q, q.Default)
	return Answer{Text: secret.FromString(line)}, err
}

func label(q Question, def string) string {
	l := oneLine(q.Label)
	if l == "" {
		l = "Answer"
	}
	if def != "" {
		l += " [" + def + "]"
	}
	return l
}

// line reads one; def is what an empty one means, and without it an empty one cancels.
func (t Terminal) line(ctx context.Context, q Question, def string) (string, error) {
	line, err := term.Line(ctx, label(q, def)+": ")
	if err != nil {
		return "", err
	}
	if line = strings.TrimSpace(line); line == "" {
		line = def
	}
	if line == "" {
		return "", ErrCancelled
	}
	return line, nil
}

// confirm wants the whole word where there is no default: nobody should say yes by an Enter that was meant for
// something else.
func (t Terminal) confirm(ctx context.Context, q Question) (Answer, error) {
	if q.Label == "" {
		q.Label = "Answer yes or no"
	}
	for range maxWrong {
		line, err := t.line(ctx, q, q.Default)
		if err != nil {
			return Answer{}, err
		}
		switch strings.ToLower(line) {
		case Yes:
			return Answer{Yes: true}, nil
		case No, "n":
			return Answer{}, nil
		}
	}
	return Answer{}, ErrCancelled
}

func (t Terminal) multiple(ctx context.Context, q Question) (Answer, error) {
	q.Label = label(q, "") + " (separated by blanks)"
	line, err := t.line(ctx, q, strings.Join(q.Choices, " "))
	return Answer{Chosen: strings.Fields(line)}, err
}

// choose takes a number, one of the choices as it is written, or with SelectOther anything else.
func (t Terminal) choose(ctx context.Context, q Question) (Answer, error) {
	def := q.Default
	if def == "" && len(q.Choices) > 0 {
		def = q.Choices[0]
	}
	for range maxWrong {
		line, err := t.line(ctx, q, def)
		if err != nil {
			return Answer{}, err
		}
		n, err := strconv.Atoi(line)
		switch {
		case err == nil && n >= 1 && n <= len(q.Choices):
			return Answer{Text: secret.FromString(q.Choices[n-1])}, nil
		case slices.Contains(q.Choices, line), line == q.Default, q.Kind == SelectOther:
			return Answer{Text: secret.FromString(line)}, nil
		}
		if err := term.Show("there is no choice " + line + "\n"); err != nil {
			return Answer{}, err
		}
	}
	return Answer{}, ErrCancelled
}
