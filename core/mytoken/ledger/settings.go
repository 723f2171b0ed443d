package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/store"
)

// User is a person, as far as the ledger knows one.
type User struct {
	ID              string
	Issuer, Subject string // at the provider
	Created         time.Time
	Erasing         bool
}

// UserID names a person: the sub of the mytokens.
func UserID(issuer, subject string) string { return mint.Subject(subject, issuer) }

// User returns a person. ErrUnknown.
func (l *Ledger) User(ctx context.Context, id string) (u User, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		r, err := read[userRecord](tx, tableUsers, id)
		if err == nil {
			u = User{ID: id, Issuer: r.Issuer, Subject: r.Subject, Created: r.Created, Erasing: r.Erasing}
		}
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("find a person: %w", err)
	}
	return u, nil
}

// Users returns everybody who is known here, in no particular order. It reads a record for each.
func (l *Ledger) Users(ctx context.Context) (list []User, err error) {
	keys, err := l.keys(ctx, tableUsers)
	if err != nil {
		return nil, fmt.Errorf("list the people: %w", err)
	}
	for _, key := range keys {
		u, err := l.User(ctx, key[0])
		if errors.Is(err, ErrUnknown) { // erased meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, nil
}

// settingRecord is one setting of a person: what it means is its owner's matter.
type settingRecord struct {
	Version int             `json:"v"`
	Value   json.RawMessage `json:"value"`
}

// Setting returns a setting of a person, nil where it was never set.
func (l *Ledger) Setting(ctx context.Context, user, name string) (json.RawMessage, error) {
	var v json.RawMessage
	err := l.eng.View(ctx, func(tx store.Tx) error {
		r, err := read[settingRecord](tx, tableSettings, user, name)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		if err == nil {
			v = r.Value
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read a setting: %w", err)
	}
	return v, nil
}

// ChangeSetting replaces a setting of a person who is known here by what edit makes of it; nil removes it. edit may run
// more than once, and its error is returned.
func (l *Ledger) ChangeSetting(
	ctx context.Context, user, name string, edit func(json.RawMessage) (json.RawMessage, error),
) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		u, err := readForUpdate[userRecord](tx, tableUsers, user)
		if err == nil && u.Erasing {
			err = ErrErased
		}
		if err != nil {
			return err
		}
		return changeSetting(tx, user, name, edit)
	})
	if err != nil {
		return fmt.Errorf("change a setting: %w", err)
	}
	return nil
}

func changeSetting(
	tx store.WTx, user, name string, edit func(json.RawMessage) (json.RawMessage, error),
) error {
	old, err := readForUpdate[settingRecord](tx, tableSettings, user, name)
	if errors.Is(err, ErrUnknown) {
		old, err = &settingRecord{}, nil
	}
	if err != nil {
		return err
	}
	v, err := edit(old.Value)
	if err != nil {
		return err
	}
	if v == nil {
		return tx.Delete(table(tableSettings), store.Key{user, name})
	}
	return write(tx, tableSettings, settingRecord{recordVersion, v}, time.Time{}, user, name)
}

// nobody is the person whose settings are those of the server: an id that no person has.
const nobody = "*"

// Shared returns something that is kept for all, as templates of requests are; nil where it was never set.
func (l *Ledger) Shared(ctx context.Context, name string) (json.RawMessage, error) {
	return l.Setting(ctx, nobody, name)
}

// ChangeShared replaces something that is kept for all by what edit makes of it, as ChangeSetting does.
func (l *Ledger) ChangeShared(
	ctx context.Context, name string, edit func(json.RawMessage) (json.RawMessage, error),
) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error { return changeSetting(tx, nobody, name, edit) })
	if err != nil {
		return fmt.Errorf("change a setting of the server: %w", err)
	}
	return nil
}
