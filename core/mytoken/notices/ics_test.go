package notices

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// component is one of an iCalendar object, as read by the rules of RFC 5545.
type component struct {
	name  string
	props []prop
	parts []component
}

type prop struct {
	name, params, value string
}

func (c component) text(name string) string {
	for _, p := range c.props {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

func (c component) all(name string) (out []component) {
	for _, p := range c.parts {
		if p.name == name {
			out = append(out, p)
		}
	}
	return out
}

// readICS reads strictly: only CRLF, lines of at most 75 bytes, folds between characters, known names of properties
// in the right component, escapes that there are, times and durations of the right form.
func readICS(s string) (component, error) {
	if !utf8.ValidString(s) || !strings.HasSuffix(s, "\r\n") {
		return component{}, errors.New("no UTF-8, or the last line has no end")
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		switch {
		case len(line) > 75 || !utf8.ValidString(line):
			return component{}, fmt.Errorf("line %q is too long or folded inside of a character", line)
		case strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
			return component{}, fmt.Errorf("line %q has a control character", line)
		case strings.HasPrefix(line, " ") && len(lines) > 0:
			lines[len(lines)-1] += line[1:]
		default:
			lines = append(lines, line)
		}
	}
	stack := []component{{}}
	for _, line := range lines {
		head, value, ok := strings.Cut(line, ":")
		name, params, _ := strings.Cut(head, ";")
		top := &stack[len(stack)-1]
		switch {
		case !ok:
			return component{}, fmt.Errorf("line %q has no value", line)
		case name == "BEGIN":
			stack = append(stack, component{name: value})
		case name == "END":
			if value != top.name || len(stack) < 2 {
				return component{}, fmt.Errorf("%q ends %q", line, top.name)
			}
			done := *top
			stack = stack[:len(stack)-1]
			stack[len(stack)-1].parts = append(stack[len(stack)-1].parts, done)
		default:
			p, err := readProp(top.name, name, params, value)
			if err != nil {
				return component{}, err
			}
			top.props = append(top.props, p)
		}
	}
	if len(stack) != 1 || len(stack[0].parts) != 1 || stack[0].parts[0].name != "VCALENDAR" || len(stack[0].props) != 0 {
		return component{}, errors.New("not one calendar")
	}
	return stack[0].parts[0], checkICS(stack[0].parts[0])
}

func readProp(in, name, params, value string) (prop, error) {
	const (
		text     = "text"
		datetime = `^[0-9]{8}T[0-9]{6}Z$`
		duration = `^-?P([0-9]+W|[0-9]+D(T.+)?|T([0-9]+H)?([0-9]+M)?([0-9]+S)?)$`
		uri      = `^[a-z]+:[!-~]+$`
	)
	kinds := map[string]string{
		"VCALENDAR VERSION": `^2\.0$`, "VCALENDAR PRODID": text, "VCALENDAR METHOD": `^(PUBLISH|REQUEST)$`,
		"VCALENDAR CALSCALE": `^GREGORIAN$`, "VCALENDAR NAME": text, "VCALENDAR X-WR-CALNAME": text,
		"VCALENDAR REFRESH-INTERVAL": duration, "VCALENDAR X-PUBLISHED-TTL": duration,
		"VEVENT UID": text, "VEVENT DTSTAMP": datetime, "VEVENT DTSTART": datetime, "VEVENT SUMMARY": text,
		"VEVENT DESCRIPTION": text, "VEVENT COMMENT": text, "VEVENT URL": uri, "VEVENT ORGANIZER": uri,
		"VEVENT ATTENDEE": uri, "VEVENT SEQUENCE": `^[0-9]+$`, "VEVENT STATUS": `^CONFIRMED$`,
		"VEVENT TRANSP": `^TRANSPARENT$`, "VALARM ACTION": `^DISPLAY$`, "VALARM DESCRIPTION": text, "VALARM TRIGGER": duration,
	}
	kind, known := kinds[in+" "+name]
	switch {
	case !known:
		return prop{}, fmt.Errorf("%s has no property %q", in, name)
	case kind != text && !regexp.MustCompile(kind).MatchString(value):
		return prop{}, fmt.Errorf("%s of %s: %q", name, in, value)
	case kind != text:
		return prop{name, params, value}, nil
	}
	plain, err := unescape(value)
	return prop{name, params, plain}, err
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ';' || s[i] == ',':
			return "", fmt.Errorf("%q is not escaped", s)
		case s[i] != '\\':
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i == len(s):
			return "", fmt.Errorf("%q ends in an escape", s)
		case s[i] == 'n' || s[i] == 'N':
			b.WriteByte('\n')
		case strings.IndexByte(`\;,`, s[i]) >= 0:
			b.WriteByte(s[i])
		default:
			return "", fmt.Errorf("%q has an unknown escape", s)
		}
	}
	return b.String(), nil
}

