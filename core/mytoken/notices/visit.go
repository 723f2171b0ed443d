package notices

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Capabilities that are needed.
const (
	capReadNotify = "read@manage_mytokens:notify"
	capNotify     = "manage_mytokens:notify"
	capOwnNotify  = "tokeninfo:notify"
	capReadMail   = "read@settings:email"
	capMail       = "settings:email"
)

// Events of histories.
const (
	eventListed         = "notification_listed"
	eventCreated        = "notification_created"
	eventCreatedOther   = "notification_created_other"
	eventSubscribed     = "notification_subscribed"
	eventSubscribedOf   = "notification_subscribed_other"
	eventUnsubscribed   = "notification_unsubscribed"
	eventUnsubscribedOf = "notification_unsubscribed_other"
	eventCalCreated     = "calendar_created"
	eventCalListed      = "calendar_listed"
	eventCalDeleted     = "calendar_deleted"
	eventCalUpdated     = "calendar_updated"
	eventMailListed     = "email_settings_listed"
	eventMailChanged    = "email_changed"
	eventMailForm       = "email_mimetype_changed"
)

// refusal turns an error of this package into the words of the API; others stay what they are.
func refusal(err error) error {
	refuse := func(status int, code, text string) error {
		return &desk.Error{Status: status, Code: code, Description: text, Err: err}
	}
	var (
		later *LaterError
		said  *desk.Error
	)
	switch {
	case err == nil, errors.As(err, &said):
		return err
	case errors.As(err, &later):
		return &desk.Error{
			Status: http.StatusTooManyRequests, Code: desk.CodeTooMany, Description: "too many mails for now",
			RetryAfter: later.After, Err: err,
		}
	case errors.Is(err, ErrUnknown):
		return refuse(http.StatusNotFound, desk.CodeNotFound, "not found")
	case errors.Is(err, ErrMailRequired):
		return refuse(http.StatusUnprocessableEntity, desk.CodeMail, "email not verified")
	case errors.Is(err, ErrNoMail):
		return refuse(http.StatusNotImplemented, desk.CodeNotYet, ErrNoMail.Error())
	case errors.Is(err, ErrClass):
		return refuse(http.StatusBadRequest, desk.CodeRequest, err.Error())
	case errors.Is(err, ErrTooMany), errors.Is(err, store.ErrTooLarge):
		return refuse(http.StatusForbidden, desk.CodeRequest, ErrTooMany.Error())
	}
	for _, own := range []error{ErrAddress, ErrName, ErrNoEnd, ErrTaken} {
		if errors.Is(err, own) {
			return refuse(http.StatusBadRequest, desk.CodeRequest, own.Error())
		}
	}
	return err
}

// with does something for whoever comes with a mytoken. Nothing is counted for what is refused.
func (n *Notices) with(
	ctx context.Context, c desk.Caller, capability string, work func(v Visit) (event, comment string, err error),
) (*desk.Issued, error) {
	v, err := n.o.Enter(ctx, c, desk.Need{Capability: capability})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	event, comment, err := work(v)
	if err != nil {
		return nil, refusal(err)
	}
	return v.Done(ctx, event, comment)
}

// withToken is with for something about one mytoken, "" for the one in hand. That one, and those made from it, need
// less than others of the person.
func (n *Notices) withToken(
	ctx context.Context, c desk.Caller, momID string, work func(v Visit, momID string) (event, comment string, err error),
) (*desk.Issued, error) {
	return n.with(ctx, c, "", func(v Visit) (string, string, error) {
		if momID == "" {
			momID = v.MOMID()
		}
		held := v.Claims().Capabilities
		all, mine := rules.Allows(held, capNotify), rules.Allows(held, capOwnNotify)
		if !all && !mine {
			return "", "", n.incapable(ctx, v)
		}
		t, err := n.own(ctx, v.User(), momID)
		if errors.Is(err, ErrUnknown) {
			return "", "", &desk.Error{
				Status: http.StatusForbidden, Code: desk.CodeGrant, Description: "there is no such mytoken of yours", Err: err,
			}
		}
		if err != nil {
			return "", "", err
		}
		if !all && momID != v.MOMID() && !slices.Contains(t.Path, v.MOMID()) {
			return "", "", n.incapable(ctx, v)
		}
		return work(v, momID)
	})
}

// incapable refuses as desk does, and has the person told as desk does.
func (n *Notices) incapable(ctx context.Context, v Visit) error {
	v.Notice(ctx, desk.Notice{Class: desk.ClassCapabilities, Comment: capNotify})
	return &desk.Error{
		Status: http.StatusForbidden, Code: desk.CodeCapabilities,
		Description: "The provided token does not have the required capability for this operation",
	}
}

// Notifications lists those of a person.
func (n *Notices) Notifications(ctx context.Context, c desk.Caller) (
	out []mytoken.Notification, update *desk.Issued, err error,
) {
	subs, update, err := n.listed(ctx, c)
	for _, s := range subs {
		out = append(out, s.wire())
	}
	return out, update, err
}

func (n *Notices) listed(ctx context.Context, c desk.Caller) (subs []subRecord, update *desk.Issued, err error) {
	update, err = n.with(ctx, c, capReadNotify, func(v Visit) (string, string, error) {
		subs, err = n.subscriptions(ctx, v.User())
		return eventListed, "", err
	})
	return subs, update, err
}

// wire is a notification as the client's package has it.
func (r *subRecord) wire() mytoken.Notification {
	out := mytoken.Notification{
		Type: r.Type, Code: secret.FromString(r.Code), UserWide: r.Wide, Classes: r.Classes,
	}
	for _, a := range r.Tokens {
		out.MOMIDs = append(out.MOMIDs, a.MOMID)
	}
	return out
}

