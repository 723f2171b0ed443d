package pages

import (
	"context"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Logins is what the pages need to log people in and to ask for their consent; *desk.Desk is one. Refusals are a
// *desk.Error.
type Logins interface {
	Providers() []desk.ProviderInfo
	Begin(ctx context.Context, request []byte, c desk.Caller) (desk.Begun, error)
	Asked(ctx context.Context, code secret.Text) (desk.Asked, error)
	Accept(ctx context.Context, code secret.Text, t desk.Terms, from desk.Origin) (desk.Redirect, error)
	Decline(ctx context.Context, code secret.Text, from desk.Origin) (next string, err error)
	LandIn(ctx context.Context, a desk.Arrival) (desk.Landing, error)
	Poll(ctx context.Context, code secret.Text, from desk.Origin) (*desk.Issued, error)
	Redeem(ctx context.Context, code secret.Text, from desk.Origin) (*desk.Issued, error)
}

// Mytokens is what a person does with mytokens. Refusals are a *desk.Error. The update of each is what the mytoken of
// the caller is from now on, nil where it did not change; it may be set beside an error.
type Mytokens interface {
	Sub(ctx context.Context, request []byte, c desk.Caller) (*desk.Issued, error)
	Transfer(ctx context.Context, c desk.Caller) (*desk.Issued, error)
	List(ctx context.Context, c desk.Caller) (trees []ledger.Node, update *desk.Issued, err error)
	History(ctx context.Context, c desk.Caller, momID string) (events []mytoken.Event, update *desk.Issued, err error)
	// Revoke ends the mytoken of that mom_id, "" the one in hand.
	Revoke(ctx context.Context, c desk.Caller, momID string, recursive bool) (update *desk.Issued, err error)
}

// Mail is where mails to a person go. Refusals and updates are as in Mytokens.
type Mail interface {
	Email(ctx context.Context, c desk.Caller) (mytoken.Email, *desk.Issued, error)
	// SetEmail leaves the address as it is where it is "".
	SetEmail(ctx context.Context, c desk.Caller, address string, html bool) (*desk.Issued, error)
}

// SSH is getting tokens over ssh. Refusals and updates are as in Mytokens.
type SSH interface {
	Grants(ctx context.Context, c desk.Caller) ([]mytoken.Grant, *desk.Issued, error)
	SetGrant(ctx context.Context, c desk.Caller, grant string, enabled bool) (*desk.Issued, error)
	SSHKeys(ctx context.Context, c desk.Caller) ([]mytoken.SSHKey, *desk.Issued, error)
	// AddSSHKey begins the login that a key gets its mytoken by, FinishSSHKey says how the key is used.
	AddSSHKey(ctx context.Context, c desk.Caller, r mytoken.SSHKeyRequest) (desk.Begun, *desk.Issued, error)
	FinishSSHKey(ctx context.Context, code secret.Text, from desk.Origin) (mytoken.SSHLogin, error)
	RemoveSSHKey(ctx context.Context, c desk.Caller, fingerprint string) (*desk.Issued, error)
}

// Notices are notifications and calendars. Refusals and updates are as in Mytokens.
type Notices interface {
	Notifications(ctx context.Context, c desk.Caller) ([]mytoken.Notification, *desk.Issued, error)
	Notify(ctx context.Context, c desk.Caller, r mytoken.NotificationRequest) (*desk.Issued, error)
	// Notification, SetClasses and End need nothing but the management code.
	Notification(ctx context.Context, code secret.Text) (mytoken.Notification, error)
	SetClasses(ctx context.Context, code secret.Text, classes []string) error
	End(ctx context.Context, code secret.Text) error
	Calendars(ctx context.Context, c desk.Caller) ([]mytoken.Calendar, *desk.Issued, error)
	AddCalendar(ctx context.Context, c desk.Caller, name string) (*desk.Issued, error)
	RemoveCalendar(ctx context.Context, c desk.Caller, id string) (*desk.Issued, error)
	Subscribe(ctx context.Context, c desk.Caller, calendar, momID string) (*desk.Issued, error)
	// View is what anybody sees who has the address of the feed.
	View(ctx context.Context, id string) (CalendarView, error)
}

// CalendarView is a calendar for reading.
type CalendarView struct {
	Name, Feed string // Feed: URL of the text/calendar
	Entries    []CalendarEntry
}

// CalendarEntry is a mytoken that will end.
type CalendarEntry struct {
	Name    string
	Expires time.Time
	Again   string // URL on this server that a new one like it is made at, "" for none
}
