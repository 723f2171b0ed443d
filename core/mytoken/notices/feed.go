package notices

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// Feed is a calendar as anybody sees it who has its address.
type Feed struct {
	Name    string
	URL     string // of the text/calendar
	Entries []Entry
}

// Entry is a mytoken that will end, or has ended not long ago.
type Entry struct {
	MOMID, Name, Comment string
	Created, Expires     time.Time
	Again                string // URL at which another like it can be made
}

// Feed returns what is in a calendar, by its id, in the order of the ends. Mytokens that were revoked or are not kept
// any more are left out. ErrUnknown.
func (n *Notices) Feed(ctx context.Context, calID string) (Feed, error) {
	var (
		r    *calendarRecord
		user string
	)
	again := make(map[string]string)
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		c, err := n.look(tx, calID, forCalendar)
		if err != nil {
			return err
		}
		user = c.User
		if r, err = get[calendarRecord](tx, kindCalendar, user, c.Calendar); err != nil {
			return err
		}
		for _, a := range r.Tokens {
			t, err := get[tokenRecord](tx, kindToken, user, a.MOMID)
			if errors.Is(err, ErrUnknown) {
				continue
			}
			if err != nil {
				return err
			}
			again[a.MOMID] = t.Again
		}
		return nil
	})
	if err != nil {
		return Feed{}, fmt.Errorf("look up a calendar: %w", err)
	}
	f := Feed{Name: r.Name, URL: n.feedURL(calID)}
	all, err := n.o.Tokens.List(ctx, user)
	if err != nil {
		return Feed{}, fmt.Errorf("read a calendar: %w", err)
	}
	tags, err := n.marks(ctx, user, len(r.Tags) > 0)
	if err != nil {
		return Feed{}, err
	}
	for _, t := range all {
		if t.Condition == ledger.Ended || t.Expires.IsZero() || !r.has(subject{t.MOMID, t.Path, tags(t)}) {
			continue
		}
		e := Entry{MOMID: t.MOMID, Name: t.Name, Created: t.Created, Expires: t.Expires}
		if at := slices.IndexFunc(r.Tokens, func(a about) bool { return a.MOMID == t.MOMID }); at >= 0 {
			e.Comment = r.Tokens[at].Comment
		}
		if code := again[t.MOMID]; code != "" {
			e.Again = n.link(forRecreating, code)
		}
		f.Entries = append(f.Entries, e)
	}
	sorted.By(f.Entries, func(a, b Entry) int { return a.Expires.Compare(b.Expires) })
	f.Entries = f.Entries[:min(len(f.Entries), maxEntries)]
	return f, nil
}

// maxEntries bounds a feed: tags can put any number of mytokens into it.
const maxEntries = 500

func (n *Notices) feedURL(calID string) string { return n.base + PathFeed + "/" + calID }

// serveFeed answers GET /calendars/{id}: text/calendar for whoever has the address.
func (n *Notices) serveFeed(w http.ResponseWriter, r *http.Request) error {
	f, err := n.Feed(r.Context(), r.PathValue("id"))
	if errors.Is(err, ErrUnknown) {
		return httpd.Refuse(http.StatusNotFound, "not_found", "there is no such calendar")
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/calendar; charset=utf-8")
	h.Set("Content-Disposition", `inline; filename="mytokens.ics"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	_, _ = w.Write([]byte(n.ics(f))) // that the reader has gone away is not ours to report
	return nil
}

func (n *Notices) ics(f Feed) string {
	events := make([]happening, len(f.Entries))
	for i, e := range f.Entries {
		events[i] = n.happening(e)
	}
	name := f.Name
	if name == "" {
		name = "Mytokens"
	}
	return calendarOf(methodPublish, name, events)
}

// happening is the event of a mytoken. Its UID is the same in all calendars and invitations.
func (n *Notices) happening(e Entry) happening {
	h := happening{
		uid: e.MOMID + "@" + n.host, at: e.Expires, stamp: e.Created, url: e.Again,
		summary: fmt.Sprintf("Mytoken '%s' expires", shown(e.Name)), comment: oneLine(e.Comment, maxComment),
	}
	h.description = fmt.Sprintf("The mytoken '%s' at %s, made on %s, expires.", shown(e.Name), n.host,
		e.Created.UTC().Format(time.DateOnly))
	if e.Again != "" {
		h.description += "\nAnother one like it can be made here:\n" + e.Again
	}
	return h
}
