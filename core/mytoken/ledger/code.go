package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

// CodeKind is what a code is for. One of a kind is no good as another.
type CodeKind string

// The kinds of codes.
const (
	ConsentCode  CodeKind = "consent"
	PollingCode  CodeKind = "polling"
	StateCode    CodeKind = "state"
	TransferCode CodeKind = "transfer"
	ShortToken   CodeKind = "short" // taken by LookCode: it is good for many uses
	ActionCode   CodeKind = "action"
	SSHCode      CodeKind = "ssh"
)

const (
	// shortCode is the length below which people type a code: it is stretched, and attempts are bounded.
	shortCode = 22
	// minCode is the shortest code there is: 46 bits of letters.
	minCode = 8
	maxCode = 512
	// longCode is the length of codes that nobody types: 192 bits.
	longCode = 32
	// letters of codes that people type, without those that look alike.
	letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
)

// NewCode is a code to be made.
type NewCode struct {
	Kind CodeKind
	// Length in characters; 0 is 32, which is 192 bits. Below 22 it is one that people type.
	Length int
	TTL    time.Duration // 0: as long as Owner, which then has to be there
	Data   []byte        // what the server needs to know of it; sealed with the server's key only
	Secret secret.Text   // opens with the code only: not with the file and the server's key
	Owner  string        // mom_id of the mytoken that the code goes with, "" for none
}

// Code is a code that is kept.
type Code struct {
	Text    secret.Text // the code itself, set by MakeCode. The caller wipes it
	Handle  CodeHandle
	Data    []byte
	Secret  secret.Text // the caller wipes it
	Expires time.Time   // zero: with its owner
	Owner   string
}

// CodeHandle names a code without being it. With Key something can be put under the code by who does not have it: a
// mytoken under the polling code, by who has only come back from the provider.
type CodeHandle struct {
	Kind CodeKind
	ID   string
	Key  secret.Text // the caller wipes it; it opens what lies under the code
}

type codeRecord struct {
	Version int       `json:"v"`
	Data    []byte    `json:"data,omitzero"`
	Secret  *box      `json:"secret,omitzero"`
	Owner   string    `json:"owner,omitzero"`
	Expires time.Time `json:"exp,omitzero"`
}

type aliasRecord struct {
	Version int      `json:"v"`
	Kind    CodeKind `json:"kind"`
}

// MakeCode makes a random code and keeps what lies under it. With an Owner it goes when that does.
func (l *Ledger) MakeCode(ctx context.Context, n NewCode) (Code, error) {
	length := n.Length
	if length == 0 {
		length = longCode
	}
	if length < minCode || length > maxCode || n.TTL <= 0 && n.Owner == "" {
		return Code{}, fmt.Errorf("make a code of %d characters, for %v: %w", length, n.TTL, ErrInvalid)
	}
	text := randomText(length)
	h, err := l.handle(ctx, n.Kind, text)
	if err != nil {
		text.Wipe()
		return Code{}, fmt.Errorf("make a code: %w", err)
	}
	c := Code{Text: text, Handle: h, Data: n.Data, Owner: n.Owner}
	if n.TTL > 0 {
		c.Expires = l.now().Add(n.TTL)
	}
	rec := codeRecord{Version: recordVersion, Data: n.Data, Owner: n.Owner, Expires: c.Expires}
	if !n.Secret.Empty() {
		rec.Secret, err = lock(h.Key, n.Secret, forCode, h.ID)
	}
	if err == nil {
		err = l.eng.Update(ctx, func(tx store.WTx) error { return l.keepCode(tx, h, rec) })
	}
	if err != nil {
		text.Wipe()
		h.Key.Wipe()
		return Code{}, fmt.Errorf("make a code: %w", err)
	}
	return c, nil
}

func (l *Ledger) keepCode(tx store.WTx, h CodeHandle, rec codeRecord) error {
	if rec.Owner != "" {
		// Locked: who removes the owner has to see this code or stop it.
		if _, err := readForUpdate[stateRecord](tx, tableStates, rec.Owner); err != nil {
			return err
		}
		a := aliasRecord{recordVersion, h.Kind}
		if err := write(tx, tableAliases, a, rec.Expires, rec.Owner, h.ID); err != nil {
			return err
		}
	}
	return write(tx, tableCodes, rec, rec.Expires, string(h.Kind), h.ID)
}

