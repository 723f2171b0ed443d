package notices

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

func codeOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	must(t, err)
	if !strings.HasPrefix(link, issuer+"/actions?") || !likeCode(u.Query().Get("code")) {
		t.Fatalf("link %q", link)
	}
	return u.Query().Get("code")
}

// linkIn finds the link of an action in a mail.
func linkIn(t *testing.T, m mail.Message, action purpose) string {
	t.Helper()
	for word := range strings.FieldsSeq(m.Text) {
		if strings.HasPrefix(word, issuer+"/actions?action="+string(action)+"&code=") {
			return word
		}
	}
	t.Fatalf("no link for %s in\n%s", action, m.Text)
	return ""
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		held, class string
		want        bool
	}{
		{"security", desk.ClassIPs, true},
		{"security", desk.ClassRestrictions, true},
		{"security", desk.ClassAccess, false},
		{"security:blocked_usages", desk.ClassCapabilities, true},
		{"security:blocked_usages", desk.ClassIPs, false},
		{desk.ClassIPs, "security", false},
		{desk.ClassExpiration, desk.ClassExpiration, true},
		{"sec", desk.ClassIPs, false},
	} {
		if got := covers([]string{c.held}, c.class); got != c.want {
			t.Errorf("%s covers %s: %v", c.held, c.class, got)
		}
	}
	for _, bad := range [][]string{nil, {}, {"unknown"}, {"security", "unknown"}, {"security:"}, {""}, {"created"}} {
		if _, err := checkClasses(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestEvents(t *testing.T) {
	from := desk.Origin{Client: netip.MustParseAddr("203.0.113.7"), UserAgent: "curl/8"}
	event := func(class string) desk.Notice {
		return desk.Notice{User: "alice", MOMID: "m1", Name: "job", Class: class, From: from}
	}
	setup := func(t *testing.T, s subscription) *bed {
		b := newBed(t)
		b.verified("alice", "alice@example.org")
		b.mt("alice", "m1", 0)
		b.mt("alice", "child", 0, func(t *ledger.Token) { t.Path = []string{"m1"} })
		b.mt("alice", "other", 0)
		_, err := b.subscribe(t.Context(), "alice", s)
		must(t, err)
		return b
	}
	t.Run("told_of_what_was_asked_for", func(t *testing.T) {
		b := setup(t, subscription{classes: []string{"security"}, momID: "m1", comment: "the farm"})
		b.tell(event(desk.ClassSubtoken))
		b.tell(event(desk.ClassIPs))
		other := event(desk.ClassIPs)
		other.MOMID = "other"
		b.tell(other)
		other.MOMID = "child"
		b.tell(other)
		got := b.sends()
		if len(got) != 1 || got[0].Subject != "Mytoken 'job': used from a new address" {
			t.Fatal(subjects(got))
		}
		for _, want := range []string{"203.0.113.7", "curl/8", "the farm", "m1"} {
			if !strings.Contains(got[0].Text, want) {
				t.Errorf("no %q in\n%s", want, got[0].Text)
			}
		}
	})
	t.Run("children_when_asked_for", func(t *testing.T) {
		b := setup(t, subscription{classes: []string{"security"}, momID: "m1", children: true})
		e := event(desk.ClassIPs)
		e.MOMID = "child"
		b.tell(e)
		if got := b.sends(); len(got) != 1 {
			t.Error(subjects(got))
		}
	})
	t.Run("access_tokens_are_summed_up", func(t *testing.T) {
		b := setup(t, subscription{classes: []string{desk.ClassAccess}, wide: true})
		for i := range 1000 {
			e := event(desk.ClassAccess)
			e.MOMID = fmt.Sprint("m", i%70)
			b.tell(e)
		}
		b.flush(t.Context())
		early := b.sends()
		b.clock.move(time.Hour)
		got := b.sends()
		if len(early) != 0 || len(got) != 1 || got[0].Subject != "Your mytokens: 1000 events" {
			t.Fatalf("%v, then %v", subjects(early), subjects(got))
		}
		if len(got[0].Text) > 16<<10 {
			t.Errorf("%d bytes", len(got[0].Text))
		}
		b.clock.move(time.Hour)
		if got := b.sends(); len(got) != 0 {
			t.Error(subjects(got))
		}
	})
	t.Run("many_become_a_sum", func(t *testing.T) {
		b := setup(t, subscription{classes: []string{"security"}, wide: true})
		for range 500 { // somebody tries a mytoken without the capability, again and again
			b.tell(event(desk.ClassCapabilities))
		}
		b.flush(t.Context())
		first := b.sends()
		b.clock.move(time.Hour)
		got := b.sends()
		if len(first) != b.o.Limits.PerHour || len(got) != 1 || got[0].Subject != "Your mytokens: 480 events" {
			t.Errorf("%d mails, then %v", len(first), subjects(got))
		}
	})
	t.Run("ended_by_the_link_in_a_mail", func(t *testing.T) {
		b := setup(t, subscription{classes: []string{"security"}, wide: true})
		b.tell(event(desk.ClassIPs))
		got := b.sends()
		must(t, b.act(t.Context(), forUnsubscribe, codeOf(t, got[0].Unsubscribe)))
		b.tell(event(desk.ClassIPs))
		if got := b.sends(); len(got) != 0 {
			t.Error(subjects(got))
		}
		is(t, b.act(t.Context(), forUnsubscribe, codeOf(t, got[0].Unsubscribe)), ErrUnknown)
	})
	t.Run("asked_for_with_the_mytoken", func(t *testing.T) {
		b := newBed(t)
		b.mt("alice", "m1", 10*day)
		b.tell(desk.Notice{
			User: "alice", MOMID: "m1", Class: desk.ClassCreated, Email: "alice@example.org", EmailVerified: true,
			Wishes: &desk.Wishes{Subscribe: []byte(`[{"notification_type":"mail","notification_classes":["security"]},
				{"notification_type":"ics_invite"},{"notification_type":"mail","notification_classes":["nonsense"]},
				{"notification_type":"ws","notification_classes":["security"]}]`)},
		})
		subs, err := b.subscriptions(t.Context(), "alice")
		if err != nil || len(subs) != 1 || !slices.Equal(momIDs(subs[0].Tokens), []string{"m1"}) {
			t.Errorf("%+v %v", subs, err)
		}
		if got := b.sends(); len(got) != 1 || got[0].Invitation == "" {
			t.Error(subjects(got))
		}
		for _, hostile := range []string{"[", "{}", `"x"`, `[1]`, "[" + strings.Repeat("{},", 50) + "{}]"} {
			b.tell(desk.Notice{
				User: "alice", MOMID: "m1", Class: desk.ClassCreated, Wishes: &desk.Wishes{Subscribe: []byte(hostile)},
			})
		}
		if again, _ := b.subscriptions(t.Context(), "alice"); len(again) != 1 {
			t.Errorf("%d notifications", len(again))
		}
	})
}

// What is subscribed by tag is about the mytokens that have the tag at the time.
func TestTags(t *testing.T) {
	tags := map[string][]string{"m1": {"farm", "test"}, "m2": {"other"}}
	b := newBed(t, func(o *Options) {
		o.Tags = func(_ context.Context, user string) (func(ledger.Token) []string, error) {
			return func(t ledger.Token) []string {
				if t.User != user {
					return nil
				}
				return tags[t.MOMID]
			}, nil
		}
	})
	b.verified("alice", "alice@example.org")
	b.mt("alice", "m1", 100*day)
	b.mt("alice", "m2", 100*day)
	_, err := b.Notify(t.Context(), b.by("m2"), mytoken.NotificationRequest{
		Type: "mail", Classes: []string{"security", "expiration"}, Tags: []string{"farm"},
	})
	must(t, err)
	k, err := b.addCalendar(t.Context(), "alice", "a", []string{"farm"}, true)
	must(t, err)
	told := func() []string {
		b.tell(desk.Notice{User: "alice", MOMID: "m1", Name: "one", Class: desk.ClassIPs})
		b.tell(desk.Notice{User: "alice", MOMID: "m2", Name: "two", Class: desk.ClassIPs})
		return subjects(b.sends())
	}
	inFeed := func() (ids []string) {
		f, err := b.Feed(t.Context(), k.ID)
		must(t, err)
		for _, e := range f.Entries {
			ids = append(ids, e.MOMID)
		}
		return ids
	}
	if got := told(); len(got) != 1 || !strings.Contains(got[0], "'one'") || !slices.Equal(inFeed(), []string{"m1"}) {
		t.Errorf("%v, calendar %v", got, inFeed())
	}
	tags["m1"], tags["m2"] = nil, []string{"farm"}
	if got := told(); len(got) != 1 || !strings.Contains(got[0], "'two'") || !slices.Equal(inFeed(), []string{"m2"}) {
		t.Errorf("%v, calendar %v", got, inFeed())
	}
	b.clock.move(71 * day)
	if got := b.sends(); len(got) != 1 || !strings.Contains(got[0].Text, "m2") {
		t.Errorf("%v", subjects(got))
	}
	b.people.all = nil
	b.sender.tidied = time.Time{}
	b.sends()
	if subs, err := b.subscriptions(t.Context(), "alice"); err != nil || len(subs) != 1 {
		t.Errorf("a notification by tag went with the mytokens: %v %v", subs, err)
	}
	t.Run("needs_the_capability_for_all", func(t *testing.T) {
		b.mt("alice", "weak", 0, func(t *ledger.Token) { t.Capabilities = mytoken.Capabilities{"tokeninfo"} })
		_, err := b.Notify(t.Context(), b.by("weak"), mytoken.NotificationRequest{
			Type: "mail", Classes: []string{"security"}, Tags: []string{"farm"},
		})
		refused(t, err, 403, desk.CodeCapabilities)
	})
}

func TestMailSettings(t *testing.T) {
	get := func(b *bed) mytoken.Email {
		e, err := b.Mail(b.t.Context(), "alice")
		must(b.t, err)
		return e
	}
	t.Run("confirmed_by_the_link", func(t *testing.T) {
		b := newBed(t)
		must(t, b.SetMail(t.Context(), "alice", "Alice@Example.org", nil))
		got := b.sends()
		if len(got) != 1 || got[0].To.String() != "Alice@example.org" || get(b).Verified {
			t.Fatal(subjects(got))
		}
		_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, wide: true})
		is(t, err, ErrMailRequired)
		code := codeOf(t, linkIn(t, got[0], forConfirming))
		must(t, b.confirm(t.Context(), code))
		if e := get(b); !e.Verified || e.Address != "Alice@example.org" {
			t.Errorf("%+v", e)
		}
		must(t, b.confirm(t.Context(), code)) // a second click
		b.clock.move(time.Hour)
		is(t, b.confirm(t.Context(), code), ErrUnknown)
	})
	t.Run("code_of_another_address_is_no_good", func(t *testing.T) {
		b := newBed(t)
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
		code := codeOf(t, linkIn(t, b.sends()[0], forConfirming))
		must(t, b.SetMail(t.Context(), "alice", "alice@example.com", nil))
		is(t, b.confirm(t.Context(), code), ErrUnknown)
		if get(b).Verified {
			t.Error("confirmed")
		}
	})
	t.Run("too_late", func(t *testing.T) {
		b := newBed(t)
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
		code := codeOf(t, linkIn(t, b.sends()[0], forConfirming))
		b.clock.move(confirmFor)
		is(t, b.confirm(t.Context(), code), ErrUnknown)
	})
	t.Run("until_confirmed_mails_go_to_the_one_before_who_is_told", func(t *testing.T) {
		b := newBed(t)
		b.verified("alice", "alice@example.org")
		b.mt("alice", "m1", 0)
		_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, wide: true})
		must(t, err)
		must(t, b.SetMail(t.Context(), "alice", "thief@example.net", nil))
		b.tell(desk.Notice{User: "alice", MOMID: "m1", Name: "job", Class: desk.ClassIPs})
		want := []string{
			"alice@example.org: Mytoken 'job': used from a new address",
			"alice@example.org: Your mail address is being changed", "thief@example.net: Confirm your mail address",
		}
		if got := subjects(b.sends()); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
		if e := get(b); !e.Verified || len(b.sends()) != 0 {
			t.Errorf("back to the confirmed address: %+v", e)
		}
	})
	t.Run("no_mail_cannon", func(t *testing.T) {
		b := newBed(t)
		sent := 0
		for i := range 100 {
			err := b.SetMail(t.Context(), "alice", fmt.Sprintf("victim%d@example.org", i), nil)
			refusedLater(t, err, i >= 5)
			sent += len(b.sends())
		}
		for i := range 100 { // many people, one victim
			user := fmt.Sprint("user", i)
			err := b.SetMail(t.Context(), user, "Victim@example.org", nil)
			refusedLater(t, err, i >= perAddress)
			sent += len(b.sends())
		}
		if sent != 5+perAddress {
			t.Errorf("%d mails", sent)
		}
		b.clock.move(time.Hour)
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
	})
	t.Run("hostile_addresses", func(t *testing.T) {
		b := newBed(t)
		for _, s := range []string{"a@b.de\r\nBcc: x@y.de", "Alice <a@b.de>", "a@localhost", "ä@b.de", "-oQ/tmp@b.de"} {
			is(t, b.SetMail(t.Context(), "alice", s, nil), ErrAddress)
			must(t, b.Learn(t.Context(), "alice", s, true))
		}
		if b.rows() != 0 {
			t.Errorf("%d rows", b.rows())
		}
	})
	t.Run("what_the_provider_says_counts_once", func(t *testing.T) {
		b := newBed(t)
		must(t, b.Learn(t.Context(), "alice", "alice@example.org", false))
		must(t, b.Learn(t.Context(), "alice", "other@example.org", true))
		if e := get(b); e.Address != "alice@example.org" || e.Verified {
			t.Errorf("%+v", e)
		}
	})
	t.Run("html_when_preferred", func(t *testing.T) {
		b := newBed(t)
		html := true
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", &html))
		if got := b.sends(); len(got) != 1 || !strings.Contains(got[0].HTML, "<a href=") || !get(b).HTML {
			t.Errorf("%v", got)
		}
	})
	t.Run("no_mail_server", func(t *testing.T) {
		b := newBed(t, func(o *Options) { o.Open = nil })
		is(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil), ErrNoMail)
		b.tell(desk.Notice{User: "alice", Class: desk.ClassIPs})
		must(t, b.turn(t.Context(), b.held))
	})
}

