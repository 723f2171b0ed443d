package notices

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

// Tokens is what is known of mytokens; *ledger.Ledger is one.
type Tokens interface {
	Find(ctx context.Context, momID string) (ledger.Token, error)
	List(ctx context.Context, user string) ([]ledger.Token, error)
	User(ctx context.Context, id string) (ledger.User, error)
}

// Visit is a request with a mytoken that may make it; *desk.Visit is one.
type Visit interface {
	MOMID() string
	User() string
	Claims() mytoken.Claims
	Notice(ctx context.Context, n desk.Notice)
	Done(ctx context.Context, event, comment string) (*desk.Issued, error)
	Cancel(ctx context.Context)
}

// Session is a connection to the mail server; *mail.Session is one.
type Session interface {
	Send(ctx context.Context, m mail.Message) error
	Close() error
}

// Limits bound what a person can have and get. Zero values are the defaults that stand beside them.
type Limits struct {
	Notifications int // of a person: 50
	Calendars     int // of a person: 20
	Tokens        int // in a notification or calendar: 200
	PerHour       int // mails about events, the rest is summed up: 20
	PerDay        int // mails of all kinds: 100
	Confirmations int // mails for confirming an address, per hour: 5 per person, and 3 for one address
	Outbox        int // mails that wait: 20 000
}

const perAddress = 3 // confirmations per hour for one address

// Options make Notices. Issuer, Engine, Tokens and Enter are needed.
type Options struct {
	Issuer string // of the server: what links begin with
	// Engine has to be a sealed one: addresses and codes are in it.
	Engine store.Engine
	Tokens Tokens
	// Enter lets somebody in with a mytoken: desk.Enter.
	Enter func(ctx context.Context, c desk.Caller, n desk.Need) (Visit, error)
	// Tags tells the tags of each mytoken of a person: desk.TagNames. nil: there are none.
	Tags func(ctx context.Context, user string) (func(ledger.Token) []string, error)
	// Open connects to the mail server, From is the address that mails come from. nil: there is no mail.
	Open func(ctx context.Context) (Session, error)
	From mail.Address
	// Operator is what mails call the service, "" for the name of the host.
	Operator string
	// Every is how often the schedule of ends is gone through: 5 min. Digest is how long events are summed up: 1 h.
	Every, Digest time.Duration
	// Lease is after how long another process takes over from a sender that died, and far above what one mail may take:
	// 3 min.
	Lease  time.Duration
	Limits Limits
	// Count is told of what became of mails, for metrics. It must not block. nil: nobody is.
	Count func(outcome string)
	Now   func() time.Time
	Log   *slog.Logger
}

// Notices keeps what people want to be told, and tells them. Its methods are safe for concurrent use, and several, also
// on other nodes, may share one store.
type Notices struct {
	o    Options
	base string // the issuer without a slash at the end
	host string

	queue   chan desk.Notice
	dropped atomic.Int64
	wake    chan struct{} // something is in the outbox

	subs cache

	mu   sync.Mutex
	sums map[string]map[int]*digestRecord // by user and notification: not yet written

	sender sender
}

// queueSize is how many notices may wait in memory.
const queueSize = 4096

// New returns Notices that do nothing by themselves: Run does. The error is ErrOptions.
func New(o Options) (*Notices, error) {
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: the issuer is no web address", ErrOptions)
	case o.Engine == nil || o.Tokens == nil || o.Enter == nil:
		return nil, fmt.Errorf("%w: no engine, mytokens or desk", ErrOptions)
	case o.Open != nil && o.From == mail.Address{}:
		return nil, fmt.Errorf("%w: no address that mails come from", ErrOptions)
	}
	o.settle()
	if o.Operator == "" {
		o.Operator = u.Hostname()
	}
	return &Notices{
		o: o, base: strings.TrimSuffix(o.Issuer, "/"), host: u.Hostname(),
		queue: make(chan desk.Notice, queueSize), wake: make(chan struct{}, 1),
		sums: make(map[string]map[int]*digestRecord), subs: cache{all: make(map[string]cached)},
	}, nil
}

func (o *Options) settle() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Count == nil {
		o.Count = func(string) {}
	}
	for at, d := range map[*time.Duration]time.Duration{
		&o.Every: 5 * time.Minute, &o.Digest: time.Hour, &o.Lease: leaseTTL,
	} {
		if *at == 0 {
			*at = d
		}
	}
	l := &o.Limits
	for at, n := range map[*int]int{
		&l.Notifications: 50, &l.Calendars: 20, &l.Tokens: 200, &l.PerHour: 20, &l.PerDay: 100, &l.Confirmations: 5,
		&l.Outbox: 20_000,
	} {
		if *at == 0 {
			*at = n
		}
	}
}

func (n *Notices) now() time.Time { return n.o.Now() }

// Mails reports whether there is a mail server. Without one Notice does nothing.
func (n *Notices) Mails() bool { return n.o.Open != nil }

// stir wakes the sender, if it is in this process.
func (n *Notices) stir() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