// randomText draws letters, each independently.
func randomText(n int) secret.Text {
	out := make([]byte, 0, n)
	one := make([]byte, 1)
	for len(out) < n {
		// Bytes beyond a multiple of the number of letters would make some of them likelier.
		if rand.Read(one); int(one[0]) < 256/len(letters)*len(letters) {
			out = append(out, letters[int(one[0])%len(letters)])
		}
	}
	return secret.New(out)
}

// stretch is what one attempt at a short code costs: 8 MiB, some 10 ms.
func stretch() vault.Params { return vault.Params{Time: 2, Memory: 8 << 10, Threads: 1} }

// handle derives from a code what names it and what opens it. Neither leads back to the code, nor from one to the
// other.
func (l *Ledger) handle(ctx context.Context, kind CodeKind, code secret.Text) (CodeHandle, error) {
	root := code
	if code.Len() < shortCode {
		salt := sha256.Sum256([]byte("oidcbox mytoken 1 short code\x00" + string(kind)))
		slow, err := vault.Argon2(ctx, code, salt[:], stretch())
		if err != nil {
			return CodeHandle{}, err
		}
		defer slow.Wipe()
		root = slow
	}
	id, err := derive(root, []byte(kind), "oidcbox mytoken 1 code id")
	if err != nil {
		return CodeHandle{}, err
	}
	key, err := derive(root, []byte(kind), "oidcbox mytoken 1 code key")
	if err != nil {
		return CodeHandle{}, err
	}
	h := CodeHandle{Kind: kind, Key: key}
	err = id.Use(func(b []byte) error { h.ID = base64.RawURLEncoding.EncodeToString(b); return nil })
	return h, err
}

// LookCode returns what lies under a code and leaves it there. ErrUnknown for one that never was, was taken or is over.
func (l *Ledger) LookCode(ctx context.Context, kind CodeKind, code secret.Text) (Code, error) {
	return l.find(ctx, kind, code, func(ctx context.Context, h CodeHandle) (rec *codeRecord, err error) {
		err = l.eng.View(ctx, func(tx store.Tx) error {
			rec, err = read[codeRecord](tx, tableCodes, string(h.Kind), h.ID)
			return err
		})
		return rec, err
	})
}

// TakeCode is LookCode for a code that is good once: of all who ask at once, one gets it.
func (l *Ledger) TakeCode(ctx context.Context, kind CodeKind, code secret.Text) (Code, error) {
	return l.find(ctx, kind, code, func(ctx context.Context, h CodeHandle) (rec *codeRecord, err error) {
		// A wrong code is found out without a transaction that writes.
		err = l.eng.View(ctx, func(tx store.Tx) error {
			_, err := read[codeRecord](tx, tableCodes, string(h.Kind), h.ID)
			return err
		})
		if err != nil {
			return nil, err
		}
		err = l.eng.Update(ctx, func(tx store.WTx) error {
			if rec, err = readForUpdate[codeRecord](tx, tableCodes, string(h.Kind), h.ID); err != nil {
				return err
			}
			return dropCode(tx, h.Kind, h.ID, rec.Owner)
		})
		return rec, err
	})
}

func dropCode(tx store.WTx, kind CodeKind, id, owner string) error {
	if owner != "" {
		if err := tx.Delete(table(tableAliases), store.Key{owner, id}); err != nil {
			return err
		}
	}
	return tx.Delete(table(tableCodes), store.Key{string(kind), id})
}