// Notify makes a notification, or sends an invitation. The code is empty for an invitation.
func (n *Notices) Notify(ctx context.Context, c desk.Caller, r mytoken.NotificationRequest) (*desk.Issued, error) {
	code, update, err := n.notify(ctx, c, r, r.Tags)
	code.Wipe()
	return update, err
}

func (n *Notices) notify(ctx context.Context, c desk.Caller, r mytoken.NotificationRequest, tags []string) (
	code secret.Text, update *desk.Issued, err error,
) {
	if err := n.notifiable(r); err != nil {
		return code, nil, refusal(err)
	}
	subscribe := func(v Visit, momID string) (string, string, error) {
		text, err := n.subscribe(ctx, v.User(), subscription{
			classes: r.Classes, tags: tags, wide: r.UserWide, momID: momID, children: r.IncludeChildren, comment: r.Comment,
		})
		code = secret.FromString(text)
		if momID != "" && momID != v.MOMID() {
			return eventCreatedOther, "mom_id: " + momID, err
		}
		return eventCreated, "", err
	}
	switch {
	case r.Type == mytoken.NotifyInvite:
		update, err = n.withToken(ctx, c, r.MOMID, func(v Visit, momID string) (string, string, error) {
			return eventSubscribed, "invitation", n.invite(ctx, v.User(), momID, r)
		})
	case r.UserWide, len(tags) > 0 && r.MOMID == "": // about more than one mytoken
		update, err = n.with(ctx, c, capNotify, func(v Visit) (string, string, error) { return subscribe(v, "") })
	default:
		update, err = n.withToken(ctx, c, r.MOMID, subscribe)
	}
	return code, update, err
}

// notifiable refuses what no mytoken makes possible.
func (n *Notices) notifiable(r mytoken.NotificationRequest) error {
	bad := func(status int, code, text string) error {
		return &desk.Error{Status: status, Code: code, Description: text}
	}
	switch {
	case r.Type == "ws":
		return bad(http.StatusNotImplemented, desk.CodeNotYet, "notifications by web socket are not implemented")
	case r.Type != mytoken.NotifyMail && r.Type != mytoken.NotifyInvite:
		return bad(http.StatusBadRequest, desk.CodeRequest, "unknown notification_type")
	case r.Type == mytoken.NotifyInvite && r.UserWide:
		return bad(http.StatusBadRequest, desk.CodeRequest, "an invitation is about one mytoken")
	case !n.Mails():
		return ErrNoMail
	}
	return nil
}

// maxInvitations is how many mytokens one request sends invitations for.
const maxInvitations = 8 // of seven rows each, below store.MaxWrites

// invite sends an invitation to the end of a mytoken, and to those of the ones made from it.
func (n *Notices) invite(ctx context.Context, user, momID string, r mytoken.NotificationRequest) error {
	if !validLine(r.Comment, maxComment) {
		return ErrName
	}
	all, err := n.o.Tokens.List(ctx, user)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t tokenOf) bool {
		mine := t.MOMID == momID || r.IncludeChildren && slices.Contains(t.Path, momID)
		return !mine || t.Expires.IsZero() || !n.now().Before(t.Expires) || t.Condition != live
	})
	switch {
	case len(all) == 0:
		return ErrNoEnd
	case len(all) > maxInvitations:
		return ErrTooMany
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, user)
		if err != nil {
			return err
		}
		if !p.Verified {
			return ErrMailRequired
		}
		for _, t := range all {
			rec, err := token(tx, user, t.MOMID)
			if err == nil {
				err = errors.Join(n.enqueue(tx, user, p, n.invitation(p, t, rec, r.Comment)),
					saveToken(tx, user, t.MOMID, rec))
			}
			if err != nil {
				return err
			}
		}
		return savePerson(tx, user, p)
	})
	if errors.Is(err, errNoRoom) {
		return &LaterError{time.Hour}
	}
	if err == nil {
		n.stir()
	}
	return err
}

// Notification returns the one that a management code is for.
func (n *Notices) Notification(ctx context.Context, code secret.Text) (mytoken.Notification, error) {
	m, err := n.manage(ctx, code.Expose())
	if err != nil {
		return mytoken.Notification{}, codeRefusal(err)
	}
	return m.wire(), nil
}

// SetClasses changes what a notification tells.
func (n *Notices) SetClasses(ctx context.Context, code secret.Text, classes []string) error {
	classes, err := checkClasses(classes)
	if err != nil {
		return refusal(err)
	}
	return n.setClasses(ctx, code.Expose(), classes, nil)
}

// setClasses changes classes, which were checked, and tags, where they are not nil.
func (n *Notices) setClasses(ctx context.Context, code string, classes, tags []string) error {
	return codeRefusal(n.change(ctx, code, func(_ string, r *subRecord) error {
		if classes != nil {
			r.Classes = classes
		}
		if tags != nil {
			r.Tags = tags
		}
		return nil
	}))
}

// End deletes a notification.
func (n *Notices) End(ctx context.Context, code secret.Text) error {
	return codeRefusal(n.end(ctx, code.Expose(), forManaging))
}

func codeRefusal(err error) error {
	if errors.Is(err, ErrUnknown) {
		return &desk.Error{
			Status: http.StatusNotFound, Code: desk.CodeNotFound, Description: "management_code not valid", Err: err,
		}
	}
	return refusal(err)
}