func refusedLater(t *testing.T, err error, want bool) {
	t.Helper()
	var no *desk.Error
	later := err != nil && asDesk(refusal(err), &no) && no.Status == 429 && no.RetryAfter > 0 && no.RetryAfter <= time.Hour
	if later != want || !want && err != nil {
		t.Errorf("%v, refused for now: %v, want %v", err, later, want)
	}
}

func asDesk(err error, to **desk.Error) bool {
	e, ok := err.(*desk.Error) //nolint:errorlint // refusal returns it bare
	*to = e
	return ok
}

// Names, comments and addresses of strangers say nothing in mails but what they are.
func TestHostileTexts(t *testing.T) {
	hostile := []string{
		"a\r\nBcc: x@y.de\r\n\r\nbody", "<script>alert(1)</script>", "\u202egnp.exe", strings.Repeat("ü", 5000),
		"click https://evil.example now", "\x00\x07\x1b[31m", "\xff\xfe", "{{.}} %s %n", "a\u2028b", "=?utf-8?q?Bcc:_x?=",
		"\ufeff\u200b", `"><img src=x>`, "-- \nsignature", ".\r\nMAIL FROM:<a@b.de>", "a@b.de",
	}
	b := newBed(t)
	html := true
	b.verified("alice", "alice@example.org")
	must(t, b.SetMail(t.Context(), "alice", "", &html))
	b.mt("alice", "m1", 0)
	_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, wide: true})
	must(t, err)
	b.o.Limits.PerHour = 1000
	b.o.Limits.PerDay = 1000
	for _, s := range hostile {
		b.tell(desk.Notice{
			User: "alice", MOMID: "m1", Name: s, Comment: s, Class: desk.ClassIPs,
			From: desk.Origin{Client: netip.MustParseAddr("203.0.113.7"), UserAgent: s},
		})
		got := b.sends() // the postman checks headers as the mailer does
		if len(got) != 1 {
			t.Fatalf("%q: %d mails", s, len(got))
		}
		inert(t, s, got[0])
	}
}

