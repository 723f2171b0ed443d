package approval

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

func TestTold(t *testing.T) {
	t.Run("administrators_and_person", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		b.turn()
		b.wantMails(admin, asksFor("alice"))
		b.wantMails(second, asksFor("alice"))
		b.wantMails("alice@people.example.org", "Your account on login.example.org was asked for")
		text := b.post.mails[0].Text
		for _, want := range []string{
			"alice@https%3A%2F%2Fop.example.org", "make the account alice with the primary group people", "put alice into vo_b",
			"good until 2026-11-29 10:00 UTC",
		} {
			if !strings.Contains(text+b.post.mails[1].Text, want) {
				t.Errorf("%q is not in the mail:\n%s", want, text)
			}
		}
		if a, s := b.links(admin), b.links(second); len(a) != 1 || len(s) != 1 || a[0] == s[0] {
			t.Errorf("links %q and %q", a, s)
		}
	})
	t.Run("person_gets_no_link_to_decide", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		b.turn()
		if l := b.links("alice@people.example.org"); len(l) != 0 {
			t.Errorf("links %q", l)
		}
	})
	t.Run("once", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		for range 3 {
			b.turn()
		}
		b.wantMails(admin, asksFor("alice"))
	})
	t.Run("by_another_process_too_once", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		b.turn()
		other, err := New(b.Office.o)
		must(t, err)
		b.Office = other
		b.turn()
		b.wantMails(admin, asksFor("alice"))
	})
	t.Run("changed_request_anew", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		b.turn()
		b.desk.ask("alice", "2")
		b.turn()
		b.wantMails(admin, asksFor("alice"), asksFor("alice")+", changed")
	})
	t.Run("change_of_groups", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1", func(r *provision.Request) { r.Change, r.Removed = true, []string{"vo_c"} })
		b.turn()
		b.wantMails(admin, "login.example.org: other groups for alice")
		if !strings.Contains(b.post.mails[0].Text+b.post.mails[1].Text, "take alice out of vo_c") {
			t.Error(b.post.mails[0].Text)
		}
	})
	t.Run("no_more_than_five_a_day", func(t *testing.T) {
		b := newBed(t)
		for i := range 9 {
			b.desk.ask("alice", string(rune('a'+i)))
			b.turn()
		}
		if n := len(b.post.to(admin)); n != mailsPerDay {
			t.Errorf("%d mails", n)
		}
		b.now = b.now.Add(25 * time.Hour)
		b.turn()
		if n := len(b.post.to(admin)); n != mailsPerDay+1 {
			t.Errorf("%d mails a day later", n)
		}
	})
	t.Run("address_that_is_none", func(t *testing.T) {
		b := newBed(t)
		b.desk.ask("alice", "1", func(r *provision.Request) { r.Email = "alice@example.org\r\nBcc: x@example.net" })
		b.turn()
		if len(b.post.mails) != 2 {
			t.Errorf("%d mails", len(b.post.mails))
		}
	})
}

func TestDecided(t *testing.T) {
	const to = "alice@people.example.org"
	before := "Your account on login.example.org was asked for"
	for name, accept := range map[string]bool{"accepted": true, "rejected": false} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			r := b.desk.ask("alice", "1")
			b.turn()
			asked, err := b.Decide(t.Context(), b.links(second)[0], accept, netip.MustParseAddr("192.0.2.7"))
			must(t, err)
			if asked.ID != r.ID || b.desk.states[r.ID].MayLogIn() != accept {
				t.Errorf("%+v, state %s", asked, b.desk.states[r.ID])
			}
			if by := b.desk.by[0]; by.Who != "link sent to "+second || by.Remote != "192.0.2.7" {
				t.Errorf("by %+v", by)
			}
			b.turn()
			b.turn()
			b.wantMails(to, before, "Your account on login.example.org")
			if got := strings.Contains(b.post.mails[3].Text, "ssh alice@login.example.org"); got != accept {
				t.Error(b.post.mails[3].Text)
			}
		})
	}
	t.Run("told_after_a_crash", func(t *testing.T) {
		b := newBed(t)
		r := b.desk.ask("alice", "1")
		b.turn()
		b.desk.tell = nil // the process died between the decision and the word of it
		_, err := b.Decide(t.Context(), b.links(admin)[0], true, netip.Addr{})
		must(t, err)
		b.wantMails(to, before)
		b.turn()
		b.wantMails(to, before, "Your account on login.example.org")
		if b.desk.states[r.ID] != state.Deployed {
			t.Error(b.desk.states)
		}
	})
	t.Run("withdrawn_silently", func(t *testing.T) {
		b := newBed(t)
		r := b.desk.ask("alice", "1")
		b.turn()
		delete(b.desk.waiting, r.ID)
		b.turn()
		b.wantMails(to, before)
	})
}

