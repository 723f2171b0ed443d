package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Erase removes all that is kept of a person: mytokens and their histories, codes, logins with their refresh tokens,
// settings, and the person. It is marked first, so that nothing new begins, and finished by Sweep should the process
// die. ErrUnknown for a person who is not known.
//
// The refresh tokens live on at the provider: nobody can read them without a mytoken in hand, and what lies in escrow is
// removed too. Revoke first where that matters.
func (l *Ledger) Erase(ctx context.Context, user string) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		u, err := readForUpdate[userRecord](tx, tableUsers, user)
		if err != nil {
			return err
		}
		u.Erasing = true
		return write(tx, tableUsers, u, time.Time{}, user)
	})
	if err == nil {
		err = l.erase(ctx, user)
	}
	if err != nil {
		return fmt.Errorf("erase a person: %w", err)
	}
	return nil
}

func (l *Ledger) erase(ctx context.Context, user string) error {
	owned, err := l.keys(ctx, tableOwned, user)
	if err != nil {
		return err
	}
	for _, key := range owned {
		if err := l.shut(ctx, key[2]); err != nil {
			return err
		}
		if err := l.remove(ctx, Token{User: key[0], Login: key[1], MOMID: key[2]}, false); err != nil {
			return err
		}
	}
	logins, err := l.loginsOf(ctx, user)
	if err != nil {
		return err
	}
	for _, login := range logins {
		if err := l.forget(ctx, login); err != nil {
			return err
		}
		rows := []row{{tableLogins, store.Key{login}}, {tableEscrow, store.Key{login}}}
		if err := l.delete(ctx, rows); err != nil {
			return err
		}
	}
	return l.dropPerson(ctx, user)
}

// shut ends a mytoken without a trace, so that what is removed of it is not made anew by its use.
func (l *Ledger) shut(ctx context.Context, momID string) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		s, err := readForUpdate[stateRecord](tx, tableStates, momID)
		if err != nil || s.Revoked != nil {
			return err
		}
		s.Revoked = &revocation{At: l.now(), Reason: "erased"}
		s.Key, s.Answer = nil, nil
		return write(tx, tableStates, s, time.Time{}, momID)
	})
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// loginsOf looks through all logins: those whose first mytoken was never kept lead nowhere else.
func (l *Ledger) loginsOf(ctx context.Context, user string) (logins []string, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		logins = nil
		for r, err := range tx.Scan(table(tableLogins), nil) {
			if err != nil {
				return err
			}
			lg, err := parse[loginRecord](r.Value)
			if err != nil {
				return err
			}
			if lg.User == user {
				logins = append(logins, r.Key[0])
			}
		}
		return nil
	})
	return logins, err
}

// dropPerson removes the settings and the row of a person.
func (l *Ledger) dropPerson(ctx context.Context, user string) error {
	settings, err := l.keys(ctx, tableSettings, user)
	if err != nil {
		return err
	}
	var rows []row
	for _, key := range settings {
		rows = append(rows, row{tableSettings, key})
	}
	return l.delete(ctx, append(rows, row{tableUsers, store.Key{user}}))
}

// dropUser removes a person of whom no mytoken and no setting is kept. Begin and ChangeSetting lock the row as well, so
// neither can come to be meanwhile; a Begin that is under way makes the row anew.
func (l *Ledger) dropUser(ctx context.Context, user string) (gone bool, err error) {
	err = l.eng.Update(ctx, func(tx store.WTx) error {
		gone = false
		if _, err := readForUpdate[userRecord](tx, tableUsers, user); err != nil {
			return err
		}
		for _, name := range []string{tableOwned, tableSettings} {
			for _, err := range tx.Scan(table(name), store.Key{user}) {
				return err
			}
		}
		gone = true
		return tx.Delete(table(tableUsers), store.Key{user})
	})
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return gone && err == nil, err
}
