package importconfig

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// page is a YAML file that is being written: block style, every text quoted, so that nothing of an old file can mean
// anything but itself.
type page struct {
	b     strings.Builder
	depth int
	item  bool // the next key begins an item of a list
}

// comment writes text as comment lines. It cannot end the comment: line breaks are lines of the comment.
func (p *page) comment(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		p.b.WriteString(strings.TrimRight(strings.Repeat("  ", p.depth)+"# "+printable(line), " ") + "\n")
	}
}

func (p *page) blank() { p.b.WriteByte('\n') }

func (p *page) lead() {
	depth := p.depth
	if p.item {
		p.b.WriteString(strings.Repeat("  ", depth-1) + "- ")
		p.item = false
		return
	}
	p.b.WriteString(strings.Repeat("  ", depth))
}

// set writes a setting. Texts are quoted, lists are written in one line.
func (p *page) set(key string, v any) {
	p.lead()
	p.b.WriteString(key + ": " + scalar(v) + "\n")
}

// open begins a mapping below key; done ends it.
func (p *page) open(key string) {
	p.lead()
	p.b.WriteString(key + ":\n")
	p.depth++
}

// next begins an item, a mapping, of a list; done ends it.
func (p *page) next() {
	p.depth++
	p.item = true
}

func (p *page) done() { p.depth-- }

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = quote(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	}
	panic("importconfig: a value of no kind that is written")
}

// quote writes a text as a JSON string, which is a YAML string but for characters that YAML wants escaped. Invalid UTF-8
// becomes U+FFFD.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string is always written
	}
	var q strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r >= 0x7f && r < 0xa0 || r >= 0xfdd0 && !unicode.IsPrint(r) {
			fmt.Fprintf(&q, "\\U%08x", r)
			continue
		}
		q.WriteRune(r)
	}
	return q.String()
}

// printable leaves out what could act on a terminal or end a comment.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}