func TestLink(t *testing.T) {
	pending := func(t *testing.T) (*bed, string) {
		b := newBed(t)
		b.desk.ask("alice", "1")
		b.turn()
		return b, b.links(admin)[0]
	}
	refused := func(t *testing.T, b *bed, link string, want error) {
		t.Helper()
		if _, err := b.Look(t.Context(), link); !errors.Is(err, want) {
			t.Errorf("look: %v, want %v", err, want)
		}
		if _, err := b.Decide(t.Context(), link, true, netip.Addr{}); !errors.Is(err, want) {
			t.Errorf("decide: %v, want %v", err, want)
		}
		if len(b.desk.by) != 0 {
			t.Errorf("decided: %+v", b.desk.by)
		}
	}
	t.Run("looking_decides_nothing", func(t *testing.T) {
		b, link := pending(t)
		for range 3 {
			asked, err := b.Look(t.Context(), link)
			must(t, err)
			if asked.Name != "alice" || len(asked.Groups) != 2 {
				t.Errorf("%+v", asked)
			}
		}
		if len(b.desk.waiting) != 1 {
			t.Error("decided")
		}
	})
	t.Run("every_bit_counts", func(t *testing.T) {
		b, link := pending(t)
		raw, err := base64.RawURLEncoding.DecodeString(link)
		must(t, err)
		for i := range len(raw) * 8 {
			raw[i/8] ^= 1 << (i % 8)
			if _, err := b.Look(t.Context(), base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, ErrLink) {
				t.Fatalf("bit %d: %v", i, err)
			}
			raw[i/8] ^= 1 << (i % 8)
		}
	})
	t.Run("other_spellings", func(t *testing.T) {
		b, link := pending(t)
		for _, l := range []string{"", link + "A", link + "=", link[:len(link)-1], link + "\n", strings.Repeat("A", 100), "../" + link} {
			refused(t, b, l, ErrLink)
		}
	})
	t.Run("expired", func(t *testing.T) {
		b, link := pending(t)
		b.now = b.now.Add(DefaultLinkLife)
		refused(t, b, link, ErrLink)
	})
	t.Run("request_has_changed", func(t *testing.T) {
		b, link := pending(t)
		b.desk.ask("alice", "2", func(r *provision.Request) { r.Groups = []string{"vo_admins"} })
		refused(t, b, link, ErrOver)
	})
	t.Run("changed_between_look_and_decision", func(t *testing.T) {
		b, link := pending(t)
		b.Office.o.Desk = &late{desk: b.desk}
		if _, err := b.Decide(t.Context(), link, true, netip.Addr{}); !errors.Is(err, ErrOver) {
			t.Errorf("%v", err)
		}
		if len(b.desk.by) != 0 {
			t.Error("decided")
		}
	})
	t.Run("decided_already", func(t *testing.T) {
		b, link := pending(t)
		_, err := b.Decide(t.Context(), link, false, netip.Addr{})
		must(t, err)
		b.desk.by = nil
		refused(t, b, link, ErrOver)
		refused(t, b, b.links(second)[0], ErrOver)
	})
	t.Run("administrator_no_more", func(t *testing.T) {
		b, link := pending(t)
		b.Office.o.Admins = []mail.Address{address(t, second)}
		refused(t, b, link, ErrLink)
	})
	t.Run("of_another_service", func(t *testing.T) {
		b, _ := pending(t)
		_, foreign := pending(t)
		refused(t, b, foreign, ErrLink)
	})
}

// late is a desk at which the request changes after it was looked at.
type late struct{ *desk }

func (l *late) Decide(ctx context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error) {
	l.desk.ask("alice", "changed")
	return l.desk.Decide(ctx, id, revision, accept, by)
}

func TestOptions(t *testing.T) {
	for name, edit := range map[string]func(*Options){
		"no_store":      func(o *Options) { o.Engine = nil },
		"no_desk":       func(o *Options) { o.Desk = nil },
		"no_host":       func(o *Options) { o.Hostname = "" },
		"no_sender":     func(o *Options) { o.From = mail.Address{} },
		"crowd":         func(o *Options) { o.Admins = make([]mail.Address, MaxAdmins+1) },
		"eternal_links": func(o *Options) { o.LinkLife = 365 * 24 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			o := newBed(t).Office.o
			edit(&o)
			if _, err := New(o); !errors.Is(err, ErrOptions) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzLink(f *testing.F) {
	key := make([]byte, keyBytes)
	now := time.Unix(1_700_000_000, 0)
	f.Add(link{until: now.Add(time.Hour)}.sign(key))
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLink(text, key, now)
		if err == nil && l.sign(key) != text {
			t.Errorf("%q and %q are one link", text, l.sign(key))
		}
	})
}
