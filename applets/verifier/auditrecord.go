package verifier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/token/gate"
)

// auditRecord is one decision. There is no token in it, and no query: tokens stand there at times. sub, iss, jti and
// kid are there once the token was believed; what others say of themselves is apart from that, in claimed.
type auditRecord struct {
	Time      string `json:"time"`
	Decision  string `json:"decision"` // allow, deny, error
	Status    int    `json:"status"`
	Code      string `json:"error,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Service   string `json:"service,omitempty"`
	Method    string `json:"method,omitempty"`
	Operation string `json:"operation,omitempty"`
	Path      string `json:"path,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	Subject   string `json:"sub,omitempty"`
	ID        string `json:"jti,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	Token     string `json:"tokid,omitempty"`
	Opaque    bool   `json:"opaque,omitempty"`
	// Claimed is what a token that was refused says of itself: nobody believes it, and it may well say why.
	Claimed *gate.Claimed `json:"claimed,omitempty"`
	Micros  int64         `json:"us"`
}

func recordOf(e *gate.Event) auditRecord {
	id := &e.Outcome.Identity
	r := auditRecord{
		Decision: "allow", Status: 200,
		Service: e.Request.Service, Method: e.Request.Method, Operation: e.Request.Operation,
		Path:   e.Request.Path[:min(len(e.Request.Path), maxAuditPath)],
		Issuer: id.Issuer, Subject: id.Subject, ID: id.Claims.ID, KeyID: id.KeyID, Token: e.TokenID,
		Opaque: e.Outcome.Opaque, Claimed: e.Claimed, Micros: e.Took.Microseconds(),
	}
	if no := e.Refusal; no != nil {
		r.Decision, r.Status, r.Code, r.Reason = "deny", no.Status, no.Code, no.Reason()
		if no.Status >= 500 {
			r.Decision = "error"
		}
	}
	return r
}

// appendTo appends what json.Marshal writes of r, made visible, with the time in stamp. A test holds the two together;
// this one takes no memory.
func (r *auditRecord) appendTo(b, stamp []byte) []byte {
	b = append(append(b, `{"time":"`...), stamp...)
	b = append(append(b, `","decision":"`...), r.Decision...)
	b = strconv.AppendInt(append(b, `","status":`...), int64(r.Status), 10)
	for _, one := range [...]struct{ key, value string }{
		{`,"error":`, r.Code},
		{`,"reason":`, r.Reason},
		{`,"service":`, r.Service},
		{`,"method":`, r.Method},
		{`,"operation":`, r.Operation},
		{`,"path":`, r.Path},
		{`,"iss":`, r.Issuer},
		{`,"sub":`, r.Subject},
		{`,"jti":`, r.ID},
		{`,"kid":`, r.KeyID},
		{`,"tokid":`, r.Token},
	} {
		if one.value != "" {
			b = appendText(append(b, one.key...), one.value)
		}
	}
	if r.Opaque {
		b = append(b, `,"opaque":true`...)
	}
	if r.Claimed != nil {
		if claimed, err := json.Marshal(r.Claimed); err == nil { // text always encodes
			b = append(append(b, `,"claimed":`...), visible(claimed)...)
		}
	}
	return append(strconv.AppendInt(append(b, `,"us":`...), r.Micros, 10), '}')
}

// appendText quotes s for JSON. Nearly all there is needs nothing but the quotes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, err := json.Marshal(s)
			if err != nil { // text always encodes
				return append(b, `""`...)
			}
			return append(b, visible(quoted)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// visible escapes what is in b, which is JSON, and does something to a terminal instead of being seen there: who looks at
// the audit should not do what a stranger wants.
func visible(b []byte) []byte {
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
