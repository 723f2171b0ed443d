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
	Tags     []string // mytokens with one of these tags, at servers that have tags
}

// Notifications lists them.
func (c *Client) Notifications(ctx context.Context, mt secret.Text) ([]Notification, *Issued, error) {
	const op = "notifications"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointNotifications, target: below(c.server.NotificationsEndpoint), method: http.MethodGet,
		ssh: sshCall{action: SSHNotifications},
	})
	if err != nil {
		return nil, update, err
	}
	list, err := listOf(a, "notifications", readNotification)
	if err != nil {
		return nil, update, c.bad(op, err)
	}
	return list, update, nil
}

func readNotification(o jose.Object) (n Notification, err error) {
	code, _ := o.String("management_code")
	n.Code = secret.FromString(code)
	n.UserWide, _ = o.Bool("user_wide")
	n.MOMIDs, _ = o.OneOrMore("subscribed_tokens")
	n.Tags, _ = tagNames(o)
	if n.Type, err = o.String("notification_type"); err == nil {
		n.Classes, err = o.OneOrMore("notification_classes")
	}
	return n, err
}

// tagNames reads tags that are names, or objects with one.
func tagNames(o jose.Object) ([]string, error) {
	if names, err := o.OneOrMore("tags"); err == nil {
		return names, nil
	}
	list, err := elements(o, "tags")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, b := range list {
		t, err := readObject(b)
		if err != nil {
			return nil, err
		}
		name, err := t.String("tag")
		if err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, nil
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
	Tags            []string // of mytokens with one of these tags
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
	q.body.list("tags", r.Tags)
	q.ssh.action = SSHCreateNotification
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

// coded is withCode for a request whose answer says nothing.
func (c *Client) coded(ctx context.Context, op, method string, code secret.Text, q call, more ...string) error {
	_, err := c.withCode(ctx, op, method, code, q, more...)
	return err
}

// withCode is a request about one notification; its code is all that it needs.
func (c *Client) withCode(
	ctx context.Context, op, method string, code secret.Text, q call, more ...string,
) (answer, error) {
	q.op, q.method, q.endpoint, q.secrets = op, method, endpointNotifications, []secret.Text{code}
	if code.Empty() {
		return answer{}, fmt.Errorf("%s: %w: it has no management code", op, ErrRequest)
	}
	q.target = below(c.server.NotificationsEndpoint, append([]string{code.Expose()}, more...)...)
	a, _, err := c.do(ctx, q)
	var lost *httpc.Error
	if errors.As(err, &lost) { // its text has the path, and that is the credential
		lost.URL = strings.ReplaceAll(lost.URL, code.Expose(), "...")
	}
	return a, err
}

// Notification returns one notification, by its code.
func (c *Client) Notification(ctx context.Context, code secret.Text) (Notification, error) {
	const op = "look at a notification"
	if code.Empty() {
		return Notification{}, fmt.Errorf("%s: %w: it has no management code", op, ErrRequest)
	}
	a, err := c.withCode(ctx, op, http.MethodGet, code, call{get: true})
	if err != nil {
		return Notification{}, err
	}
	n, err := readNotification(a.WithoutNull())
	if err != nil {
		return Notification{}, c.bad(op, err)
	}
	n.Code = code.Clone()
	return n, nil
}

// NotificationChange is what to change of a notification. What is nil stays.
type NotificationChange struct {
	Classes, Tags []string
}

// ChangeNotification changes what a notification tells, and of mytokens with which tags.
func (c *Client) ChangeNotification(ctx context.Context, code secret.Text, n NotificationChange) error {
	var q call
	q.ssh.action = SSHUpdateNotification
	q.ssh.body.secret("management_code", code)
	if n.Classes != nil {
		q.body.put("notification_classes", n.Classes)
		q.ssh.body.put("classes", n.Classes)
	}
	if n.Tags != nil {
		q.body.put("tags", n.Tags)
		q.ssh.body.put("tags", n.Tags)
	}
	return c.coded(ctx, "change a notification", http.MethodPut, code, q, "nc")
}

// EndNotification deletes a notification.
func (c *Client) EndNotification(ctx context.Context, code secret.Text) error {
	var q call
	q.ssh.action = SSHDeleteNotification
	q.ssh.body.secret("management_code", code)
	return c.coded(ctx, "delete a notification", http.MethodDelete, code, q)
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
	q.ssh.action = SSHNotifyAddToken
	q.ssh.body.secret("management_code", code)
	q.ssh.body.text("mom_id", t.MOMID)
	q.body.text("mom_id", t.MOMID)
	if t.MOMID == "" {
		if err := c.usable(t.Token); err != nil {
			return err
		}
		q.body.secret("mytoken", t.Token)
	}
	if t.Remove {
		q.ssh.action = SSHNotifyRemoveToken
		return c.coded(ctx, "take a mytoken from a notification", http.MethodDelete, code, q, "token")
	}
	q.body.flag("include_children", t.IncludeChildren)
	q.ssh.body.flag("include_children", t.IncludeChildren)
	return c.coded(ctx, "add a mytoken to a notification", http.MethodPost, code, q, "token")
}