// checkICS looks for what has to be there, once.
func checkICS(cal component) error {
	need := map[string][]string{
		"VCALENDAR": {"VERSION", "PRODID", "METHOD"}, "VEVENT": {"UID", "DTSTAMP", "DTSTART", "SUMMARY"},
		"VALARM": {"ACTION", "DESCRIPTION", "TRIGGER"},
	}
	parents := map[string]string{"VEVENT": "VCALENDAR", "VALARM": "VEVENT"}
	for _, name := range need[cal.name] {
		n := 0
		for _, p := range cal.props {
			if p.name == name {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s has %d of %s", cal.name, n, name)
		}
	}
	for _, part := range cal.parts {
		if parents[part.name] != cal.name {
			return fmt.Errorf("%s in %s", part.name, cal.name)
		}
		if err := checkICS(part); err != nil {
			return err
		}
	}
	return nil
}

func TestCalendar(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 30, 0, 0, time.FixedZone("", 7200))
	s := calendarOf(methodPublish, "Läufe; 2026, \\o/", []happening{{
		uid: "a/b+c==@mytoken.example.org", at: at, stamp: at.Add(-day), summary: "Mytoken 'x' expires",
		description: "one\ntwo", url: issuer + "/actions?action=recreate_token&code=ABC",
	}})
	cal, err := readICS(s)
	must(t, err)
	if cal.text("METHOD") != "PUBLISH" || cal.text("NAME") != "Läufe; 2026, \\o/" || len(cal.parts) != 1 {
		t.Errorf("%+v", cal)
	}
	e := cal.parts[0]
	for name, want := range map[string]string{
		"UID": "a/b+c==@mytoken.example.org", "DTSTART": "20260501T083000Z", "DTSTAMP": "20260430T083000Z",
		"DESCRIPTION": "one\ntwo", "URL": issuer + "/actions?action=recreate_token&code=ABC", "DTEND": "",
	} {
		if got := e.text(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var triggers []string
	for _, a := range e.all("VALARM") {
		triggers = append(triggers, a.text("TRIGGER"))
	}
	if !slices.Equal(triggers, []string{"-P30D", "-P14D", "-P7D", "-P3D", "-P1D", "PT0S"}) {
		t.Errorf("%v", triggers)
	}
}

// pythonICS reads a calendar with Debian's python3-icalendar.
const pythonICS = `
import sys, json, icalendar
cal = icalendar.Calendar.from_ical(sys.stdin.buffer.read())
out = []
for e in cal.walk("VEVENT"):
    out.append({"summary": str(e["SUMMARY"]), "uid": str(e["UID"]), "start": e.decoded("DTSTART").isoformat(),
        "description": str(e.get("DESCRIPTION", "")), "comment": str(e.get("COMMENT", "")),
        "alarms": [int(a.decoded("TRIGGER").total_seconds()) for a in e.walk("VALARM")]})
json.dump({"method": str(cal["METHOD"]), "name": str(cal.get("NAME", "")), "events": out}, sys.stdout)
`

func TestCalendarReadByPython(t *testing.T) {
	services.Need(t, "python3")
	if _, err := os.Stat("/usr/lib/python3/dist-packages/icalendar"); err != nil {
		services.Missing(t, "python3-icalendar is not installed")
	}
	at := time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)
	name := `Läufe; 2026, \o/ "q" ` + strings.Repeat("ж", 100)
	s := calendarOf(methodPublish, name, []happening{
		{uid: "a/b+c==@x.org", at: at, stamp: at, summary: name, description: "a\nb\nBEGIN:VEVENT", comment: "c:d;e"},
		{uid: "2@x.org", at: at, stamp: at, summary: "second"},
	})
	cmd := exec.Command("/usr/bin/python3", "-c", pythonICS)
	cmd.Stdin = strings.NewReader(s)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var got struct {
		Method, Name string
		Events       []struct {
			Summary, UID, Start, Description, Comment string
			Alarms                                    []int
		}
	}
	must(t, json.Unmarshal(out, &got))
	if got.Method != "PUBLISH" || got.Name != name || len(got.Events) != 2 {
		t.Fatalf("%s", out)
	}
	e := got.Events[0]
	if e.Summary != name || e.UID != "a/b+c==@x.org" || e.Start != "2026-05-01T10:30:00+00:00" ||
		e.Description != "a\nb\nBEGIN:VEVENT" || e.Comment != "c:d;e" ||
		!slices.Equal(e.Alarms, []int{-30 * 86400, -14 * 86400, -7 * 86400, -3 * 86400, -86400, 0}) {
		t.Errorf("%+v", e)
	}
}

// Whatever texts there are, the calendar is one, has the events that were put in, and their texts.
func FuzzCalendar(f *testing.F) {
	f.Add("Mytokens", "job", "comment")
	f.Add("a\r\nEND:VCALENDAR\r\nBEGIN:VCALENDAR", "x\nATTENDEE:mailto:a@b.de", "\\n;,:\"")
	f.Add(strings.Repeat("ü", 80), strings.Repeat("x", 74)+"\u20ac", "\x00\u2028\x85")
	f.Add("\xff", "\ud7ff\ufffe", "\t \v")
	f.Fuzz(func(t *testing.T, name, summary, comment string) {
		at := time.Unix(1800000000, 0)
		s := calendarOf(methodPublish, name, []happening{{
			uid: "1@x.org", at: at, stamp: at, summary: summary, description: comment, comment: comment,
		}})
		cal, err := readICS(s)
		if err != nil {
			t.Fatalf("%v in\n%q", err, s)
		}
		if len(cal.parts) != 1 || len(cal.parts[0].parts) != len(alarms()) {
			t.Fatalf("%d parts in\n%q", len(cal.parts), s)
		}
		for _, c := range []struct{ got, want string }{
			{cal.text("NAME"), name}, {cal.parts[0].text("SUMMARY"), summary}, {cal.parts[0].text("DESCRIPTION"), comment},
		} {
			if want := kept(c.want); c.got != want {
				t.Fatalf("%q becomes %q, want %q", c.want, c.got, want)
			}
		}
	})
}

// kept is a text as it comes back: new lines are one kind, and control characters are gone.
func kept(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

func (b *bed) feed(id string) *httptest.ResponseRecorder {
	b.t.Helper()
	for _, r := range b.Routes() {
		if r.Path == PathFeed+"/{id}" {
			mux := http.NewServeMux()
			mux.Handle(r.Method+" "+r.Path, r.Page)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, PathFeed+"/"+id, nil))
			return w
		}
	}
	b.t.Fatal("no feed")
	return nil
}

