package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendText quotes s for JSON. Nearly all there is needs nothing but the quotes.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, err := json.Marshal(s)
			if err != nil { // text always encodes
				return append(b, `""`...)
			}
			return append(b, Visible(quoted)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Visible escapes what is in b, which is JSON, and does something to a terminal instead of being seen there: who looks at
// the audit should not do what a stranger wants.
func Visible(b []byte) []byte {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if bytes.IndexFunc(b, hidden) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+32)
	for _, r := range string(b) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// stamp writes times of records, most of which are in the same second as the one before.
type stamp struct {
	second int64
	text   []byte // up to and with the dot
}

func (s *stamp) of(at time.Time) []byte {
	if s.text == nil || s.second != at.Unix() {
		s.second = at.Unix()
		s.text = at.UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
	}
	whole := len(s.text)
	micros := at.Nanosecond() / 1000
	text := s.text
	for unit := 100_000; unit > 0; unit /= 10 {
		text = append(text, byte('0'+micros/unit%10))
	}
	text = append(text, 'Z')
	s.text = text[:whole]
	return text
}
