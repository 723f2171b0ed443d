package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/escrow"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

const (
	// MaxDepth is how many mytokens may lie above another.
	MaxDepth = 16
	// MaxClauses is how many clauses a mytoken may have.
	MaxClauses = 64
	// MaxHolds is how many limited uses of one mytoken may be under way.
	MaxHolds = 256

	defaultWindow    = 10 * time.Second
	defaultHold      = 5 * time.Minute
	defaultRetention = 30 * 24 * time.Hour
	defaultEvents    = 1000
)

// Minter makes the mytoken that replaces another; *mint.Minter is one.
type Minter interface {
	Rotate(c mytoken.Claims, now time.Time) (secret.Text, mytoken.Claims, error)
}

// Options of a Ledger. Minter and Verify are needed, the others may be zero.
type Options struct {
	Minter Minter
	// Verify returns what a mytoken says whose signature is good, whatever its times: (*mint.Checker).Genuine. It is asked
	// only about mytokens whose hash is not on record.
	Verify func(jwt []byte) (mytoken.Claims, error)
	Now    func() time.Time
	Log    *slog.Logger
	// Window is how long after a rotation the replaced mytoken still gets the new one. 0 = 10 s, negative: never.
	Window time.Duration
	// Hold is how long a use may stay reserved before it counts as unknown. It has to be longer than a provider and the
	// wait for a turn at it can take. 0 = 5 min.
	Hold time.Duration
	// Retention is how long mytokens that have ended, and events, are kept. 0 = 30 days.
	Retention time.Duration
	// Events is how many events of one mytoken are kept at most. 0 = 1000.
	Events int
	// Custody is for the keepers of refresh tokens. Now and Log are taken from above where they are not set; when a
	// login was last used is kept with its mytokens, so custody writes nothing of it where Precision is 0.
	Custody custody.Options
	// Escrow is the public half of a key of the operator's: a copy of each refresh token is kept that only the other half
	// opens, which is not on the server. nil: there is none.
	Escrow *escrow.Recipient
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	o.Window = max(o.Window, 0)
	if o.Hold <= 0 {
		o.Hold = defaultHold
	}
	if o.Retention <= 0 {
		o.Retention = defaultRetention
	}
	if o.Events <= 0 {
		o.Events = defaultEvents
	}
	if o.Custody.Now == nil {
		o.Custody.Now = o.Now
	}
	if o.Custody.Log == nil {
		o.Custody.Log = o.Log
	}
	if o.Custody.Precision == 0 {
		o.Custody.Precision = -1
	}
	return o
}

// Ledger keeps the state of a mytoken server. Its methods are safe for concurrent use, and several, also on other
// nodes, may share one store. Call Close at the end.
type Ledger struct {
	eng store.Engine
	o   Options

	mu      sync.Mutex
	closed  bool
	keepers map[string]*keeping

	short attempts
}

// New returns a ledger on eng, which has to be a sealed engine (keystore.Keystore.Engine): names, addresses and
// histories are in it. It panics without Minter and Verify.
func New(eng store.Engine, o Options) *Ledger {
	if o.Minter == nil || o.Verify == nil {
		panic("ledger: New without Minter or Verify")
	}
	o = o.withDefaults()
	return &Ledger{eng: eng, o: o, keepers: make(map[string]*keeping)}
}

// Close waits for refreshes under way and wipes the keys of logins. It does not close the engine. The error wraps
// custody.ErrNotSaved when a refresh token is lost.
func (l *Ledger) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	left := l.keepers
	l.keepers = make(map[string]*keeping)
	l.mu.Unlock()
	var errs []error
	for _, k := range left {
		errs = append(errs, k.close(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the ledger: %w", err)
	}
	return nil
}

// Origin is where a request comes from.
type Origin struct {
	Client    netip.Addr
	UserAgent string
}

func (o Origin) ip() string {
	if !o.Client.IsValid() {
		return ""
	}
	return o.Client.String()
}

// now is rounded as records are: what was written is what is compared.
func (l *Ledger) now() time.Time { return l.o.Now().Round(0).UTC() }