func TestFeed(t *testing.T) {
	b := newBed(t)
	k, err := b.addCalendar(t.Context(), "alice", "farm", nil, true)
	must(t, err)
	hostile := "x\r\nEND:VEVENT\r\nATTENDEE:mailto:a@b.de;" + strings.Repeat("ü", 400)
	b.mt("alice", "m1", 30*day, func(t *ledger.Token) { t.Name = hostile })
	b.mt("alice", "m2", 10*day)
	b.mt("alice", "gone", 10*day)
	b.mt("alice", "endless", 0)
	b.mt("bob", "of bob", 10*day)
	for _, m := range []string{"m1", "m2", "gone"} {
		_, err := b.enter(t.Context(), "alice", k.ID, m, "for the farm")
		must(t, err)
	}
	_, err = b.enter(t.Context(), "alice", k.ID, "endless", "")
	is(t, err, ErrNoEnd)
	_, err = b.enter(t.Context(), "alice", k.ID, "of bob", "")
	is(t, err, ErrUnknown)
	b.people.all[2].Condition = ledger.Ended
	w := b.feed(k.ID)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/calendar; charset=utf-8" ||
		w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	cal, err := readICS(w.Body.String())
	must(t, err)
	events := cal.all("VEVENT")
	if len(events) != 2 || events[0].text("UID") != "m2@mytoken.example.org" || cal.text("NAME") != "farm" ||
		events[0].text("SUMMARY") != "Mytoken 'job of alice' expires" || events[0].text("COMMENT") != "for the farm" {
		t.Fatalf("%+v", events)
	}
	if s := events[1].text("SUMMARY"); strings.Contains(s, "\n") || len(s) > 120 {
		t.Errorf("%q", s)
	}
	for _, bad := range []string{"x", strings.Repeat("A", 32), "farm", k.ID + "A"} {
		if w := b.feed(bad); w.Code != 404 {
			t.Errorf("%q: %d", bad, w.Code)
		}
	}
	must(t, b.removeCalendar(t.Context(), "alice", k.ID))
	if w := b.feed(k.ID); w.Code != 404 {
		t.Errorf("deleted: %d", w.Code)
	}
}

func TestInvitation(t *testing.T) {
	b := newBed(t)
	b.verified("alice", "alice@example.org")
	b.mt("alice", "m1", 30*day)
	b.mt("alice", "endless", 0)
	must(t, b.invite(t.Context(), "alice", "m1", requestOf("for the farm")))
	is(t, b.invite(t.Context(), "alice", "endless", requestOf("")), ErrNoEnd)
	is(t, b.invite(t.Context(), "alice", "m1", requestOf("a\nb")), ErrName)
	is(t, b.invite(t.Context(), "bob", "m1", requestOf("")), ErrNoEnd)
	got := b.sends()
	if len(got) != 1 {
		t.Fatal(subjects(got))
	}
	cal, err := readICS(got[0].Invitation)
	must(t, err)
	e := cal.parts[0]
	if cal.text("METHOD") != "REQUEST" || e.text("ORGANIZER") != "mailto:mytoken@example.org" ||
		e.text("ATTENDEE") != "mailto:alice@example.org" || e.text("UID") != "m1@mytoken.example.org" {
		t.Errorf("%s", got[0].Invitation)
	}
	if !slices.ContainsFunc(b.sends(), func(mail.Message) bool { return true }) {
		return
	}
	t.Error("it is sent twice")
}
