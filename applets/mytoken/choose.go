package mytoken

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
)

// classList are the classes of notifications, each with those it is made of behind it.
func classList() []string {
	return []string{
		"AT_creations", "subtoken_creations", "setting_changes",
		"security", "security:ips", "security:revoked", "security:blocked_usages",
		"security:blocked_usages:capabilities", "security:blocked_usages:restrictions",
		"expiration", "rt_failure",
	}
}

// edit is what options say about a list: all of it, or what to add and to drop.
type edit struct{ all, add, drop []string }

func (e edit) empty() bool    { return len(e.all)+len(e.add)+len(e.drop) == 0 }
func (e edit) relative() bool { return len(e.all) == 0 && len(e.add)+len(e.drop) > 0 }

// of is the list from now on, nil where nothing is said about it.
func (e edit) of(now []string) []string {
	if e.empty() {
		return nil
	}
	out := slices.Clone(now)
	if len(e.all) > 0 {
		out = slices.DeleteFunc(slices.Clone(e.all), func(s string) bool { return s == "" })
	}
	for _, s := range e.add {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	out = slices.DeleteFunc(out, func(s string) bool { return slices.Contains(e.drop, s) })
	return append([]string{}, out...)
}

// choose asks a person which of some words he wants; those of now are marked, and Enter keeps them.
func choose(ctx context.Context, title string, words, now []string) ([]string, error) {
	if !term.Usable() {
		return nil, cli.Failf(cli.Usage, "--interactive needs a terminal")
	}
	text := title + "\n"
	for i, w := range words {
		mark := " "
		if slices.Contains(now, w) {
			mark = "*"
		}
		text += fmt.Sprintf("%s %2d  %s\n", mark, i+1, oneLine(w))
	}
	if err := term.Show(text); err != nil {
		return nil, err
	}
	answer, err := term.Line(ctx, "Numbers or words, with blanks between; Enter keeps what is marked: ")
	if err != nil {
		return nil, err
	}
	return chosen(answer, words, now)
}

// chosen reads the answer to choose.
func chosen(answer string, words, now []string) ([]string, error) {
	fields := strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	if len(fields) == 0 {
		return append([]string{}, now...), nil
	}
	out := []string{}
	for _, f := range fields {
		n, err := strconv.Atoi(f)
		switch {
		case err == nil && n >= 1 && n <= len(words):
			f = words[n-1]
		case !slices.Contains(words, f):
			return nil, cli.Failf(cli.Usage, "%q is none of them", f)
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
