package jose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is one JSON object read strictly. The zero value is an empty object. It is not changed after it was made.
//
// Members are places in the text, not strings: what is kept in a cache has two pointers for the collector of garbage to
// follow, however many members there are.
type Object struct {
	text    string // as it was read; behind that, names that were written with escapes
	members []member
}

// member is where name and value lie in the text: from, to.
type member struct{ name, value [2]uint32 }

func (o *Object) name(m *member) string  { return o.text[m.name[0]:m.name[1]] }
func (o *Object) value(m *member) string { return o.text[m.value[0]:m.value[1]] }

// machines keeps the machinery of finished reads; it never keeps their input.
var machines sync.Pool

// StrictObject reads b as exactly one JSON object: no repeated member at any level, UTF-8 without byte order mark,
// nothing after it, at most maxDepth levels (the object itself is the first) and maxMembers members in all its objects
// together. The error wraps ErrJSON, ErrDepth or ErrMembers and repeats nothing of b. b may be changed afterwards.
func StrictObject(b []byte, maxDepth, maxMembers int) (Object, error) {
	return readObject(b, limits{depth: maxDepth, members: maxMembers, expect: 16})
}

type limits struct {
	depth, members int
	expect         int  // how many members there will be most often; room is made for them at once
	plainNames     bool // refuse names that we would not write
}

func readObject(b []byte, l limits) (Object, error) {
	m, ok := machines.Get().(*machine)
	if !ok {
		m = new(machine)
	}
	m.input = *bytes.NewBuffer(b)
	m.dec.Reset(&m.input)
	r := objectReader{dec: &m.dec, src: string(b), limits: l}
	o, err := r.read()
	m.dec.Reset(eof{})
	m.input = bytes.Buffer{}
	machines.Put(m)
	if err != nil {
		return Object{}, err
	}
	return o, nil
}

// machine is what one read needs besides what it returns.
type machine struct {
	dec   jsontext.Decoder
	input bytes.Buffer
}

// maxText is how long an object may be: places in it, and in names written anew behind it, have 32 bits. The callers
// have much lower limits.
const maxText = 1 << 30

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// objectReader makes the one pass. The strings it returns are parts of src: names and values cost no allocation.
type objectReader struct {
	dec *jsontext.Decoder
	src string
	limits
	seen int // members
}

func (r *objectReader) read() (Object, error) {
	if r.dec.PeekKind() != '{' {
		return Object{}, ErrJSON
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return Object{}, strictError(err)
	}
	if len(r.src) > maxText {
		return Object{}, fmt.Errorf("%w: it is too long", ErrJSON)
	}
	o := Object{text: r.src, members: make([]member, 0, r.expect)}
	var behind []byte
	for r.dec.PeekKind() == '"' {
		name, at, err := r.name()
		if err != nil {
			return Object{}, err
		}
		if at[1] == 0 { // it is not in the text as it is
			behind = append(behind, name...)
			end := len(r.src) + len(behind)
			at = place(end-len(name), end)
		}
		value, err := r.value()
		if err != nil {
			return Object{}, err
		}
		o.members = append(o.members, member{at, value})
	}
	if _, err := r.dec.ReadToken(); err != nil { // the closing brace, or what is wrong in its place
		return Object{}, strictError(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return Object{}, fmt.Errorf("%w: something follows the object", ErrJSON)
	}
	if len(behind) > 0 {
		o.text += string(behind)
	}
	return o, nil
}

// name reads the name of a member, and says where it stands; nowhere (a zero end) when it was written with escapes.
func (r *objectReader) name() (name string, at [2]uint32, err error) {
	if r.seen++; r.seen > r.members {
		return "", at, ErrMembers
	}
	raw, err := r.dec.ReadValue()
	if err != nil {
		return "", at, strictError(err)
	}
	end := int(r.dec.InputOffset())
	start := end - len(raw)
	name, err = unquote(r.src[start:end])
	if err == nil && r.plainNames && !plainName(name) {
		err = ErrName
	}
	if len(name) == len(raw)-2 { // the quotes: every escape is longer than what it stands for
		at = place(start+1, end-1)
	}
	return name, at, err
}

func place(from, to int) [2]uint32 { return [2]uint32{uint32(from), uint32(to)} }

// value returns where the raw text of the next value is, having walked through it.
func (r *objectReader) value() (at [2]uint32, err error) {
	kind := r.dec.PeekKind()
	if kind != '{' && kind != '[' {
		raw, err := r.dec.ReadValue()
		if err != nil {
			return at, strictError(err)
		}
		end := int(r.dec.InputOffset())
		return place(end-len(raw), end), nil
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return at, strictError(err)
	}
	start := int(r.dec.InputOffset()) - 1
	if err := r.inside(); err != nil {
		return at, err
	}
	return place(start, int(r.dec.InputOffset())), nil
}

// inside reads up to the end of the object or array that was just opened.
func (r *objectReader) inside() error {
	for open := r.dec.StackDepth(); r.dec.StackDepth() >= open; {
		if r.dec.StackDepth() > r.depth {
			return ErrDepth
		}
		if in, n := r.dec.StackIndex(r.dec.StackDepth()); in == '{' && n%2 == 0 && r.dec.PeekKind() == '"' {
			if _, _, err := r.name(); err != nil {
				return err
			}
			continue
		}
		if _, err := r.dec.ReadToken(); err != nil {
			return strictError(err)
		}
	}
	return nil
}

// strictError keeps the kind of fault and its place, and nothing of the input.
func strictError(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Errorf("%w: a member is there twice", ErrJSON)
	}
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w: fault at byte %d", ErrJSON, syntax.ByteOffset)
	}
	return fmt.Errorf("%w: it ends too early", ErrJSON)
}

