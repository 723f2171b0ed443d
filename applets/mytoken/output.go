package mytoken

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// printJSON prints the result of a command. It may hold secrets: who asks for JSON asks for them.
func (s *session) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	_, err := s.env.Stdout.Write(b.Bytes())
	return err
}

// printSecret prints one line.
func (s *session) printSecret(t secret.Text) error {
	return t.Use(func(b []byte) error {
		line := append(append(make([]byte, 0, len(b)+1), b...), '\n')
		defer clear(line)
		_, err := s.env.Stdout.Write(line)
		return err
	})
}

// put prints a token, or stores it in a file for its owner alone.
func (s *session) put(t secret.Text, file string) error {
	if file == "" {
		return s.printSecret(t)
	}
	return bearer.Store(within(s.env, file), t)
}

// table prints rows; the first one are the headings.
func (s *session) table(rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			end := "\t"
			if i == len(row)-1 {
				end = "\n"
			}
			_, _ = fmt.Fprint(w, oneLine(cell), end)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	_, err := s.env.Stdout.Write(b.Bytes())
	return err
}

// line prints one line of text from a stranger.
func (s *session) line(format string, args ...any) error {
	_, err := fmt.Fprintln(s.env.Stdout, cli.Printable(fmt.Sprintf(format, args...)))
	return err
}

// oneLine makes a text of a stranger fit for a cell.
func oneLine(s string) string {
	s = string(bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		return r
	}, []byte(s)))
	return cli.Printable(s)
}

func timeText(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Format(time.RFC3339)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// printLine prints one value as one line of JSON.
func (s *session) printLine(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	_, err = s.env.Stdout.Write(append(b, '\n'))
	return err
}

// compact is a value as JSON on one line.
func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func joined(list []string) string { return strings.Join(list, " ") }
