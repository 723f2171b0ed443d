package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// pendingFor is how long a login may wait for its first mytoken before it counts as left over.
const pendingFor = 10 * time.Minute

// Grant is a mytoken that was made and is not kept yet.
type Grant struct {
	JWT    secret.Text
	Claims mytoken.Claims
	Event  Event // of its creation; the name is set here
	// Charges and From are what rules.Tighten said, for one that is made from another.
	Charges []rules.Charge
	From    []rules.Key
}

// Login is a login at a provider that has just taken place.
type Login struct {
	Refresh secret.Text
	// Habit is what the provider does with refresh tokens, where that is known.
	Habit custody.Habit
}

// Begin keeps a login and the first mytoken of it, and returns what is kept. When it returns an error nothing is left
// that could be used, and the refresh token is still the caller's to revoke.
func (l *Ledger) Begin(ctx context.Context, lg Login, g Grant) (Token, error) {
	login, key := newID(), newKey()
	defer key.Wipe()
	user := mint.Subject(g.Claims.OIDCSubject, g.Claims.OIDCIssuer)
	n, err := l.prepare(g, key, issue{user: user, login: login})
	if err != nil {
		return Token{}, err
	}
	if n.escrow, err = l.seal(login, g.Claims, lg.Refresh); err != nil {
		return Token{}, err
	}
	pending := loginRecord{Version: recordVersion, User: user, Created: l.now(), Pending: true}
	err = l.eng.Update(ctx, func(tx store.WTx) error {
		if err := l.enter(tx, user, g.Claims); err != nil {
			return err
		}
		return write(tx, tableLogins, pending, time.Time{}, login)
	})
	if err != nil {
		return Token{}, fmt.Errorf("keep a login: %w", err)
	}
	if err = l.entrust(ctx, login, key, lg); err == nil {
		err = l.eng.Update(ctx, func(tx store.WTx) error { return l.arrive(tx, n, g.Claims) })
	}
	if err != nil {
		l.withdraw(ctx, login)
		return Token{}, fmt.Errorf("keep a login: %w", err)
	}
	return l.tokenOf(n.momID, n.token, n.state, l.now()), nil
}

// arrive keeps the first mytoken of a login. The row of the person is locked as well: an erasure that began meanwhile
// has to see this login or stop it.
func (l *Ledger) arrive(tx store.WTx, n *issued, c mytoken.Claims) error {
	if err := l.enter(tx, n.token.User, c); err != nil {
		return err
	}
	kept, err := readForUpdate[loginRecord](tx, tableLogins, n.token.Login)
	if err == nil {
		err = absent(tx, n.momID)
	}
	if err != nil {
		return err
	}
	kept.Pending = false
	if err := write(tx, tableLogins, kept, time.Time{}, n.token.Login); err != nil {
		return err
	}
	if n.escrow != nil {
		if err := write(tx, tableEscrow, n.escrow, time.Time{}, n.token.Login); err != nil {
			return err
		}
	}
	return l.keep(tx, n, EventCreated)
}

// withdraw removes the refresh token of a login that was not kept. An erasure may have removed the row that leads to it
// meanwhile, so that no sweep would find it.
func (l *Ledger) withdraw(ctx context.Context, login string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if err := l.forget(ctx, login); err != nil {
		l.o.Log.WarnContext(ctx, "a refresh token that nobody can open is left", "login", login, "err", err)
	}
}

// enter makes the row of a person, or locks it.
func (l *Ledger) enter(tx store.WTx, user string, c mytoken.Claims) error {
	u, err := readForUpdate[userRecord](tx, tableUsers, user)
	if errors.Is(err, ErrUnknown) {
		u = &userRecord{Version: recordVersion, Issuer: c.OIDCIssuer, Subject: c.OIDCSubject, Created: l.now()}
		return write(tx, tableUsers, u, time.Time{}, user)
	}
	if err == nil && u.Erasing {
		err = ErrErased
	}
	return err
}

// entrust puts the refresh token into custody.
func (l *Ledger) entrust(ctx context.Context, login string, key secret.Text, lg Login) error {
	k, err := l.keeper(login, key)
	if err != nil {
		return err
	}
	defer l.release(ctx, k)
	if err := k.Put(ctx, login, lg.Refresh); err != nil {
		return err
	}
	if lg.Habit == custody.HabitUnknown {
		return nil
	}
	return k.SetHabit(ctx, login, lg.Habit)
}

// issue is where a mytoken belongs.
type issue struct {
	user, login string
	path        []string
}

// issued are the records of a new mytoken.
type issued struct {
	momID string
	token *tokenRecord
	state *stateRecord
	event Event
	// escrow is the copy of the refresh token, with the first mytoken of a login where there is an escrow.
	escrow *escrowRecord
}

