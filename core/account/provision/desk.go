package provision

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// Burner makes the one-time passwords of an identity useless; (*otp.Book).Burn is one.
type Burner interface {
	Burn(ctx context.Context, id string) (int, error)
}

// LoginInfo is what people are told about logging in.
type LoginInfo struct {
	Description string
	LoginHelp   string
	SSHHost     string
}

// Options of a Desk. Store and System are needed.
type Options struct {
	Store     store.Engine
	System    backend.System
	Rules     Rules
	LoginInfo LoginInfo
	OTP       Burner // nil: there are none to burn
	// Notify is told of requests that wait, of what was decided about them, and of nothing else. It must not wait for
	// the network. A request it was not told of because of a crash is told when it is made again.
	Notify func(Event)
	Audit  func(Event)
	Now    func() time.Time
	Log    *slog.Logger
	// Patience is how long one operation may take with the account system, and a second one on the same identity waits
	// for it. 0 is 30 s.
	Patience time.Duration
	// Fresh is how old the account system's word about an account may be that Verify goes by; what the ledger says is
	// never old. 0 is 5 s, negative: asked each time.
	Fresh time.Duration
}

const (
	defaultPatience = 30 * time.Second
	defaultFresh    = 5 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Notify == nil {
		o.Notify = func(Event) {}
	}
	if o.Audit == nil {
		o.Audit = func(Event) {}
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Fresh == 0 {
		o.Fresh = defaultFresh
	}
	return o
}

// Answer is the outcome of a request, in the form that clients of motley-cue know.
type Answer struct {
	State       state.State       `json:"state"`
	Message     string            `json:"message"`
	Credentials map[string]string `json:"credentials"`
}

// Verdict is whether an identity may log in as a local user. The zero value is a no.
type Verdict struct {
	State state.State
	// Verified is what clients of motley-cue ask for: the local user is that of the identity, and is not kept out.
	Verified bool
	// Allowed is the decision about a login.
	Allowed bool
	ID      string
	Name    string // the local user of the identity
	UID     uint32 // 0 when not known
	Reason  string // for the log, "" with Allowed
}

// Desk does what is asked for accounts. Use New. Methods are safe for concurrent use, also of several processes on one
// store.
type Desk struct {
	o     Options
	turns turns
	looks looks
}

// New returns a desk. The error is ErrRules.
func New(o Options) (*Desk, error) {
	if o.Store == nil || o.System == nil {
		return nil, fmt.Errorf("%w: no store, or no account system", ErrRules)
	}
	if err := o.Rules.check(); err != nil {
		return nil, err
	}
	return &Desk{o: o.withDefaults(), turns: newTurns(), looks: newLooks()}, nil
}

// now is rounded as records are.
func (d *Desk) now() time.Time { return d.o.Now().Round(0).UTC() }

// audit fills in what every event has.
func (d *Desk) audit(e Event, by By) {
	d.o.Audit(d.event(e, by))
}

func (d *Desk) event(e Event, by By) Event {
	e.Time = d.now()
	e.By, e.Remote = by.Who, by.Remote
	if e.Reason == "" {
		e.Reason = by.Reason
	}
	return e
}

func (d *Desk) credentials(name string) map[string]string {
	info := d.o.LoginInfo
	return map[string]string{
		"description": info.Description, "login_help": info.LoginHelp, "ssh_host": info.SSHHost,
		"ssh_user": name, "commandline": "ssh " + name + "@" + info.SSHHost,
	}
}