func (l *Ledger) find(
	ctx context.Context, kind CodeKind, code secret.Text, get func(context.Context, CodeHandle) (*codeRecord, error),
) (Code, error) {
	if code.Len() < minCode || code.Len() > maxCode {
		return Code{}, fmt.Errorf("look up a code: %w", ErrUnknown)
	}
	if code.Len() < shortCode && !l.short.allow(l.now()) {
		return Code{}, fmt.Errorf("look up a short code: %w", ErrTooMany)
	}
	h, err := l.handle(ctx, kind, code)
	if err != nil {
		return Code{}, fmt.Errorf("look up a code: %w", err)
	}
	rec, err := get(ctx, h)
	if err == nil && !rec.Expires.IsZero() && !l.now().Before(rec.Expires) {
		err = ErrUnknown
	}
	if err != nil {
		h.Key.Wipe()
		return Code{}, fmt.Errorf("look up a code: %w", err)
	}
	c := Code{Handle: h, Data: rec.Data, Expires: rec.Expires, Owner: rec.Owner}
	if rec.Secret != nil {
		c.Secret, err = rec.Secret.open(h.Key, forCode, h.ID)
	}
	if err != nil {
		h.Key.Wipe()
		return Code{}, fmt.Errorf("look up a code: %w", err)
	}
	return c, nil
}

// PutCode replaces what lies under a code that was made before, by its handle: Data where it is not nil, Secret where
// it is not empty. ErrUnknown when it was taken or is over.
func (l *Ledger) PutCode(ctx context.Context, h CodeHandle, data []byte, what secret.Text) error {
	return l.EditCode(ctx, h, what, func(old []byte) ([]byte, error) {
		if data == nil {
			return old, nil
		}
		return data, nil
	})
}

// EditCode is PutCode where the new Data depend on the old ones: of all who edit at once, each sees what the one before
// left. An error of edit is returned, and nothing is changed. edit may run more than once.
func (l *Ledger) EditCode(
	ctx context.Context, h CodeHandle, what secret.Text, edit func(data []byte) ([]byte, error),
) error {
	var sealed *box
	if !what.Empty() {
		var err error
		if sealed, err = lock(h.Key, what, forCode, h.ID); err != nil {
			return fmt.Errorf("put something under a code: %w", err)
		}
	}
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		rec, err := readForUpdate[codeRecord](tx, tableCodes, string(h.Kind), h.ID)
		if err != nil {
			return err
		}
		if rec.Data, err = edit(rec.Data); err != nil {
			return err
		}
		if sealed != nil {
			rec.Secret = sealed
		}
		return write(tx, tableCodes, rec, rec.Expires, string(h.Kind), h.ID)
	})
	if err != nil {
		return fmt.Errorf("put something under a code: %w", err)
	}
	return nil
}

// RetireCode lets a code end at a time, if it would live longer. ErrUnknown when it was taken or is over.
func (l *Ledger) RetireCode(ctx context.Context, kind CodeKind, code secret.Text, at time.Time) error {
	h, err := l.handle(ctx, kind, code)
	h.Key.Wipe()
	if err == nil {
		err = l.eng.Update(ctx, func(tx store.WTx) error {
			rec, err := readForUpdate[codeRecord](tx, tableCodes, string(kind), h.ID)
			if err != nil || !rec.Expires.IsZero() && !rec.Expires.After(at) {
				return err
			}
			rec.Expires = at
			if rec.Owner != "" {
				a := aliasRecord{recordVersion, kind}
				if err := write(tx, tableAliases, a, at, rec.Owner, h.ID); err != nil {
					return err
				}
			}
			return write(tx, tableCodes, rec, at, string(kind), h.ID)
		})
	}
	if err != nil {
		return fmt.Errorf("let a code end: %w", err)
	}
	return nil
}

// DropCode removes a code. That it is not there is no error.
func (l *Ledger) DropCode(ctx context.Context, kind CodeKind, code secret.Text) error {
	c, err := l.TakeCode(ctx, kind, code)
	c.Secret.Wipe()
	c.Handle.Key.Wipe()
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	return nil
}

// attempts bounds how often short codes are tried, by all who try: guessing one of 46 bits takes longer than it lives.
type attempts struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

const (
	attemptsPerSecond = 10
	attemptsAtOnce    = 50
)

func (a *attempts) allow(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() {
		a.left = attemptsAtOnce
	} else {
		a.left = min(attemptsAtOnce, a.left+attemptsPerSecond*max(now.Sub(a.at).Seconds(), 0))
	}
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}
