package names

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Person is what claims say about somebody, as far as names are made of it. None of it is trusted.
type Person struct {
	PreferredUsername string `json:"preferred_username,omitzero"`
	Given             string `json:"given_name,omitzero"`
	Family            string `json:"family_name,omitzero"` // or else sn
	Name              string `json:"name,omitzero"`
	Email             string `json:"email,omitzero"`
}

// External is a site's own source of names: a program, a directory. Its names are taken as they are or not at all: they
// go through Choose like any others, and are not converted.
type External interface {
	// Names proposes names for an identity, the best one first. An error is temporary: nobody gets a name by it.
	Names(ctx context.Context, sub, iss string, p Person) ([]string, error)
}

// Choose takes the first candidate that limits allow and that is not taken. What is taken is the caller's to say, and
// has to include names in requests that wait for approval and names that identities had before. An error of taken ends
// the search; without one, and without a free name, the error is *NoNameError.
func Choose(candidates iter.Seq[string], limits Limits, taken func(name string) (bool, error)) (string, error) {
	none := &NoNameError{}
	for name := range candidates {
		if Check(name) != nil {
			continue
		}
		if len(none.Tried) < maxTried {
			none.Tried = append(none.Tried, name)
		}
		if limits.CheckName(name) != nil {
			continue
		}
		switch used, err := taken(name); {
		case err != nil:
			return "", fmt.Errorf("ask whether the name %s is free: %w", name, err)
		case !used:
			return name, nil
		}
	}
	return "", none
}

const maxTried = 32

// Friendly makes names of what a person is called.
type Friendly struct {
	Shorten Shorten
}

// Propose gives the candidates for p, each once, the best one first: what the person prefers, given name, three letters
// of given and family name each, family name, other lengths, e-mail address. What is missing, too long, or leaves
// neither letter nor digit is left out.
func (f Friendly) Propose(p Person) iter.Seq[string] {
	return func(yield func(string) bool) {
		var seen []string
		for _, text := range p.texts() {
			name, err := Convert(strings.ReplaceAll(text, "@", "-"), f.Shorten)
			if err != nil || Check(name) != nil || slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
			if !yield(name) {
				return
			}
		}
	}
}

// texts are the texts of the candidates, "" where a part is missing.
func (p Person) texts() []string {
	given, family := p.called()
	combined := func(g, f int) string {
		if given == "" || family == "" {
			return ""
		}
		return leading(given, g) + leading(family, f)
	}
	texts := []string{strings.TrimSpace(p.PreferredUsername), given, combined(3, 3), family}
	for _, n := range [...][2]int{
		{4, 3}, {5, 3}, {2, 3}, {4, 4}, {5, 4}, {2, 4}, {4, 5}, {5, 5}, {2, 5}, {4, 2}, {5, 2}, {2, 2},
	} {
		texts = append(texts, combined(n[0], n[1]))
	}
	texts = append(texts, strings.TrimSpace(p.Email))
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" || len(s) > maxText })
}

// called fills up given and family name from the whole name, whose last word is the family name.
func (p Person) called() (given, family string) {
	given, family = strings.TrimSpace(p.Given), strings.TrimSpace(p.Family)
	words := strings.Fields(p.Name)
	if len(p.Name) > maxText || len(words) == 0 {
		return given, family
	}
	last := len(words) - 1
	if family == "" {
		family = words[last]
	}
	if given == "" {
		given = strings.Join(words[:last], " ")
	}
	return given, family
}

// leading are the first n characters of s, all of it when it has fewer.
func leading(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// Pool makes names that say nothing about the person: a prefix and a number. The zero value proposes none; NewPool
// makes one.
type Pool struct {
	prefix string
	digits int
}

// NewPool returns the pool of names with prefix and as many digits, 1 to 6; the prefix is cut where the name would be
// too long. The error is ErrRule.
func NewPool(prefix string, digits int) (Pool, error) {
	if digits < 1 || digits > 6 {
		return Pool{}, fmt.Errorf("%w: %d digits, allowed are 1 to 6", ErrRule, digits)
	}
	prefix = prefix[:min(len(prefix), MaxLength-digits)]
	if err := Check(prefix); err != nil {
		return Pool{}, fmt.Errorf("%w: prefix %q: %w", ErrRule, prefix, err)
	}
	return Pool{prefix: prefix, digits: digits}, nil
}

// Propose gives all names of the pool in order, from 1.
func (p Pool) Propose() iter.Seq[string] {
	return func(yield func(string) bool) {
		if p.digits == 0 {
			return
		}
		end := 1
		for range p.digits {
			end *= 10
		}
		for n := 1; n < end; n++ {
			if !yield(fmt.Sprintf("%s%0*d", p.prefix, p.digits, n)) {
				return
			}
		}
	}
}
