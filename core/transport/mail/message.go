package mail

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
)

// Limits of a message.
const (
	MaxSubject = 200      // bytes
	MaxPart    = 64 << 10 // bytes of each part
	maxURL     = 512
)

// Message is one mail to one person.
type Message struct {
	// ID is the Message-ID without its angle brackets. It stays the same when a message is tried again, so that one
	// which arrives twice can be told.
	ID      string
	Date    time.Time
	To      Address
	Subject string // one line
	Text    string // plain text; always there
	HTML    string // the same in HTML, "" for none
	// Invitation is an iCalendar object with the method REQUEST (RFC 6047), "" for none.
	Invitation string
	// Unsubscribe is an https URL that ends such mails when something is posted to it (RFC 8058), "" for none.
	Unsubscribe string
}

// Check returns ErrMessage for a message that Send would refuse.
func (m Message) Check() error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrMessage, why) }
	local, domain, _ := strings.Cut(m.ID, "@")
	switch {
	case m.To == Address{}:
		return refuse("it has no recipient")
	case !dotAtom(local) || !dotAtom(domain):
		return refuse("its identifier has another form")
	case len(m.Subject) == 0 || len(m.Subject) > MaxSubject || !plainLine(m.Subject):
		return refuse("its subject is empty, too long or not one line of text")
	case m.Text == "":
		return refuse("it has no text")
	}
	for _, part := range []string{m.Text, m.HTML, m.Invitation} {
		if len(part) > MaxPart || !utf8.ValidString(part) || strings.ContainsRune(part, 0) {
			return refuse("a part of it is too long or no text")
		}
	}
	if m.Unsubscribe != "" && !postable(m.Unsubscribe) {
		return refuse("what ends such mails is no https URL")
	}
	return nil
}

// plainLine reports whether s can stand in a header and say there what it seems to say: no control characters, and none
// that change the direction of the text or are not seen.
func plainLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

func postable(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(s) <= maxURL &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' || r == ',' })
}

// build turns a message that was checked into one of the library's.
func (m Message) build(from Address, name string) (*gomail.Msg, error) {
	out := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := out.FromFormat(name, from.String()); err != nil {
		return nil, fmt.Errorf("%w: its sender", ErrMessage)
	}
	if err := out.To(m.To.String()); err != nil {
		return nil, fmt.Errorf("%w: its recipient", ErrMessage)
	}
	out.Subject(m.Subject)
	out.SetMessageIDWithValue(m.ID)
	out.SetDateWithValue(m.Date)
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		out.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	if m.Invitation != "" {
		out.AddAlternativeString("text/calendar; method=REQUEST", m.Invitation)
	}
	if m.Unsubscribe != "" {
		if err := out.SetListUnsubscribeOneClick(m.Unsubscribe); err != nil {
			return nil, fmt.Errorf("%w: what ends such mails is no https URL", ErrMessage)
		}
	}
	return out, nil
}
