package notices

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Methods of an iCalendar object.
const (
	methodPublish = "PUBLISH" // a feed
	methodRequest = "REQUEST" // an invitation
)

// maxFold is how many bytes a line has (RFC 5545 section 3.1).
const maxFold = 75

// icalendar is an iCalendar object being written: lines end with CRLF, long ones are folded, texts are escaped.
type icalendar struct{ b strings.Builder }

// happening is the end of a mytoken as an event.
type happening struct {
	uid                           string
	at, stamp                     time.Time
	summary, description, comment string
	url                           string
	organizer, attendee           string // mail addresses, of an invitation
}

// calendarOf writes a whole calendar. name is shown by programs that know RFC 7986 or its forerunner; "" for none.
func calendarOf(method, name string, events []happening) string {
	var c icalendar
	c.line("BEGIN", "VCALENDAR")
	c.line("VERSION", "2.0")
	c.line("PRODID", "-//oidcbox//mytoken-server//EN")
	c.line("CALSCALE", "GREGORIAN")
	c.line("METHOD", method)
	if name != "" {
		c.text("NAME", name)
		c.text("X-WR-CALNAME", name)
	}
	if method == methodPublish {
		c.line("REFRESH-INTERVAL;VALUE=DURATION", "PT6H")
		c.line("X-PUBLISHED-TTL", "PT6H")
	}
	for _, e := range events {
		c.event(e)
	}
	c.line("END", "VCALENDAR")
	return c.b.String()
}

// event writes one. It has no DTEND: that would have to be later than DTSTART, and without one it ends when it starts
// (RFC 5545 sections 3.8.2.2 and 3.6.1).
func (c *icalendar) event(e happening) {
	c.line("BEGIN", "VEVENT")
	c.text("UID", e.uid)
	c.line("DTSTAMP", utc(e.stamp))
	c.line("DTSTART", utc(e.at))
	c.text("SUMMARY", e.summary)
	if e.description != "" {
		c.text("DESCRIPTION", e.description)
	}
	if e.comment != "" {
		c.text("COMMENT", e.comment)
	}
	if e.url != "" {
		c.line("URL", e.url)
	}
	if e.organizer != "" {
		c.line("ORGANIZER", "mailto:"+e.organizer)
		c.line("ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=FALSE", "mailto:"+e.attendee)
		c.line("SEQUENCE", "0")
	}
	c.line("STATUS", "CONFIRMED")
	c.line("TRANSP", "TRANSPARENT")
	for _, before := range alarms() {
		c.line("BEGIN", "VALARM")
		c.line("ACTION", "DISPLAY")
		c.text("DESCRIPTION", e.summary)
		c.line("TRIGGER", before)
		c.line("END", "VALARM")
	}
	c.line("END", "VEVENT")
}

// alarms are when a calendar reminds of an event, as durations of RFC 5545 section 3.3.6.
func alarms() []string { return []string{"-P30D", "-P14D", "-P7D", "-P3D", "-P1D", "PT0S"} }

func utc(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

// text writes a property whose value is a text of whoever.
func (c *icalendar) text(name, value string) { c.line(name, escape(value)) }

// escape is that of RFC 5545 section 3.3.11. What cannot stand in a text at all is left out.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n") {
		switch {
		case r == '\n' || r == '\r':
			b.WriteString(`\n`)
		case r == '\\' || r == ';' || r == ',':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r) && r != '\t':
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// line writes a content line, folded between characters.
func (c *icalendar) line(name, value string) {
	rest := name + ":" + value
	for limit := maxFold; len(rest) > limit; limit = maxFold - 1 {
		at := limit
		for !utf8.RuneStart(rest[at]) {
			at--
		}
		c.b.WriteString(rest[:at] + "\r\n ")
		rest = rest[at:]
	}
	c.b.WriteString(rest + "\r\n")
}
