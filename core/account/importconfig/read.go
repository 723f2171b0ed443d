package importconfig

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/sorted"
)

// Note is a remark about a setting: what has no equal, or another meaning.
type Note struct {
	File string
	Line int // 0: the setting is not in the file
	Key  string
	Text string
	// Loud is for what an administrator has to decide before the service opens: the old configuration was less careful
	// than they may believe, or somebody would lose access.
	Loud bool
}

func (n Note) String() string {
	where := n.File
	if n.Line > 0 {
		where += ":" + strconv.Itoa(n.Line)
	}
	return where + ": " + n.Key + ": " + n.Text
}

// reader reads one old file, and knows what nobody has read.
type reader struct {
	file  *file
	loose bool // a single % stands for itself
	used  map[string]bool
	notes []Note
}

func newReader(f *file, loose bool) *reader {
	return &reader{file: f, loose: loose, used: map[string]bool{}}
}

func (r *reader) note(at value, key, format string, args ...any) {
	r.notes = append(r.notes, Note{File: r.file.name, Line: at.line, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (r *reader) warn(at value, key, format string, args ...any) {
	r.note(at, key, format, args...)
	r.notes[len(r.notes)-1].Loud = true
}

// raw returns a setting and whether it is there and not empty.
func (r *reader) raw(s *section, key string) (value, bool) {
	v, ok := r.file.get(s, key)
	if !ok {
		return value{}, false
	}
	if s != nil {
		r.used[s.name+"\x00"+key] = true
	}
	r.used["DEFAULT\x00"+key] = true
	full, err := r.file.expand(s, v, 0)
	if err != nil {
		if !r.loose {
			r.warn(v, key, "%v; taken as it is", err)
		}
		full = v
	}
	full.text = strings.TrimSpace(full.text)
	return full, full.text != ""
}

func (r *reader) text(s *section, key, fallback string) string {
	if v, ok := r.raw(s, key); ok {
		return v.text
	}
	return fallback
}

func (r *reader) boolean(s *section, key string, fallback bool) bool {
	v, ok := r.raw(s, key)
	if !ok {
		return fallback
	}
	switch strings.ToLower(v.text) {
	case "true", "yes", "1", "on":
		return true
	case "false", "no", "0", "off":
		return false
	}
	r.warn(v, key, "%q is neither yes nor no; taken as no", v.text)
	return false
}

func (r *reader) number(s *section, key string, fallback int) int {
	v, ok := r.raw(s, key)
	if !ok {
		return fallback
	}
	n, err := strconv.Atoi(v.text)
	if err != nil {
		r.warn(v, key, "%q is no number; %d is used", v.text, fallback)
		return fallback
	}
	return n
}

// brackets reads a list of motley_cue.conf: in brackets, split at commas, quotes optional, all blanks removed. A single
// value without brackets is taken where one is allowed.
func (r *reader) brackets(s *section, key string, single bool) []string {
	v, ok := r.raw(s, key)
	if !ok {
		return nil
	}
	t := v.text
	if !strings.HasPrefix(t, "[") || !strings.HasSuffix(t, "]") {
		if !single {
			r.warn(v, key, "a list needs square brackets; left out")
			return nil
		}
		return []string{strings.Trim(t, `"'`)}
	}
	var list []string
	for item := range strings.SplitSeq(t[1:len(t)-1], ",") {
		item = strings.Trim(strings.Join(strings.Fields(item), ""), `"'`)
		if item != "" && !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// words reads a list of the feudal adapter's configuration: blank-separated.
func (r *reader) words(s *section, key string) []string {
	v, _ := r.raw(s, key)
	return strings.Fields(v.text)
}

// lines reads a list with one entry in a line.
func (r *reader) lines(s *section, key string) []string {
	v, _ := r.raw(s, key)
	var list []string
	for line := range strings.SplitSeq(v.text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// at returns where a setting stands, for a remark.
func (r *reader) at(s *section, key string) value {
	v, _ := r.file.get(s, key)
	return v
}

// finish adds a remark for everything that was not read, and for what was indented by mistake.
func (r *reader) finish() []Note {
	for _, s := range append([]*section{r.file.defaults}, r.file.sections...) {
		for _, key := range s.keys {
			if !r.used[s.name+"\x00"+key] {
				r.note(s.own[key], "["+s.name+"] "+key, "has no equal here and was left out")
			}
		}
	}
	for _, w := range r.file.indented {
		r.warn(value{line: w.line}, "["+w.section+"] "+w.key,
			"the indented line %q belongs to this value, not to a setting of its own, and did so before", shorten(w.text))
	}
	sorted.By(r.notes, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	return r.notes
}

func shorten(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
