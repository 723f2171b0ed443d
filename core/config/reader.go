package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file.
const (
	// MaxSize is how many bytes it may have.
	MaxSize   = 256 << 10
	maxDepth  = 32
	maxNodes  = 20000 // keys and values together
	maxFaults = 100
)

// Reader turns YAML into values and collects what is wrong on the way, so that one run shows all faults. It is for one
// goroutine.
type Reader struct {
	file   string
	dir    string
	faults Faults
	notes  []Fault
	bad    map[*yaml.Node]bool // said already: silence about what follows from it
	nodes  int
}

// NewReader returns a reader for a file that is called name in messages. Files named in it are relative to the
// directory of name.
func NewReader(name string) *Reader {
	return &Reader{file: name, dir: filepath.Dir(name), bad: map[*yaml.Node]bool{}}
}

// Fault notes that something is wrong at a place. A zero At means the file as a whole.
func (r *Reader) Fault(a At, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{r.file, a.Line(), a.key, fmt.Sprintf(format, args...)})
	}
}

// Note remembers something that works and may surprise.
func (r *Reader) Note(a At, format string, args ...any) {
	if len(r.notes) < maxFaults {
		r.notes = append(r.notes, Fault{r.file, a.Line(), a.key, fmt.Sprintf(format, args...)})
	}
}

// Include takes over the faults and notes of another file, which was read because this one names it at a.
func (r *Reader) Include(a At, err error, notes []Fault) {
	var faults Faults
	switch {
	case errors.As(err, &faults):
		r.faults = append(r.faults, faults[:min(len(faults), maxFaults)]...)
	case err != nil:
		r.Fault(a, "%v", err)
	}
	r.notes = append(r.notes, notes...)
}

// Err returns Faults, all that was wrong so far, or nil.
func (r *Reader) Err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults.sorted()
}

// Notes returns what Note was told.
func (r *Reader) Notes() []Fault { return Faults(r.notes).sorted() }

// Usable reports whether there is something at a and nothing was said against it as a whole.
func (r *Reader) Usable(a At) bool { return a.node != nil && !r.bad[a.node] }

// Document reads b as one YAML document and returns its top, or a place that is not there. Aliases are never followed.
func (r *Reader) Document(b []byte) At {
	if len(b) > MaxSize {
		r.Fault(At{}, "longer than %d bytes", MaxSize)
		return At{}
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); err != nil {
		r.syntax(err)
		return At{}
	}
	if err := dec.Decode(&next); err == nil {
		r.Fault(At{node: &next}, "a second document: there is one only")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	if len(doc.Content) == 0 {
		r.syntax(io.EOF)
		return At{}
	}
	top := At{node: doc.Content[0]}
	r.structure(top, 1)
	return top
}

// syntax takes the line out of the library's message.
func (r *Reader) syntax(err error) {
	if errors.Is(err, io.EOF) {
		r.Fault(At{}, "the file is empty")
		return
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	r.Fault(At{node: &yaml.Node{Line: line}}, "not YAML: %s", text)
}

// structure refuses what a configuration has no use for and an attacker has: anchors and aliases, tags, merge keys,
// keys that are no strings or are there twice, depth and number.
func (r *Reader) structure(a At, depth int) {
	n := a.node
	if r.nodes++; r.nodes > maxNodes {
		if r.nodes == maxNodes+1 {
			r.Fault(a, "more than %d keys and values", maxNodes)
		}
		r.bad[n] = true
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		r.refuse(a, "aliases (*name) are not taken: write it out")
		return
	case n.Anchor != "":
		r.Fault(a, "anchors (&name) are not taken")
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(a, "tags (!name) are not taken")
		return
	case depth > maxDepth:
		r.refuse(a, "nested deeper than %d", maxDepth)
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i := range n.Content {
			r.structure(a.index(i), depth+1)
		}
	case yaml.MappingNode:
		r.keys(a, depth)
	}
}

func (r *Reader) refuse(a At, format string, args ...any) {
	r.bad[a.node] = true
	r.Fault(a, format, args...)
}

func (r *Reader) keys(a At, depth int) {
	first := map[string]int{}
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		k := a.node.Content[i]
		r.nodes++
		inner := a.in(k.Value, a.node.Content[i+1])
		here := At{k, inner.key}
		switch {
		case k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" || k.Anchor != "":
			here.key = a.key
			r.Fault(here, "a key is no plain text")
			r.bad[k] = true
		case first[k.Value] > 0:
			r.Fault(here, "is there twice, first in line %d", first[k.Value])
			r.bad[k] = true
		default:
			first[k.Value] = k.Line
		}
		r.structure(inner, depth+1)
	}
}

// Pair is one entry of a mapping.
type Pair struct {
	Name string
	At   At // of the value
	Key  At // of the name, for faults about it
}

// Pairs returns the entries of a mapping in their order, for one whose keys are names that somebody chose.
func (r *Reader) Pairs(a At) []Pair {
	if !r.Usable(a) {
		return nil
	}
	if a.node.Kind != yaml.MappingNode {
		r.Fault(a, "has to be a mapping (key: value)")
		return nil
	}
	var list []Pair
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		k := a.node.Content[i]
		if v := a.in(k.Value, a.node.Content[i+1]); !r.bad[k] {
			list = append(list, Pair{k.Value, v, At{k, v.key}})
		}
	}
	return list
}

// Fields are the entries of a mapping by their key; one that is absent is the zero At.
type Fields map[string]At

// Fields returns the entries of a mapping that may have these keys only. A known key with nothing behind it is a fault:
// whoever wrote it meant something.
func (r *Reader) Fields(a At, known ...string) Fields {
	m := Fields{}
	for _, p := range r.Pairs(a) {
		switch {
		case slices.Contains(known, p.Name):
			m[p.Name] = p.At
		case slices.Contains(known, p.Name+"_file"):
			r.Fault(p.Key, "a secret does not stand here: put it into a file, and its name into %s_file", p.Name)
		default:
			r.Fault(p.Key, "unknown key; known are %s", strings.Join(known, ", "))
		}
	}
	return m
}

// Need says which keys of a mapping are missing. f are its Fields.
func (r *Reader) Need(a At, f Fields, names ...string) {
	if !r.Usable(a) || a.node.Kind != yaml.MappingNode {
		return
	}
	for _, name := range names {
		if _, ok := f[name]; !ok {
			r.Fault(a, "%s is missing", name)
		}
	}
}

// Version reads the key version, which every file of ours has.
func (r *Reader) Version(top At, f Fields, known int) {
	v, ok := f["version"]
	if !ok {
		r.Fault(top, "version is missing (version: %d)", known)
		return
	}
	if n := r.Int(v, known, 1, maxNodes); n != known {
		r.Fault(v, "version %d is not known; this program reads %d", n, known)
	}
}

// Dir is the directory of the file.
func (r *Reader) Dir() string { return r.dir }
