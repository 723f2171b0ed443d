package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Revoked says what followed from a revocation.
type Revoked struct {
	Already bool // it had ended before, in this way
	Login   string
	// LoginEnded says that no mytoken of the login lives any more: its refresh token is removed here.
	LoginEnded bool
	// Refresh is that refresh token, to be revoked at the provider, and empty when no mytoken of the login was in hand
	// that yields it. The caller wipes it, and calls RevokedAtProvider when it was done.
	Refresh secret.Text
}

// ending is how a mytoken ends.
type ending struct {
	recursive bool
	reason    string
	from      Origin
}

// Revoke ends the mytoken in hand, or another one of the same person, with all that was made from it when recursive;
// else these go on by themselves. ErrUnknown for a mytoken of somebody else. What it leaves of the allowance it was
// made with goes back to the mytoken it was made from.
func (p *Presented) Revoke(ctx context.Context, momID string, recursive bool, from Origin) (Revoked, error) {
	if momID == "" {
		momID = p.MOMID
	}
	login, err := p.l.loginOf(ctx, p.User, momID)
	if err != nil {
		return Revoked{}, fmt.Errorf("revoke a mytoken: %w", err)
	}
	var rt secret.Text
	if login == p.Login {
		// Before anything ends: afterwards nobody can open it.
		if rt, err = p.refreshToken(ctx); err != nil {
			p.l.o.Log.WarnContext(ctx, "a login cannot be opened, and will not be revoked at its provider",
				"login", login, "err", err)
		}
	}
	r, err := p.l.end(ctx, momID, ending{recursive: recursive, reason: "revoked", from: from})
	if err != nil || !r.LoginEnded {
		rt.Wipe()
		return r, err
	}
	r.Refresh = rt
	return r, nil
}

func (p *Presented) refreshToken(ctx context.Context) (secret.Text, error) {
	key, err := p.loginKey()
	if err != nil {
		return secret.Text{}, err
	}
	defer key.Wipe()
	k, err := p.l.keeper(p.Login, key)
	if err != nil {
		return secret.Text{}, err
	}
	defer p.l.release(ctx, k)
	rt, err := k.Token(ctx, p.Login)
	if errors.Is(err, custody.ErrUnknownLogin) {
		err = ErrNoLogin
	}
	return rt, err
}

// Revoke ends a mytoken without one in hand: the operator does. Its refresh token cannot be revoked at the provider.
func (l *Ledger) Revoke(ctx context.Context, momID string, recursive bool, reason string) (Revoked, error) {
	return l.end(ctx, momID, ending{recursive: recursive, reason: reason})
}

func (l *Ledger) loginOf(ctx context.Context, user, momID string) (login string, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		s, err := read[stateRecord](tx, tableStates, momID)
		if err == nil && s.User != user {
			err = ErrUnknown
		}
		if err == nil {
			login = s.Login
		}
		return err
	})
	return login, err
}

// end ends a mytoken, and its login with the last one. All below it ends by one mark that readers honour.
func (l *Ledger) end(ctx context.Context, momID string, e ending) (Revoked, error) {
	var r Revoked
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		s, now, err := l.forUpdate(tx, momID)
		if err != nil {
			return err
		}
		r = Revoked{Login: s.Login, Already: s.Revoked != nil && (s.Revoked.Recursive || !e.recursive)}
		if r.Already {
			return nil
		}
		if err := l.giveUp(tx, momID, s); err != nil {
			return err
		}
		s.Revoked = &revocation{At: now, Recursive: e.recursive, Reason: e.reason}
		s.Key, s.Answer = nil, nil
		if e.recursive {
			if err := write(tx, tableMarks, markRecord{recordVersion, now}, time.Time{}, momID); err != nil {
				return err
			}
		}
		if err := l.note(tx, momID, s, Event{Name: EventRevoked, Comment: e.reason, From: e.from}, now); err != nil {
			return err
		}
		return write(tx, tableStates, s, time.Time{}, momID)
	})
	if err != nil {
		return Revoked{}, fmt.Errorf("revoke a mytoken: %w", err)
	}
	r.LoginEnded, err = l.endLogin(ctx, r.Login)
	return r, err
}

