package importconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Limits of a file that is read: the shipped ones have 16 KiB.
const (
	maxFile  = 1 << 20
	maxDepth = 10 // of values that refer to values, as configparser has it
)

// errSyntax: configparser would not read the file either.
var errSyntax = errors.New("not a configuration of that kind")

// value is one setting with where it stood.
type value struct {
	text string
	line int
}

// section is the settings below one header, in the order of the file.
type section struct {
	name string
	line int
	keys []string
	own  map[string]value
}

// file is an old configuration. Section DEFAULT gives what the others do not say.
type file struct {
	name     string
	sections []*section
	defaults *section
	// Indented are settings that look as if they were meant to be settings, and belong to the value above them.
	indented []swallowed
}

type swallowed struct {
	section, key string // of the value they belong to
	text         string
	line         int
}

// parse reads text as configparser does with its defaults: "=" or ":" between key and value, whole-line comments with
// "#" or ";", keys in lower case, continuation by indentation. Inline comments belong to the value.
func parse(name string, text []byte) (*file, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: %w: longer than %d bytes", name, errSyntax, maxFile)
	}
	p := parser{file: &file{name: name, defaults: newSection("DEFAULT", 0)}}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	for i, line := range lines {
		if err := p.line(i+1, line); err != nil {
			return nil, err
		}
	}
	p.finish()
	return p.file, nil
}

func newSection(name string, line int) *section {
	return &section{name: name, line: line, own: map[string]value{}}
}

// parser is the state between two lines.
type parser struct {
	file   *file
	in     *section
	key    string // the setting that an indented line goes on with, "" for none
	indent int
	value  []string
	at     int
}

func (p *parser) line(n int, raw string) error {
	text := strings.TrimSpace(raw)
	if text == "" || text[0] == '#' || text[0] == ';' {
		if text == "" && p.key != "" {
			p.value = append(p.value, "") // configparser: an empty line is part of a value that goes on
		}
		return nil
	}
	indent := len(raw) - len(strings.TrimLeftFunc(raw, unicode.IsSpace))
	if p.key != "" && indent > p.indent {
		p.continued(n, text)
		return nil
	}
	p.finish()
	if name, ok := header(text); ok {
		return p.begin(n, name)
	}
	return p.setting(n, indent, text)
}

func header(text string) (string, bool) {
	if text[0] != '[' {
		return "", false
	}
	end := strings.LastIndexByte(text, ']')
	if end < 2 {
		return "", false
	}
	return text[1:end], true
}

func (p *parser) begin(n int, name string) error {
	if name == "DEFAULT" {
		p.in = p.file.defaults
		p.in.line = n
		return nil
	}
	if p.file.section(name) != nil {
		return fmt.Errorf("%s:%d: %w: section [%s] stands there twice", p.file.name, n, errSyntax, name)
	}
	p.in = newSection(name, n)
	p.file.sections = append(p.file.sections, p.in)
	return nil
}

func (p *parser) setting(n, indent int, text string) error {
	if p.in == nil {
		return fmt.Errorf("%s:%d: %w: a setting before the first [section]", p.file.name, n, errSyntax)
	}
	i := strings.IndexAny(text, "=:")
	if i < 1 {
		return fmt.Errorf("%s:%d: %w: neither [section] nor key = value", p.file.name, n, errSyntax)
	}
	key := strings.ToLower(strings.TrimSpace(text[:i]))
	if old, twice := p.in.own[key]; twice {
		return fmt.Errorf("%s:%d: %w: %s stands in [%s] twice, first in line %d", p.file.name, n, errSyntax, key, p.in.name,
			old.line)
	}
	p.key, p.indent, p.at, p.value = key, indent, n, []string{strings.TrimSpace(text[i+1:])}
	return nil
}

// continued adds a line to the value above it, and remembers it when it looks like a setting that was indented by mistake.
func (p *parser) continued(n int, text string) {
	p.value = append(p.value, text)
	if key, _, ok := strings.Cut(text, "="); ok && isKey(strings.TrimSpace(key)) && p.key != "mapping" {
		p.file.indented = append(p.file.indented, swallowed{p.in.name, p.key, text, n})
	}
}

func isKey(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

func (p *parser) finish() {
	if p.key == "" {
		return
	}
	text := strings.TrimRight(strings.Join(p.value, "\n"), "\n")
	p.in.own[p.key] = value{text, p.at}
	p.in.keys = append(p.in.keys, p.key)
	p.key = ""
}

func (f *file) section(name string) *section {
	i := slices.IndexFunc(f.sections, func(s *section) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return f.sections[i]
}

// get returns a setting of a section, or that of DEFAULT.
func (f *file) get(s *section, key string) (value, bool) {
	if s != nil {
		if v, ok := s.own[key]; ok {
			return v, true
		}
	}
	v, ok := f.defaults.own[key]
	return v, ok
}

// expand replaces %(key)s and %% as configparser's basic interpolation does.
func (f *file) expand(s *section, v value, depth int) (value, error) {
	var b strings.Builder
	rest := v.text
	for {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			b.WriteString(rest)
			return value{b.String(), v.line}, nil
		}
		b.WriteString(rest[:i])
		rest = rest[i:]
		switch {
		case strings.HasPrefix(rest, "%%"):
			b.WriteByte('%')
			rest = rest[2:]
		case strings.HasPrefix(rest, "%(") && strings.Contains(rest, ")s"):
			end := strings.Index(rest, ")s")
			inner, ok := f.get(s, strings.ToLower(rest[2:end]))
			if !ok || depth >= maxDepth {
				return v, fmt.Errorf("%s:%d: %w: %s leads nowhere", f.name, v.line, errSyntax, rest[:end+2])
			}
			inner, err := f.expand(s, inner, depth+1)
			if err != nil {
				return v, err
			}
			if b.Len()+len(inner.text) > maxFile {
				return v, fmt.Errorf("%s:%d: %w: the value grows beyond %d bytes", f.name, v.line, errSyntax, maxFile)
			}
			b.WriteString(inner.text)
			rest = rest[end+2:]
		default:
			return v, fmt.Errorf("%s:%d: %w: a single %% (write %%%%)", f.name, v.line, errSyntax)
		}
	}
}