// prepare makes the records of a mytoken, with the key of its login wrapped for it.
func (l *Ledger) prepare(g Grant, key secret.Text, i issue) (*issued, error) {
	c := g.Claims
	n := &issued{momID: c.MOMID(), event: g.Event}
	if n.momID == "" || g.JWT.Empty() || c.SeqNo != 1 {
		return nil, fmt.Errorf("keep a mytoken: %w", mint.ErrOrder)
	}
	if len(c.Restrictions) > MaxClauses || len(i.path) > MaxDepth {
		return nil, fmt.Errorf("a mytoken with %d clauses, %d above it: %w", len(c.Restrictions), len(i.path), ErrTooMany)
	}
	clauses, err := rawClauses(c.Restrictions)
	if err != nil {
		return nil, err
	}
	n.token = &tokenRecord{
		Version: recordVersion, User: i.user, Login: i.login, Path: i.path, Name: cut(c.Name), IP: g.Event.From.ip(),
		Created: l.now(), Capabilities: c.Capabilities, Restrictions: clauses, Rotation: c.Rotation,
	}
	for _, k := range g.From {
		n.token.From = append(n.token.From, clauseKey(k))
	}
	for _, ch := range g.Charges {
		n.token.Charges = append(n.token.Charges, chargeRow{clauseKey(ch.Clause), ch.Kind, ch.Uses})
	}
	n.state = &stateRecord{
		Version: recordVersion, User: i.user, Login: i.login, Path: i.path, SeqNo: c.SeqNo, Since: c.IssuedAt.UTC(),
		Expires: c.Expires, Hash: hashOf(g.JWT),
	}
	n.state.Key, err = lock(g.JWT, key, forKey, n.momID)
	return n, err
}

// absent locks the place of a new mytoken. ErrExists where there is one.
func absent(tx store.WTx, momID string) error {
	_, err := readForUpdate[stateRecord](tx, tableStates, momID)
	switch {
	case err == nil:
		return ErrExists
	case errors.Is(err, ErrUnknown):
		return nil
	}
	return err
}

// keep writes the records of a new mytoken, whose place is locked. names are events of its creation; the first has the
// comment.
func (l *Ledger) keep(tx store.WTx, n *issued, names ...string) error {
	s := *n.state // the transaction may run again
	e := n.event
	for i, name := range names {
		if e.Name = name; i > 0 {
			e.Comment = "Got RT from parent"
		}
		if err := l.note(tx, n.momID, &s, e, n.token.Created); err != nil {
			return err
		}
	}
	if err := write(tx, tableStates, s, time.Time{}, n.momID); err != nil {
		return err
	}
	if err := write(tx, tableTokens, n.token, time.Time{}, n.momID); err != nil {
		return err
	}
	o := ownedRecord{Version: recordVersion}
	return write(tx, tableOwned, o, time.Time{}, n.token.User, n.token.Login, n.momID)
}

// ownedRecord is an index: the mytokens of a person, by login.
type ownedRecord struct {
	Version int `json:"v"`
}

// Sub commits a reserved use by which another mytoken was made. What is handed on is charged in the same change;
// rules.ErrUsedUp is returned when the parent has not that much left any more: nothing was changed then, the use is
// still reserved, and g has to be made anew with what Presented.CountersNow says, or the use given back.
func (r *Reservation) Sub(ctx context.Context, g Grant) (Token, *Newest, error) {
	p, l := r.p, r.p.l
	key, err := p.loginKey()
	if err != nil {
		return Token{}, nil, fmt.Errorf("open the login of a mytoken: %w", err)
	}
	defer key.Wipe()
	path := append(append([]string(nil), p.path...), p.MOMID)
	n, err := l.prepare(g, key, issue{user: p.User, login: p.Login, path: path})
	if err != nil {
		return Token{}, nil, err
	}
	e := Event{Name: EventMTCreated, Comment: "Created MT " + g.Claims.Name, From: g.Event.From}
	newest, err := r.settle(ctx, e, &handing{p: p, issued: n, charges: g.Charges})
	if err != nil {
		return Token{}, nil, err
	}
	return l.tokenOf(n.momID, n.token, n.state, l.now()), newest, nil
}

// handing is a mytoken that is made from the one in hand.
type handing struct {
	*issued
	p       *Presented
	charges []rules.Charge
}

// lock locks the person, since an erasure that begins meanwhile has to see the new mytoken or stop it, and the place of
// the new mytoken, which comes before that of its parent.
func (h *handing) lock(tx store.WTx) error {
	u, err := readForUpdate[userRecord](tx, tableUsers, h.p.User)
	if err == nil && u.Erasing {
		err = ErrErased
	}
	if err != nil {
		return err
	}
	return absent(tx, h.momID)
}

func (h *handing) apply(tx store.WTx, s *stateRecord) error {
	lg, err := read[loginRecord](tx, tableLogins, h.p.Login)
	if err == nil && !lg.Ended.IsZero() {
		err = ErrNoLogin
	}
	if err != nil {
		return err
	}
	for _, c := range h.charges {
		if err := charge(s, h.p.Claims.Restrictions, c); err != nil {
			return err
		}
	}
	return h.p.l.keep(tx, h.issued, EventCreated, EventInherited)
}

// charge takes an allowance from the clause of the parent, by the limit that the parent's own JWT says.
func charge(s *stateRecord, rs mytoken.Restrictions, c rules.Charge) error {
	for _, r := range rs {
		if rules.KeyOf(r) != c.Clause {
			continue
		}
		n, err := s.counter(c.CounterKey).Charge(c.Kind.Limit(r), c.Uses)
		if err != nil {
			return err
		}
		s.setCounter(c.CounterKey, n)
		return nil
	}
	return fmt.Errorf("charge a clause that the parent does not have: %w", rules.ErrNotSubset)
}

// CountersNow returns the counters of the mytoken as they are now, for rules.Tighten.
func (p *Presented) CountersNow(ctx context.Context) (rules.Counters, error) {
	var all rules.Counters
	err := p.l.eng.View(ctx, func(tx store.Tx) error {
		s, err := read[stateRecord](tx, tableStates, p.MOMID)
		if err == nil {
			_, err = s.lapse(p.l.now(), p.l.o.Hold)
		}
		if err == nil {
			all = s.counters()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of a mytoken: %w", err)
	}
	return all, nil
}
