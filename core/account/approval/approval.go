package approval

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

// Desk is where requests wait and are decided. *provision.Desk is one.
type Desk interface {
	Pending(ctx context.Context) ([]provision.Request, error)
	Decide(ctx context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error)
	// ByName says of a local name whose it is, and in which state.
	ByName(ctx context.Context, name string) (provision.Verdict, error)
}

// Session is a connection to the mail server; *mail.Session is one.
type Session interface {
	Send(ctx context.Context, m mail.Message) error
	Close() error
}

// Bounds of a configuration.
const (
	MaxAdmins       = 16
	DefaultLinkLife = 7 * 24 * time.Hour
	maxLinkLife     = 60 * 24 * time.Hour
	// mailsPerDay is how often the same identity's requests are told of in a day.
	mailsPerDay = 5
)

// Options of New. Engine, Desk and Hostname are needed.
type Options struct {
	// Engine has to be a sealed one: the key of links and addresses of people are in it.
	Engine store.Engine
	Desk   Desk
	// Open connects to the mail server, From is the address that mails come from. nil: no mail is sent.
	Open func(ctx context.Context) (Session, error)
	From mail.Address
	// Admins get a mail each, with links of their own.
	Admins []mail.Address
	// Templates has the site's own texts, nil: none. A file that is not there is the built-in one.
	Templates fs.FS
	// Link is the URL of the page for a link; nil: mails have no links, and decisions are taken by command.
	Link func(link string) string
	// Page is the URL where people log in by browser, "" for none.
	Page     string
	Hostname string // of the service
	SSHHost  string // that people log in to, "": Hostname
	LinkLife time.Duration
	// Settings are further variables of templates: those of the adapter's notifier. They never replace one of ours.
	Settings map[string]string
	// Every is how often what waits is gone through, where nobody says that something has changed. 0: 30 s.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Office tells and decides. Methods are safe for concurrent use, and several processes may have one on the same store.
type Office struct {
	o         Options
	templates map[string]text
	wake      chan struct{}
	last      attempts
}

// attempts is what the sender remembers of the mail server. Only Run's goroutine uses it.
type attempts struct {
	again    time.Time
	failures int
	once     sync.Once // says that there is no mail server
}

// New returns an Office that does nothing by itself: Run does. The errors are ErrOptions and ErrTemplate.
func New(o Options) (*Office, error) {
	refuse := func(why string) (*Office, error) { return nil, fmt.Errorf("%w: %s", ErrOptions, why) }
	switch {
	case o.Engine == nil || o.Desk == nil || o.Hostname == "":
		return refuse("no store, no desk or no name of the host")
	case len(o.Admins) > MaxAdmins:
		return refuse(fmt.Sprintf("more than %d administrators", MaxAdmins))
	case o.LinkLife < 0 || o.LinkLife > maxLinkLife:
		return refuse(fmt.Sprintf("links live for %s at most", maxLinkLife))
	case o.Open != nil && o.From == mail.Address{}:
		return refuse("no address that mails come from")
	}
	templates, err := loadTemplates(o.Templates)
	if err != nil {
		return nil, err
	}
	return &Office{o: o.complete(), templates: templates, wake: make(chan struct{}, 1)}, nil
}

func (o Options) complete() Options {
	if o.LinkLife == 0 {
		o.LinkLife = DefaultLinkLife
	}
	if o.Every == 0 {
		o.Every = 30 * time.Second
	}
	if o.SSHHost == "" {
		o.SSHHost = o.Hostname
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Asked is what somebody asks for, as an administrator sees it. Texts are what claims say.
type Asked struct {
	ID              string // the identity as names.Encode writes it
	Subject, Issuer string
	FullName, Email string
	Name            string // local
	Primary         string
	Groups          []string
	Added, Removed  []string
	Change          bool // the account is there, and its groups are asked for
	At              time.Time
}

// Look returns what a link is about. It changes nothing. Errors: ErrLink, ErrOver.
func (o *Office) Look(ctx context.Context, text string) (Asked, error) {
	_, r, err := o.find(ctx, text)
	if err != nil {
		return Asked{}, err
	}
	return askedOf(r), nil
}

// Decide grants or refuses what a link is about, on the word of the administrator to whom it was sent. Errors: ErrLink,
// ErrOver, and those of the desk.
func (o *Office) Decide(ctx context.Context, text string, accept bool, from netip.Addr) (Asked, error) {
	l, r, err := o.find(ctx, text)
	if err != nil {
		return Asked{}, err
	}
	by := provision.By{Who: "link sent to " + o.admin(l.admin)}
	if from.IsValid() {
		by.Remote = from.String()
	}
	_, err = o.o.Desk.Decide(ctx, r.ID, r.Revision, accept, by)
	if errors.Is(err, provision.ErrNotPending) || errors.Is(err, provision.ErrChanged) {
		return Asked{}, fmt.Errorf("%w: %w", ErrOver, err)
	}
	if err != nil {
		return Asked{}, fmt.Errorf("decide by a link: %w", err)
	}
	return askedOf(r), nil
}

func askedOf(r provision.Request) Asked {
	return Asked{
		ID: r.ID, Subject: r.Sub, Issuer: r.Iss, FullName: fullName(r.Person), Email: r.Email, Name: r.Name, Primary: r.Primary,
		Groups: r.Groups, Added: r.Added, Removed: r.Removed, Change: r.Change, At: r.At,
	}
}

func fullName(p names.Person) string {
	if p.Name != "" {
		return p.Name
	}
	return strings.TrimSpace(p.Given + " " + p.Family)
}

// find returns the request that a link is about.
func (o *Office) find(ctx context.Context, text string) (link, provision.Request, error) {
	none := provision.Request{}
	key, err := o.signingKey(ctx)
	if err != nil {
		return link{}, none, err
	}
	l, err := parseLink(text, key, o.o.Now())
	if err != nil {
		return link{}, none, err
	}
	if o.admin(l.admin) == "" {
		return link{}, none, fmt.Errorf("%w: it was sent to somebody who is no administrator any more", ErrLink)
	}
	all, err := o.o.Desk.Pending(ctx)
	if err != nil {
		return link{}, none, fmt.Errorf("look what waits: %w", err)
	}
	i := slices.IndexFunc(all, func(r provision.Request) bool { return short[[whoBytes]byte](r.ID) == l.who })
	if i < 0 || short[[whatBytes]byte](all[i].Revision) != l.what {
		return link{}, none, ErrOver
	}
	return l, all[i], nil
}

// admin is the address of an administrator that a link was sent to, "" when there is none of it any more.
func (o *Office) admin(hash [adminBytes]byte) string {
	for _, a := range o.o.Admins {
		if short[[adminBytes]byte](a.String()) == hash {
			return a.String()
		}
	}
	return ""
}

// Notify says that something has changed: what is told of a request is put into the outbox soon, and the decision about
// one before it returns. It does not wait for the network.
func (o *Office) Notify(e provision.Event) {
	if e.Kind == provision.Accepted || e.Kind == provision.Rejected {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s := state.Rejected
		if e.Kind == provision.Accepted {
			s = state.Deployed
		}
		if err := o.decided(ctx, e.Request.ID, s); err != nil {
			o.o.Log.Warn("somebody is told later what was decided", "id", e.Request.ID, "err", err)
		}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