func inert(t *testing.T, s string, m mail.Message) {
	t.Helper()
	if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") {
		t.Errorf("%q is markup in\n%s", s, m.HTML)
	}
	for _, text := range []string{m.Text, m.HTML, m.Subject} {
		if strings.ContainsAny(text, "\r\x00\x07\x1b\u202e\u2028\u200b\ufeff") || strings.Contains(text, "https://evil") {
			t.Errorf("%q is in\n%s", s, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "MAIL FROM") || strings.HasPrefix(line, "signature") {
				t.Errorf("%q makes a line %q", s, line)
			}
		}
	}
	if len(m.Subject) > mail.MaxSubject || len(m.Text) > 8<<10 {
		t.Errorf("%d bytes of subject, %d of text", len(m.Subject), len(m.Text))
	}
}

func TestErase(t *testing.T) {
	b := newBed(t)
	fill := func(user string) {
		b.verified(user, user+"@example.org")
		b.mt(user, "m-"+user, 100*day)
		b.wantsEnds(user, "")
		_, err := b.subscribe(t.Context(), user, subscription{classes: []string{"security", desk.ClassAccess}, wide: true})
		must(t, err)
		k, err := b.addCalendar(t.Context(), user, "mine", nil, true)
		must(t, err)
		_, err = b.enter(t.Context(), user, k.ID, "m-"+user, "")
		must(t, err)
		b.tell(desk.Notice{User: user, MOMID: "m-" + user, Class: desk.ClassIPs})
		b.tell(desk.Notice{User: user, MOMID: "m-" + user, Class: desk.ClassAccess})
	}
	b.post.open = &mail.Error{Stage: "connect"}
	fill("bob")
	b.flush(t.Context())
	b.sends()
	before := b.rows()
	fill("alice")
	b.flush(t.Context())
	b.tell(desk.Notice{User: "alice", MOMID: "m-alice", Class: desk.ClassAccess}) // not yet written
	for range 2 {
		must(t, b.Erase(t.Context(), "alice"))
		if got := b.rows(); got != before {
			t.Errorf("%d rows are left, %d were before", got, before)
		}
	}
	b.flush(t.Context())
	if got := b.rows(); got != before {
		t.Errorf("%d rows after a flush", got)
	}
	t.Run("swept_with_the_ledger", func(t *testing.T) {
		delete(b.people.users, "bob")
		b.sender.tidied = time.Time{}
		b.sends()
		if got := b.rows(); got != 1 { // how many mails wait
			t.Errorf("%d rows", got)
		}
	})
}

