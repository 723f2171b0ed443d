package differential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// What follows reads input as carelessly as possible, with the standard library only. It says what is peculiar about an
// input, independently of either side.

// lax64 decodes base64url with line breaks and unused bits as they come; nil when it cannot.
func lax64(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// lenient reads a JSON object; of repeated members the last one counts.
func lenient(b []byte) map[string]any {
	var o map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	_ = dec.Decode(&o)
	return o
}

// lenientKeys reads keys that are objects.
func lenientKeys(raw []json.RawMessage) []map[string]any {
	var out []map[string]any
	for _, k := range raw {
		out = append(out, lenient(k))
	}
	return out
}

// exactKeys are the texts of the keys, by the member that RFC 7517 names.
func exactKeys(set []byte) []json.RawMessage {
	var o map[string]json.RawMessage
	var keys []json.RawMessage
	_ = json.Unmarshal(set, &o)
	_ = json.Unmarshal(o["keys"], &keys)
	return keys
}

// rawKeys are the texts of the keys, by the member that encoding/json finds.
func rawKeys(set []byte) []json.RawMessage {
	var o struct {
		Keys []json.RawMessage `json:"keys"`
	}
	_ = json.Unmarshal(set, &o)
	return o.Keys
}

// peculiar is what strict JSON does not allow, or allows and nobody needs.
type peculiar struct {
	notText   bool // bytes that are not UTF-8, or half of a surrogate pair
	repeated  bool // a member twice in one object, at any level
	otherCase bool // a member of the outermost object that is one of the known names in another case
	depth     int
	members   int
	outermost map[string]int // how often each member of the outermost object is there
}

// level is an object or array that is open.
type level struct {
	names   map[string]bool // nil for an array
	isValue bool            // what comes next in an object
}

// look walks through a JSON value as far as it goes.
func look(b []byte, known ...string) peculiar {
	p := peculiar{outermost: map[string]int{}}
	var stack []level
	replaced := 0
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	for t, err := dec.Token(); err == nil; t, err = dec.Token() {
		s, isString := t.(string)
		replaced += strings.Count(s, "\ufffd")
		if d, ok := t.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			top := &stack[n-1]
			if top.isValue = !top.isValue; top.isValue && isString {
				p.name(s, top, n == 1, known)
				continue
			}
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		}
		p.depth = max(p.depth, len(stack))
	}
	written := strings.Count(strings.ToLower(string(b)), `\ufffd`) + strings.Count(string(b), "\ufffd")
	p.notText = !utf8.Valid(b) || replaced > written
	return p
}

func (p *peculiar) name(s string, in *level, outermost bool, known []string) {
	p.members++
	p.repeated = p.repeated || in.names[s]
	in.names[s] = true
	if !outermost {
		return
	}
	p.outermost[s]++
	for _, k := range known {
		p.otherCase = p.otherCase || s != k && strings.EqualFold(s, k)
	}
}
