package custody

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

const (
	defaultLeaseTTL = 15 * time.Second
	defaultTimeout  = 30 * time.Second
	defaultWait     = 60 * time.Second

	// maxID leaves room for other key parts below the limit of the store.
	maxID = 255
	// maxToken is the largest refresh token that fits into a record with everything else that is in it.
	maxToken = 24 << 10
)

// Refresher sends a refresh token to the provider (RFC 6749 section 6). *flow.Client is one. When the provider's
// answer held a new refresh token, the returned Tokens must hold it too, also beside an error. One that goes on to ask
// the network for more hands the refresh token to Request.Keep first.
type Refresher interface {
	Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error)
}

// Options of a Keeper. The zero value is good.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// LeaseTTL is how long other processes wait for one that died in the middle of a refresh. 0 = 15 s.
	LeaseTTL time.Duration
	// Timeout bounds one call to the provider. 0 = 30 s.
	Timeout time.Duration
	// Wait bounds the waiting for a refresh of the same login in another process. 0 = 60 s.
	Wait time.Duration
	// Precision is how exactly State.LastRefresh is kept with HabitKeeps, where nothing else is written. 0 = 1 min,
	// negative: not at all.
	Precision time.Duration
}

// Keeper keeps the refresh tokens of any number of logins. Its methods are safe for concurrent use, and several
// Keepers, also on other nodes, may share one store. Call Close at the end.
type Keeper struct {
	eng  store.Engine
	opts Options

	stop chan struct{} // closed by Close: waits end, calls to the provider do not
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[flightKey]*flight
	logins  map[string]*login
	// notSaved is what Close reports.
	notSaved []error
}

// New returns a Keeper on eng, which should be a sealed store.
func New(eng store.Engine, o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = defaultLeaseTTL
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	if o.Precision == 0 {
		o.Precision = lastPrecision
	}
	return &Keeper{
		eng: eng, opts: o, stop: make(chan struct{}),
		flights: make(map[flightKey]*flight), logins: make(map[string]*login),
	}
}

// Put keeps rt as the refresh token of the login id: a new login, or a new authentication, which replaces what was
// there and ends "log in again". The current refresh token put once more changes nothing else. One that was already
// replaced by a newer one is refused with ErrSuperseded, because sending it would end the login at a provider that
// detects reuse; Forget first to insist.
func (k *Keeper) Put(ctx context.Context, id string, rt secret.Text) error {
	if err := checkID(id); err != nil {
		return err
	}
	if rt.Empty() || rt.Len() > maxToken {
		return fmt.Errorf("keep the refresh token of %s: %w", id, ErrBadToken)
	}
	err := k.write(ctx, id, func(rec *record, _ bool) error { return rec.replace(rt) })
	if err != nil {
		return fmt.Errorf("keep the refresh token of %s: %w", id, err)
	}
	k.detach(id)
	return nil
}

// Token returns a copy of the current refresh token, for an account file or for revocation. The caller wipes it.
// It is remembered as known outside: its hash outlives those of tokens that only we have seen.
func (k *Keeper) Token(ctx context.Context, id string) (secret.Text, error) {
	rec, err := k.load(ctx, id)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read the refresh token of %s: %w", id, err)
	}
	defer rec.wipe()
	if u := k.newestOf(id, rec); u != nil {
		return u.token.Clone(), nil
	}
	if !rec.Outside {
		// A store that cannot be written to must not keep a person from exporting the login.
		if err := k.change(ctx, id, func(r *record) error { r.markOutside(rec.RT); return nil }); err != nil {
			k.opts.Log.WarnContext(ctx, "not recorded that a refresh token was exported", "login", id, "err", err)
		}
	}
	return rec.RT.Clone(), nil
}

// Superseded reports whether rt was once a refresh token of the login id and has been replaced since, so that it must
// not be sent any more. An unknown login has none.
func (k *Keeper) Superseded(ctx context.Context, id string, rt secret.Text) (bool, error) {
	rec, err := k.load(ctx, id)
	if errors.Is(err, ErrUnknownLogin) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a replaced refresh token of %s: %w", id, err)
	}
	defer rec.wipe()
	h := hashOf(rt)
	if u := k.newestOf(id, rec); u != nil && (h == u.hash || h == u.stored) {
		return true, nil
	}
	return rec.superseded(h), nil
}

// Forget removes the login and every trace of its refresh tokens. That it is not there is no error.
func (k *Keeper) Forget(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	err := k.eng.Update(ctx, func(tx store.WTx) error { return tx.Delete(table(), store.Key{id}) })
	if err != nil {
		return fmt.Errorf("forget the refresh token of %s: %w", id, err)
	}
	k.detach(id)
	return nil
}