// giveUp returns to the parent what a mytoken that ends leaves of its allowance, once.
func (l *Ledger) giveUp(tx store.WTx, momID string, s *stateRecord) error {
	if s.Returned || len(s.Path) == 0 {
		return nil
	}
	t, err := read[tokenRecord](tx, tableTokens, momID)
	if err != nil {
		return err
	}
	if len(t.Charges) == 0 {
		return nil
	}
	parent := s.Path[len(s.Path)-1]
	up, _, err := l.forUpdate(tx, parent)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	left, err := t.unused(s.counters())
	if err != nil {
		return err
	}
	for _, c := range left {
		n, err := up.counter(c.CounterKey).Return(c.Uses)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRecord, err)
		}
		up.setCounter(c.CounterKey, n)
	}
	s.Returned = true
	return write(tx, tableStates, up, time.Time{}, parent)
}

func (t tokenRecord) unused(counters rules.Counters) ([]rules.Charge, error) {
	rs, err := t.clauses()
	if err != nil {
		return nil, err
	}
	var (
		from    []rules.Key
		charges []rules.Charge
	)
	for _, k := range t.From {
		from = append(from, rules.Key(k))
	}
	for _, c := range t.Charges {
		charges = append(charges, rules.Charge{CounterKey: c.key(), Uses: c.Uses})
	}
	return rules.Unused(rs, from, charges, counters), nil
}

// endLogin removes the refresh token of a login of which no mytoken lives, and reports whether it ended now.
func (l *Ledger) endLogin(ctx context.Context, login string) (bool, error) {
	var ended bool
	err := l.eng.View(ctx, func(tx store.Tx) error {
		lg, err := read[loginRecord](tx, tableLogins, login)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		if err != nil || !lg.Ended.IsZero() || lg.Pending {
			return err
		}
		living, err := l.anyAlive(tx, lg.User, login)
		ended = err == nil && !living
		return err
	})
	if err == nil && ended {
		ended, err = l.markEnded(ctx, login)
	}
	if err != nil {
		return false, fmt.Errorf("end a login: %w", err)
	}
	return ended, nil
}

// markEnded writes the mark first: should the process die before the refresh token is removed, Sweep removes it. Of
// those who find out at the same time, one is told that it ended the login.
func (l *Ledger) markEnded(ctx context.Context, login string) (first bool, err error) {
	err = l.eng.Update(ctx, func(tx store.WTx) error {
		first = false
		lg, err := readForUpdate[loginRecord](tx, tableLogins, login)
		if err != nil || !lg.Ended.IsZero() {
			return err
		}
		first, lg.Ended = true, l.now()
		return write(tx, tableLogins, lg, time.Time{}, login)
	})
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	if err != nil || !first {
		return false, err
	}
	return true, l.forget(ctx, login)
}

// RevokedAtProvider notes that the refresh token of an ended login was revoked at its provider too, and removes what lies
// in escrow of it.
func (l *Ledger) RevokedAtProvider(ctx context.Context, login string) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		lg, err := readForUpdate[loginRecord](tx, tableLogins, login)
		if err != nil {
			return err
		}
		lg.AtProvider = true
		if err := write(tx, tableLogins, lg, time.Time{}, login); err != nil {
			return err
		}
		return tx.Delete(table(tableEscrow), store.Key{login})
	})
	if err != nil {
		return fmt.Errorf("note a revocation at the provider: %w", err)
	}
	return nil
}

// anyAlive reports whether a mytoken of a login lives.
func (l *Ledger) anyAlive(tx store.Tx, user, login string) (bool, error) {
	now := l.now()
	for row, err := range tx.Scan(table(tableOwned), store.Key{user, login}) {
		if err != nil {
			return false, err
		}
		s, err := read[stateRecord](tx, tableStates, row.Key[2])
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return false, err
		}
		switch end, err := endOf(tx, s, now); {
		case err != nil:
			return false, err
		case end.IsZero():
			return true, nil
		}
	}
	return false, nil
}

// endOf returns when a mytoken ended, zero when it lives.
func endOf(tx store.Tx, s *stateRecord, now time.Time) (time.Time, error) {
	if s.Revoked != nil {
		return s.Revoked.At, nil
	}
	at, err := markAbove(tx, s.Path)
	if errors.Is(err, ErrRevoked) {
		return at, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if s.expired(now) {
		return s.Expires, nil
	}
	return time.Time{}, nil
}

// expired compares as mint.Timely does.
func (s *stateRecord) expired(now time.Time) bool {
	return !s.Expires.IsZero() && now.Unix() >= s.Expires.Unix()
}
