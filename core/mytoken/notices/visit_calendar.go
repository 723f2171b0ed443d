package notices

import (
	"context"
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// tokenOf is short for the ledger's.
type tokenOf = ledger.Token

const live = ledger.Live

// Calendars lists those of a person.
func (n *Notices) Calendars(ctx context.Context, c desk.Caller) (
	out []mytoken.Calendar, update *desk.Issued, err error,
) {
	all, update, err := n.calendarsFor(ctx, c)
	for _, r := range all {
		out = append(out, n.calendarWire(r))
	}
	return out, update, err
}

func (n *Notices) calendarsFor(ctx context.Context, c desk.Caller) (
	all []calendarRecord, update *desk.Issued, err error,
) {
	update, err = n.with(ctx, c, capReadNotify, func(v Visit) (string, string, error) {
		all, err = n.calendars(ctx, v.User())
		return eventCalListed, "", err
	})
	return all, update, err
}

func (n *Notices) calendarWire(r calendarRecord) mytoken.Calendar {
	out := mytoken.Calendar{ID: r.ID, Name: r.title(), URL: n.feedURL(r.ID)}
	for _, a := range r.Tokens {
		out.MOMIDs = append(out.MOMIDs, a.MOMID)
	}
	return out
}

// title is the name of a calendar, its id where it has none.
func (r calendarRecord) title() string {
	if r.Name == "" {
		return r.ID
	}
	return r.Name
}

// AddCalendar makes one, with a name that the person has for no other.
func (n *Notices) AddCalendar(ctx context.Context, c desk.Caller, name string) (*desk.Issued, error) {
	if name == "" {
		return nil, refusal(ErrName)
	}
	_, update, err := n.makeCalendar(ctx, c, name, nil, true)
	return update, err
}

func (n *Notices) makeCalendar(ctx context.Context, c desk.Caller, name string, tags []string, unique bool) (
	r calendarRecord, update *desk.Issued, err error,
) {
	update, err = n.with(ctx, c, capNotify, func(v Visit) (string, string, error) {
		r, err = n.addCalendar(ctx, v.User(), name, tags, unique)
		return eventCalCreated, name, err
	})
	return r, update, err
}

// RemoveCalendar deletes one, by its id or name.
func (n *Notices) RemoveCalendar(ctx context.Context, c desk.Caller, nameOrID string) (*desk.Issued, error) {
	return n.with(ctx, c, capNotify, func(v Visit) (string, string, error) {
		r, err := n.calendar(ctx, v.User(), nameOrID)
		if err == nil {
			err = n.removeCalendar(ctx, v.User(), r.ID)
		}
		return eventCalDeleted, r.Name, err
	})
}

// updateCalendar changes name and tags of one, where they are not nil.
func (n *Notices) updateCalendar(ctx context.Context, c desk.Caller, nameOrID string, name *string, tags []string) (
	r calendarRecord, update *desk.Issued, err error,
) {
	update, err = n.with(ctx, c, capNotify, func(v Visit) (string, string, error) {
		r, err = n.calendar(ctx, v.User(), nameOrID)
		if err == nil {
			r, err = n.renameCalendar(ctx, v.User(), r.ID, name, tags)
		}
		return eventCalUpdated, r.Name, err
	})
	return r, update, err
}

// Subscribe puts a mytoken into a calendar: the one of the caller where momID is "".
func (n *Notices) Subscribe(ctx context.Context, c desk.Caller, calendar, momID string) (*desk.Issued, error) {
	_, update, err := n.subscribeCalendar(ctx, c, calendar, momID, "")
	return update, err
}

func (n *Notices) subscribeCalendar(ctx context.Context, c desk.Caller, calendar, momID, comment string) (
	r calendarRecord, update *desk.Issued, err error,
) {
	update, err = n.withToken(ctx, c, momID, func(v Visit, momID string) (string, string, error) {
		r, err = n.calendar(ctx, v.User(), calendar)
		if err == nil {
			r, err = n.enter(ctx, v.User(), r.ID, momID, comment)
		}
		if momID != v.MOMID() {
			return eventSubscribedOf, "mom_id: " + momID, err
		}
		return eventSubscribed, r.Name, err
	})
	return r, update, err
}

// unsubscribeCalendar takes a mytoken out of a calendar.
func (n *Notices) unsubscribeCalendar(ctx context.Context, c desk.Caller, calendar, momID string) (*desk.Issued, error) {
	return n.withToken(ctx, c, momID, func(v Visit, momID string) (string, string, error) {
		r, err := n.calendar(ctx, v.User(), calendar)
		if err == nil {
			_, err = n.leave(ctx, v.User(), r.ID, momID)
		}
		if momID != v.MOMID() {
			return eventUnsubscribedOf, "mom_id: " + momID, err
		}
		return eventUnsubscribed, r.Name, err
	})
}

// Email returns where mails of the caller's person go.
func (n *Notices) Email(ctx context.Context, c desk.Caller) (e mytoken.Email, update *desk.Issued, err error) {
	update, err = n.with(ctx, c, capReadMail, func(v Visit) (string, string, error) {
		e, err = n.Mail(ctx, v.User())
		return eventMailListed, "", err
	})
	return e, update, err
}

// SetEmail changes the address, where it is not "", and the form of mails.
func (n *Notices) SetEmail(ctx context.Context, c desk.Caller, address string, html bool) (*desk.Issued, error) {
	return n.setEmail(ctx, c, address, &html)
}

func (n *Notices) setEmail(ctx context.Context, c desk.Caller, address string, html *bool) (*desk.Issued, error) {
	if address == "" && html == nil {
		return nil, &desk.Error{
			Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "email_address or prefer_html_mail is needed",
		}
	}
	event := eventMailChanged
	if address == "" {
		event = eventMailForm
	}
	return n.with(ctx, c, capMail, func(v Visit) (string, string, error) {
		err := n.SetMail(ctx, v.User(), address, html)
		if err == nil {
			v.Notice(ctx, desk.Notice{Class: desk.ClassSettings, Event: event})
		}
		return event, "", err
	})
}
