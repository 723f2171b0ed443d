package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a policy file.
const (
	// MaxSize is how many bytes it may have.
	MaxSize   = 256 << 10
	maxDepth  = 32    // of YAML, and of levels that name levels
	maxNodes  = 20000 // keys and values together
	maxFaults = 100
)

// reader turns YAML into values and collects what is wrong on the way. Nothing stops it before the end, so that one
// run shows all faults.
type reader struct {
	file   string
	faults Faults
	bad    map[*yaml.Node]bool // said already: silence about what follows from it
	nodes  int
}

// at is a place in the file.
type at struct {
	node *yaml.Node
	key  string
}

func (a at) in(key string, n *yaml.Node) at {
	if a.key != "" {
		key = a.key + "." + key
	}
	return at{n, key}
}

func (a at) index(i int) at {
	return at{a.node.Content[i], fmt.Sprintf("%s[%d]", a.key, i)}
}

func (r *reader) fault(a at, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		return
	}
	line := 0
	if a.node != nil {
		line = a.node.Line
	}
	r.faults = append(r.faults, Fault{r.file, line, a.key, fmt.Sprintf(format, args...)})
}

// document reads b as one YAML document and returns its top. Aliases are never followed.
func (r *reader) document(b []byte) at {
	if len(b) > MaxSize {
		r.fault(at{}, "longer than %d bytes", MaxSize)
		return at{}
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); err != nil {
		r.syntax(err)
		return at{}
	}
	if err := dec.Decode(&next); err == nil {
		r.fault(at{node: &next}, "a second document: a policy is one")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	if len(doc.Content) == 0 {
		r.syntax(io.EOF)
		return at{}
	}
	top := at{node: doc.Content[0]}
	r.structure(top, 1)
	return top
}

// syntax takes the line out of the library's message.
func (r *reader) syntax(err error) {
	if errors.Is(err, io.EOF) {
		r.fault(at{}, "the file is empty")
		return
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	r.fault(at{node: &yaml.Node{Line: line}}, "not YAML: %s", text)
}

// structure refuses what a policy has no use for and an attacker has: anchors and aliases, tags, merge keys, keys that
// are no strings or are there twice, depth and number.
func (r *reader) structure(a at, depth int) {
	n := a.node
	if r.nodes++; r.nodes > maxNodes {
		if r.nodes == maxNodes+1 {
			r.fault(a, "more than %d keys and values", maxNodes)
		}
		r.bad[n] = true
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		r.refuse(a, "aliases (*name) are not taken: write it out, or name a level")
		return
	case n.Anchor != "":
		r.fault(a, "anchors (&name) are not taken")
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

func (r *reader) refuse(a at, format string, args ...any) {
	r.bad[a.node] = true
	r.fault(a, format, args...)
}

func (r *reader) keys(a at, depth int) {
	first := map[string]int{}
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		k := a.node.Content[i]
		r.nodes++
		inner := a.in(k.Value, a.node.Content[i+1])
		here := at{k, inner.key}
		switch {
		case k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" || k.Anchor != "":
			here.key = a.key
			r.fault(here, "a key is no plain text")
			r.bad[k] = true
		case first[k.Value] > 0:
			r.fault(here, "is there twice, first in line %d", first[k.Value])
			r.bad[k] = true
		default:
			first[k.Value] = k.Line
		}
		r.structure(inner, depth+1)
	}
}

// pair is one entry of a mapping.
type pair struct {
	name string
	at   at // of the value
	key  at // of the name
}

// pairs returns the entries of a mapping in their order.
func (r *reader) pairs(a at) []pair {
	if a.node == nil || r.bad[a.node] {
		return nil
	}
	if a.node.Kind != yaml.MappingNode {
		r.fault(a, "has to be a mapping (key: value)")
		return nil
	}
	var list []pair
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		k := a.node.Content[i]
		if v := a.in(k.Value, a.node.Content[i+1]); !r.bad[k] {
			list = append(list, pair{k.Value, v, at{k, v.key}})
		}
	}
	return list
}

// fields returns the entries of a mapping that may have known keys only; a key that is absent has no node.
func (r *reader) fields(a at, known ...string) map[string]at {
	m := map[string]at{}
	for _, p := range r.pairs(a) {
		if !slices.Contains(known, p.name) {
			r.fault(p.key, "unknown key; known are %s", strings.Join(known, ", "))
			continue
		}
		m[p.name] = p.at
	}
	return m
}

func (r *reader) list(a at) []at {
	if a.node == nil || r.bad[a.node] {
		return nil
	}
	if a.node.Kind != yaml.SequenceNode {
		r.fault(a, "has to be a list")
		return nil
	}
	list := make([]at, len(a.node.Content))
	for i := range list {
		list[i] = a.index(i)
	}
	return list
}

// text returns a string that is not empty; the fault has been said when ok is false.
func (r *reader) text(a at) (s string, ok bool) {
	if a.node == nil || r.bad[a.node] {
		return "", false
	}
	switch {
	case a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!str":
		r.fault(a, "has to be text (quote it if it looks like a number or a truth value)")
	case a.node.Value == "":
		r.fault(a, "is empty")
	case strings.ContainsFunc(a.node.Value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.fault(a, "has a control character")
	default:
		return a.node.Value, true
	}
	return "", false
}

// texts returns one text or a list of them.
func (r *reader) texts(a at) []string {
	if a.node == nil || r.bad[a.node] {
		return nil
	}
	if a.node.Kind != yaml.SequenceNode {
		s, ok := r.text(a)
		if !ok {
			return nil
		}
		return []string{s}
	}
	if len(a.node.Content) == 0 {
		r.fault(a, "the list is empty")
	}
	var list []string
	for _, e := range r.list(a) {
		if s, ok := r.text(e); ok {
			list = append(list, s)
		}
	}
	return list
}

// number returns a whole number from 1 to maxNodes.
func (r *reader) number(a at) (int, bool) {
	if a.node == nil || r.bad[a.node] {
		return 0, false
	}
	n, err := strconv.Atoi(a.node.Value)
	if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!int" || err != nil || n < 1 || n > maxNodes {
		r.fault(a, "has to be a whole number, 1 or more")
		return 0, false
	}
	return n, true
}

func (r *reader) sorted() Faults {
	slices.SortFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
	return r.faults
}