// SetHabit tells what the provider does with used refresh tokens, where it is known beforehand. Should a provider that
// was said to keep them replace one, that is believed more.
func (k *Keeper) SetHabit(ctx context.Context, id string, h Habit) error {
	err := k.change(ctx, id, func(rec *record) error { rec.tell(h); return nil })
	if err != nil {
		return fmt.Errorf("set the habit of the provider of %s: %w", id, err)
	}
	return nil
}

// TryAgain takes back "log in again", so that the next Refresh asks the provider once more with the token that it
// refused: providers have outages in which they refuse everything. Only for use when a person asks for it.
func (k *Keeper) TryAgain(ctx context.Context, id string) error {
	err := k.change(ctx, id, func(rec *record) error { rec.Refused = nil; return nil })
	if err != nil {
		return fmt.Errorf("allow another attempt for %s: %w", id, err)
	}
	return nil
}

// State describes the login id, or fails with ErrUnknownLogin.
func (k *Keeper) State(ctx context.Context, id string) (State, error) {
	rec, err := k.load(ctx, id)
	if err != nil {
		return State{}, fmt.Errorf("read the state of %s: %w", id, err)
	}
	defer rec.wipe()
	return k.stateOf(id, rec), nil
}

// List returns every login with its state, in the order of the store. A login whose State has a Pending intent should
// be refreshed soon after a restart: a provider's grace period is short. Records that this version cannot read are left
// out and named in the error; the others are returned beside it.
func (k *Keeper) List(ctx context.Context) ([]Login, error) {
	var (
		all    []Login
		faults []error
	)
	err := k.eng.View(ctx, func(tx store.Tx) error {
		for row, err := range tx.Scan(table(), nil) {
			if err != nil {
				return err
			}
			rec, err := decode(row.Value)
			clear(row.Value)
			if err != nil {
				faults = append(faults, fmt.Errorf("read %s: %w", row.Key[0], err))
				continue
			}
			all = append(all, Login{ID: row.Key[0], State: k.stateOf(row.Key[0], rec)})
			rec.wipe()
		}
		return nil
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return all, fmt.Errorf("list the logins in custody: %w", err)
	}
	return all, nil
}

func (k *Keeper) stateOf(id string, rec *record) State {
	s := rec.state()
	if u := k.newestOf(id, rec); u != nil {
		s.Unsaved, s.TokenID = true, u.token.ID()
	}
	return s
}

// load reads the record of id, or fails with ErrUnknownLogin. The caller wipes it.
func (k *Keeper) load(ctx context.Context, id string) (*record, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	var rec *record
	err := k.eng.View(ctx, func(tx store.Tx) error {
		var err error
		rec, err = read(tx.Get(table(), store.Key{id}))
		return err
	})
	return rec, err
}

// change runs edit on the record of id in one transaction and writes it back, or fails with ErrUnknownLogin. edit may
// run more than once.
func (k *Keeper) change(ctx context.Context, id string, edit func(*record) error, held ...store.Lease) error {
	return k.write(ctx, id, func(rec *record, found bool) error {
		if !found {
			return ErrUnknownLogin
		}
		return edit(rec)
	}, held...)
}

func (k *Keeper) write(
	ctx context.Context, id string, edit func(rec *record, found bool) error, held ...store.Lease,
) error {
	if err := checkID(id); err != nil {
		return err
	}
	// The engine may read the value until the transaction ends, so it is cleared after that.
	var value []byte
	defer func() { clear(value) }()
	return k.eng.Update(ctx, func(tx store.WTx) error {
		clear(value)
		rec, err := read(tx.GetForUpdate(table(), store.Key{id}))
		found := !errors.Is(err, ErrUnknownLogin)
		if !found {
			rec, err = &record{}, nil
		}
		if err != nil {
			return err
		}
		defer rec.wipe()
		if err := edit(rec, found); err != nil {
			return err
		}
		if value, err = rec.encode(); err != nil {
			return err
		}
		return tx.Put(table(), store.Record{Key: store.Key{id}, Value: value})
	}, held...)
}

func read(row store.Record, err error) (*record, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknownLogin
	}
	if err != nil {
		return nil, err
	}
	defer clear(row.Value)
	return decode(row.Value)
}

func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("login id of %d bytes: %w", len(id), ErrBadToken)
	}
	return nil
}

func table() store.Table { return store.Table{Name: "custody", HideKeys: true} }
