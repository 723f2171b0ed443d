// Package setup is what commands have in common that make a new server: asking for what no flag says, writing it as
// text of YAML, and making files and directories that were not there.
//
// It knows no configuration and overwrites nothing.
//
// Not a public API.
package setup

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
)

// Question is one thing that a setup has to know.
type Question struct {
	To      *string // "": nothing was said yet
	Flag    string
	Text    string
	Without func() string       // what is taken when nothing is said; nil: something has to be said
	Skip    bool                // not asked
	Wrong   func(string) string // what is wrong with an answer, to be asked again; nil: nothing can be
}

// Complete asks on the terminal for what no flag said. With yes, or without a terminal, what is missing and has no default
// is an error.
func Complete(ctx context.Context, questions []Question, yes bool) error {
	for _, q := range questions {
		if *q.To != "" || q.Skip {
			continue
		}
		without := ""
		if q.Without != nil {
			without = q.Without()
		}
		if yes || !term.Usable() {
			if without == "" {
				return cli.Fail(cli.Usage, fmt.Errorf("setup: --%s is missing", q.Flag), q.Text)
			}
			*q.To = without
			continue
		}
		if err := q.ask(ctx, without); err != nil {
			return err
		}
	}
	return nil
}

// ask asks until something is said.
func (q Question) ask(ctx context.Context, without string) error {
	prompt := q.Text + ": "
	if without != "" {
		prompt = q.Text + " [" + without + "]: "
	}
	for *q.To == "" {
		line, err := term.Line(ctx, prompt)
		if err != nil {
			return fmt.Errorf("setup: %w", err)
		}
		if *q.To = strings.TrimSpace(line); *q.To == "" {
			*q.To = without
		}
		if *q.To == "" || q.Wrong == nil {
			continue
		}
		// Whoever is at the terminal is asked again: a slip in the first answer must not cost the others.
		if why := q.Wrong(*q.To); why != "" {
			prompt, *q.To = q.Text+" ("+why+"): ", ""
		}
	}
	return nil
}

// Quoted makes a text one scalar of YAML, in the form of JSON where it is not plain.
func Quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("/._-@", r) || r >= '0' && r <= '9'
	}
	if s != "" && s[0] >= 'a' && s[0] <= 'z' && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		switch s {
		case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		default:
			return s
		}
	}
	b, err := json.Marshal(s)
	if err != nil { // text always encodes
		return `""`
	}
	return string(b)
}