func unquote(raw string) (string, error) {
	if len(raw) >= 2 && !strings.Contains(raw, `\`) {
		return raw[1 : len(raw)-1], nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", ErrJSON
	}
	return string(b), nil
}

// plainName reports whether name may be written by us (no escaping is ever needed for it).
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("._:/-", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

// RefuseVariants returns ErrCaseVariant when a member differs from one of the known names (lower case) in case only, as
// "Exp" from "exp": readers that fold case would take it for the real one.
func (o Object) RefuseVariants(known ...string) error {
	for i := range o.members {
		name := o.name(&o.members[i])
		if !mayFold(name) {
			continue
		}
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("%w (%s)", ErrCaseVariant, k)
			}
		}
	}
	return nil
}

// mayFold reports whether folding the case of name could change it.
func mayFold(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// Len returns the number of members.
func (o Object) Len() int { return len(o.members) }

// All yields the members in their order, values as raw JSON.
func (o Object) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range o.members {
			if m := &o.members[i]; !yield(o.name(m), o.value(m)) {
				return
			}
		}
	}
}

// Without returns the object without the members of these names.
func (o Object) Without(names ...string) Object {
	o.members = slices.DeleteFunc(slices.Clone(o.members), func(m member) bool {
		return slices.Contains(names, o.name(&m))
	})
	return o
}

// WithoutNull returns the object without the members that are null, for documents of authors who write all out.
func (o Object) WithoutNull() Object {
	o.members = slices.DeleteFunc(slices.Clone(o.members), func(m member) bool { return o.value(&m) == "null" })
	return o
}

// MarshalJSON writes the members in their order, values as they came.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i := range o.members {
		m := &o.members[i]
		if i > 0 {
			b = append(b, ',')
		}
		quoted, err := jsontext.AppendQuote(b, o.name(m))
		if err != nil {
			return nil, fmt.Errorf("write object: %w", err)
		}
		b = append(append(quoted, ':'), o.value(m)...)
	}
	return append(b, '}'), nil
}

// Raw returns the JSON text of a member and whether it is there. null counts as there.
func (o Object) Raw(name string) (string, bool) {
	for i := range o.members {
		if m := &o.members[i]; int(m.name[1]-m.name[0]) == len(name) && o.name(m) == name {
			return o.value(m), true
		}
	}
	return "", false
}

// Has reports whether the member is there.
func (o Object) Has(name string) bool {
	_, ok := o.Raw(name)
	return ok
}

// String returns a string member, "" when absent. Another type is a *MemberError.
func (o Object) String(name string) (string, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return "", nil
	}
	return stringValue(name, raw)
}

func stringValue(name, raw string) (string, error) {
	if raw[0] != '"' {
		return "", &MemberError{name, "a string"}
	}
	return unquote(raw)
}

// Strings returns a member that is an array of strings, nil when absent. Another type is a *MemberError.
func (o Object) Strings(name string) ([]string, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, &MemberError{name, "an array of strings"}
	}
	return stringsValue(name, raw)
}

// OneOrMore returns a member that is a string or an array of strings (as aud), nil when absent. Another type is a
// *MemberError.
func (o Object) OneOrMore(name string) ([]string, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return nil, nil
	}
	switch raw[0] {
	case '"':
		s, err := unquote(raw)
		return []string{s}, err
	case '[':
		return stringsValue(name, raw)
	}
	return nil, &MemberError{name, "a string or an array of strings"}
}

// stringsValue splits an array that was read strictly before.
func stringsValue(name, raw string) ([]string, error) {
	list := make([]string, 0, 4)
	for rest := raw[1:]; ; {
		rest = strings.TrimLeft(rest, " \t\r\n,")
		if rest[0] == ']' {
			return list, nil
		}
		if rest[0] != '"' {
			return nil, &MemberError{name, "an array of strings"}
		}
		n := stringEnd(rest)
		s, err := unquote(rest[:n])
		if err != nil {
			return nil, err
		}
		list, rest = append(list, s), rest[n:]
	}
}

// stringEnd returns the length of the JSON string that s begins with, quotes included.
func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// Bool returns a boolean member, false when absent. Another type is a *MemberError.
func (o Object) Bool(name string) (bool, error) {
	raw, ok := o.Raw(name)
	switch {
	case !ok || raw == "false":
		return false, nil
	case raw == "true":
		return true, nil
	}
	return false, &MemberError{name, "true or false"}
}

// Int returns a member that is a whole number that int64 can hold, and whether it is there.
func (o Object) Int(name string) (int64, bool, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return 0, true, &MemberError{name, "a whole number"}
	}
	return n, true, nil
}

// maxSeconds is the last second of the year 9999. What lies beyond it is milliseconds or nonsense.
const maxSeconds = 253402300799

// Time returns a member that is a NumericDate (RFC 7519 section 2: seconds since 1970, fractions allowed), the zero
// Time when absent. A string, a negative number and a time after the year 9999 are *MemberErrors.
func (o Object) Time(name string) (time.Time, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return time.Time{}, nil
	}
	return timeValue(name, raw)
}

func timeValue(name, raw string) (time.Time, error) {
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return time.Time{}, &MemberError{name, "a number"}
	}
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil && 0 <= n && n <= maxSeconds {
		return time.Unix(n, 0), nil
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || !(f >= 0 && f <= maxSeconds) {
		return time.Time{}, &MemberError{name, "a time in seconds"}
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// Object returns a member that is an object, and whether it is there. Another type is a *MemberError.
func (o Object) Object(name string) (Object, bool, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return Object{}, false, nil
	}
	if raw[0] != '{' {
		return Object{}, true, &MemberError{name, "an object"}
	}
	inner, err := StrictObject([]byte(raw), math.MaxInt, math.MaxInt) // bounded when the outer one was read
	return inner, true, err
}
