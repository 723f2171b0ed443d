package mytoken

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Calendar shows when mytokens expire.
type Calendar struct {
	ID, Name string   // servers know calendars by one of them, or by both
	URL      string   // of the feed; whoever has it can read it
	MOMIDs   []string // of the mytokens in it
	Tags     []string // mytokens with one of these are in it as well
}

// Calendars lists the calendars of the person.
func (c *Client) Calendars(ctx context.Context, mt secret.Text) ([]Calendar, *Issued, error) {
	const op = "calendars"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointNotifications, target: c.calendarURL(), method: http.MethodGet,
		ssh: sshCall{action: SSHCalendars},
	})
	if err != nil {
		return nil, update, err
	}
	list, err := listOf(a, "calendars", readCalendar)
	if err != nil {
		return nil, update, c.bad(op, err)
	}
	return list, update, nil
}

func readCalendar(o jose.Object) (k Calendar, err error) {
	k.ID, _ = o.String("id")
	if k.Name, _ = o.String("name"); k.Name == "" {
		k.Name, _ = o.String("description")
	}
	k.MOMIDs, _ = o.OneOrMore("subscribed_tokens")
	k.Tags, _ = tagNames(o)
	k.URL, err = o.String("ics_path")
	return k, err
}

func (c *Client) calendarURL(more ...string) string {
	return below(c.server.NotificationsEndpoint, append([]string{"calendars"}, more...)...)
}

// AddCalendar makes a calendar. Tags are for servers that have them.
func (c *Client) AddCalendar(
	ctx context.Context, mt secret.Text, name string, tags ...string,
) (Calendar, *Issued, error) {
	const op = "make a calendar"
	q := call{op: op, endpoint: endpointNotifications, target: c.calendarURL()}
	q.body.put("name", name)
	q.body.put("description", name) // its name at newer servers
	q.body.list("tags", tags)
	q.ssh.action = SSHCreateCalendar
	a, update, err := c.managed(ctx, mt, q)
	if err != nil {
		return Calendar{}, update, err
	}
	k, err := readCalendar(a.Object)
	if err != nil {
		return Calendar{}, update, c.bad(op, err)
	}
	return k, update, nil
}

// RemoveCalendar deletes a calendar, by its id or name.
func (c *Client) RemoveCalendar(ctx context.Context, mt secret.Text, calendar string) (*Issued, error) {
	q := call{
		op: "delete a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar), method: http.MethodDelete,
	}
	q.ssh.action = SSHDeleteCalendar
	q.ssh.body.put("calendar_id", calendar)
	return c.changed(ctx, mt, q)
}

// Subscribe puts a mytoken into a calendar: the one that is used, or that of momID.
func (c *Client) Subscribe(ctx context.Context, mt secret.Text, calendar, momID, comment string) (*Issued, error) {
	q := call{op: "put a mytoken into a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar)}
	q.body.text("mom_id", momID)
	q.body.text("comment", comment)
	q.ssh.action = SSHCalendarAddToken
	q.ssh.body.put("calendar_id", calendar)
	q.ssh.body.text("mom_id", momID)
	q.ssh.body.text("comment", comment)
	return c.changed(ctx, mt, q)
}

// CalendarChange is what to change of a calendar. What is nil stays.
type CalendarChange struct {
	Description *string
	Tags        []string // all that it is to have
}

// ChangeCalendar changes a calendar, by its id, at servers that have ids.
func (c *Client) ChangeCalendar(
	ctx context.Context, mt secret.Text, calendar string, to CalendarChange,
) (*Issued, error) {
	q := call{
		op: "change a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar), method: http.MethodPut,
	}
	q.ssh.action = SSHUpdateCalendar
	q.ssh.body.put("calendar_id", calendar)
	for _, o := range []*object{&q.body, &q.ssh.body} {
		if to.Description != nil {
			o.put("description", *to.Description)
		}
		if to.Tags != nil {
			o.put("tags", to.Tags)
		}
	}
	return c.changed(ctx, mt, q)
}

// Unsubscribe takes a mytoken out of a calendar, by its id at servers that have ids: that of momID, which must not be
// empty: a request without one deletes the calendar.
func (c *Client) Unsubscribe(ctx context.Context, mt secret.Text, calendar, momID string) (*Issued, error) {
	q := call{
		op: "take a mytoken out of a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar),
		method: http.MethodDelete,
	}
	if momID == "" {
		return nil, errNoMOMID(q.op)
	}
	q.body.put("mom_id", momID)
	q.ssh.action = SSHCalendarDropToken
	q.ssh.body.put("calendar_id", calendar)
	q.ssh.body.put("mom_id", momID)
	return c.changed(ctx, mt, q)
}

func errNoMOMID(op string) error { return fmt.Errorf("%s: %w: it has no mom_id", op, ErrRequest) }

// Told is what a person is told of a mytoken, and which calendars it is in.
type Told struct {
	Notifications []Notification
	Calendars     []Calendar
	// ByMOMID has them for each, where several mytokens were asked about.
	ByMOMID map[string]Told
}

// Told lists the notifications and calendars of mt, or of the mytokens of momIDs.
func (c *Client) Told(ctx context.Context, mt secret.Text, momIDs ...string) (Told, *Issued, error) {
	a, update, err := c.info(ctx, actionNotifications, mt, momIDs)
	if err != nil {
		return Told{}, update, err
	}
	t, err := readTold(a.WithoutNull())
	if err != nil {
		return Told{}, update, c.bad(actionNotifications, err)
	}
	return t, update, nil
}

func readTold(o jose.Object) (t Told, err error) {
	in := answer{Object: o}
	if t.Notifications, err = listOf(in, "notifications", readNotification); err != nil {
		return t, err
	}
	if t.Calendars, err = listOf(in, "calendars", readCalendar); err != nil {
		return t, err
	}
	each, ok, err := o.Object("mom_id_mapping")
	if !ok || err != nil {
		return t, err
	}
	t.ByMOMID = map[string]Told{}
	for id := range each.All() {
		one, _, err := each.Object(id)
		if err != nil {
			return t, err
		}
		if one.Has("mom_id_mapping") {
			one = one.Without("mom_id_mapping")
		}
		if t.ByMOMID[id], err = readTold(one.WithoutNull()); err != nil {
			return t, err
		}
	}
	return t, nil
}
