package userinfo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// The original prints with Python's json module: members sorted, four blanks a level, nothing but printable ASCII. So
// scripts that compare or cut lines go on working, and no escape sequence of a stranger reaches a terminal.
type (
	object = map[string]any
	number = json.Number
)

// tree reads an object that was read strictly before.
func tree(o jose.Object) (object, error) {
	b, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	t := object{}
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	return t, nil
}

// writeJSON writes v and a line end; colon stands between a name and its value.
func writeJSON(w *bytes.Buffer, v any, colon string) {
	p := printer{w: w, colon: colon}
	p.value(v, 0)
	w.WriteByte('\n')
}

type printer struct {
	w     *bytes.Buffer
	colon string
}

func (p printer) value(v any, level int) {
	switch v := v.(type) {
	case nil:
		p.w.WriteString("null")
	case bool:
		p.w.WriteString(strconv.FormatBool(v))
	case string:
		p.text(v)
	case number:
		p.w.WriteString(pythonNumber(string(v)))
	case []any:
		p.list(len(v), "[]", level, func(i int) { p.value(v[i], level+1) })
	case object:
		names := slices.Sorted(maps.Keys(v))
		p.list(len(v), "{}", level, func(i int) {
			p.text(names[i])
			p.w.WriteString(p.colon)
			p.value(v[names[i]], level+1)
		})
	}
}

// list writes n members between two brackets, each on a line.
func (p printer) list(n int, brackets string, level int, member func(int)) {
	p.w.WriteByte(brackets[0])
	for i := range n {
		if i > 0 {
			p.w.WriteByte(',')
		}
		p.line(level + 1)
		member(i)
	}
	if n > 0 {
		p.line(level)
	}
	p.w.WriteByte(brackets[1])
}

func (p printer) line(level int) { p.w.WriteString("\n" + strings.Repeat("    ", level)) }

func (p printer) text(s string) {
	p.w.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			p.w.WriteByte('\\')
			p.w.WriteRune(r)
		case strings.ContainsRune("\n\r\t\b\f", r):
			p.w.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}[r])
		case r >= ' ' && r <= '~':
			p.w.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(p.w, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(p.w, `\u%04x`, r)
		}
	}
	p.w.WriteByte('"')
}

// pythonNumber writes a JSON number as Python does after reading it: whole ones as they are, others as the shortest
// text of the nearest double.
func pythonNumber(raw string) string {
	if !strings.ContainsAny(raw, ".eE") {
		if raw == "-0" {
			return "0"
		}
		return raw
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.IsInf(f, 0) {
		return raw
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
