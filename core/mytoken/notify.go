package mytoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const endpointNotifications = "notifications_endpoint"

// Kinds of notification.
const (
	NotifyMail   = "mail"
	NotifyInvite = "ics_invite" // one mail with an invitation
)

// Notification tells a person what happens to mytokens.
type Notification struct {
	Type     string
	Code     secret.Text // manages it: the credential of changes
	UserWide bool
	Classes  []string
	MOMIDs   []string // of the mytokens it is about, where it is not about all
}

// Notifications lists them.
func (c *Client) Notifications(ctx context.Context, mt secret.Text) ([]Notification, *Issued, error) {
	const op = "notifications"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointNotifications, target: below(c.server.NotificationsEndpoint), method: http.MethodGet,
	})
	if err != nil {
		return nil, update, err
	}
	list, err := listOf(a, "notifications", func(o jose.Object) (n Notification, err error) {
		code, _ := o.String("management_code")
		n.Code = secret.FromString(code)
		n.UserWide, _ = o.Bool("user_wide")
		n.MOMIDs, _ = o.OneOrMore("subscribed_tokens")
		if n.Type, err = o.String("notification_type"); err == nil {
			n.Classes, err = o.OneOrMore("notification_classes")
		}
		return n, err
	})
	if err != nil {
		return nil, update, c.bad(op, err)
	}
	return list, update, nil
}

// NotificationRequest is what to be told, and of what. Without UserWide it is about the mytoken that is used, or that of
// MOMID.
type NotificationRequest struct {
	Type            string
	Classes         []string
	MOMID           string
	IncludeChildren bool
	UserWide        bool
	Comment         string
}

// Notify makes a notification. code is what it is managed with, empty for an invitation.
func (c *Client) Notify(
	ctx context.Context, mt secret.Text, r NotificationRequest,
) (code secret.Text, update *Issued, err error) {
	const op = "make a notification"
	q := call{op: op, endpoint: endpointNotifications, target: below(c.server.NotificationsEndpoint)}
	q.body.put("notification_type", r.Type)
	q.body.list("notification_classes", r.Classes)
	q.body.text("mom_id", r.MOMID)
	q.body.flag("include_children", r.IncludeChildren)
	q.body.flag("user_wide", r.UserWide)
	q.body.text("comment", r.Comment)
	a, update, err := c.managed(ctx, mt, q)
	if err != nil {
		return secret.Text{}, update, err
	}
	text, err := a.String("management_code")
	if err == nil && text == "" && r.Type == NotifyMail {
		err = fmt.Errorf("%w: no management_code in it", ErrAnswer)
	}
	if err != nil {
		return secret.Text{}, update, c.bad(op, err)
	}
	return secret.FromString(text), update, nil
}

// coded is a request about one notification; its code is all that it needs.
func (c *Client) coded(ctx context.Context, op, method string, code secret.Text, q call, more ...string) error {
	q.op, q.method, q.endpoint, q.secrets = op, method, endpointNotifications, []secret.Text{code}
	if code.Empty() {
		return fmt.Errorf("%s: %w: it has no management code", op, ErrRequest)
	}
	q.target = below(c.server.NotificationsEndpoint, append([]string{code.Expose()}, more...)...)
	_, _, err := c.do(ctx, q)
	var lost *httpc.Error
	if errors.As(err, &lost) { // its text has the path, and that is the credential
		lost.URL = strings.ReplaceAll(lost.URL, code.Expose(), "...")
	}
	return err
}

// SetNotificationClasses changes what a notification tells.
func (c *Client) SetNotificationClasses(ctx context.Context, code secret.Text, classes []string) error {
	var q call
	q.body.put("notification_classes", classes)
	return c.coded(ctx, "change a notification", http.MethodPut, code, q, "nc")
}

// EndNotification deletes a notification.
func (c *Client) EndNotification(ctx context.Context, code secret.Text) error {
	return c.coded(ctx, "delete a notification", http.MethodDelete, code, call{})
}

// NotificationToken says which mytoken a notification is to be about, or no longer: Token, or one of its person's by
// MOMID.
type NotificationToken struct {
	Token           secret.Text
	MOMID           string
	IncludeChildren bool
	Remove          bool
}

// NotifyOf changes which mytokens a notification is about.
func (c *Client) NotifyOf(ctx context.Context, code secret.Text, t NotificationToken) error {
	var q call
	q.body.text("mom_id", t.MOMID)
	if t.MOMID == "" {
		if err := usable(t.Token); err != nil {
			return err
		}
		q.body.secret("mytoken", t.Token)
	}
	if t.Remove {
		return c.coded(ctx, "take a mytoken from a notification", http.MethodDelete, code, q, "token")
	}
	q.body.flag("include_children", t.IncludeChildren)
	return c.coded(ctx, "add a mytoken to a notification", http.MethodPost, code, q, "token")
}

// Calendar shows when mytokens expire.
type Calendar struct {
	ID, Name string // servers know calendars by one of them, or by both
	URL      string // of the feed; whoever has it can read it
	MOMIDs   []string
}

// Calendars lists the calendars of the person.
func (c *Client) Calendars(ctx context.Context, mt secret.Text) ([]Calendar, *Issued, error) {
	const op = "calendars"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointNotifications, target: c.calendarURL(), method: http.MethodGet,
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
	k.URL, err = o.String("ics_path")
	return k, err
}

func (c *Client) calendarURL(more ...string) string {
	return below(c.server.NotificationsEndpoint, append([]string{"calendars"}, more...)...)
}

// AddCalendar makes a calendar.
func (c *Client) AddCalendar(ctx context.Context, mt secret.Text, name string) (Calendar, *Issued, error) {
	const op = "make a calendar"
	q := call{op: op, endpoint: endpointNotifications, target: c.calendarURL()}
	q.body.put("name", name)
	q.body.put("description", name) // its name at newer servers
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
	return c.changed(ctx, mt, call{
		op: "delete a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar), method: http.MethodDelete,
	})
}

// Subscribe puts a mytoken into a calendar: the one that is used, or that of momID.
func (c *Client) Subscribe(ctx context.Context, mt secret.Text, calendar, momID, comment string) (*Issued, error) {
	q := call{op: "put a mytoken into a calendar", endpoint: endpointNotifications, target: c.calendarURL(calendar)}
	q.body.text("mom_id", momID)
	q.body.text("comment", comment)
	return c.changed(ctx, mt, q)
}