func TestTidy(t *testing.T) {
	b := newBed(t)
	b.verified("alice", "alice@example.org")
	b.mt("alice", "m1", 100*day)
	b.mt("alice", "m2", 100*day)
	first, second := b.wantsEnds("alice", "m1"), b.wantsEnds("alice", "m2")
	must(t, b.addToken(t.Context(), second, "m1", false))
	k, err := b.addCalendar(t.Context(), "alice", "mine", nil, true)
	must(t, err)
	for _, m := range []string{"m1", "m2"} {
		_, err = b.enter(t.Context(), "alice", k.ID, m, "")
		must(t, err)
	}
	b.people.all = b.people.all[1:] // the ledger keeps m1 no longer
	b.sends()
	_, err = b.manage(t.Context(), first)
	is(t, err, ErrUnknown)
	m, err := b.manage(t.Context(), second)
	if err != nil || !slices.Equal(momIDs(m.Tokens), []string{"m2"}) {
		t.Errorf("%+v %v", m, err)
	}
	f, err := b.Feed(t.Context(), k.ID)
	if err != nil || len(f.Entries) != 1 {
		t.Errorf("%+v %v", f, err)
	}
	must(t, b.Erase(t.Context(), "alice"))
	if got := b.rows(); got > 1 {
		t.Errorf("%d rows are left", got)
	}
}
