package otp

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Defaults of Options.
const (
	DefaultLife       = 5 * time.Minute
	DefaultCompatLife = 10 * time.Minute
	DefaultKept       = 32
)

// Options of a Book. The zero value is usable.
type Options struct {
	Life       time.Duration // of passwords of our own form; 0: DefaultLife
	CompatLife time.Duration // of the compatible form, from the last time it was asked for; 0: DefaultCompatLife
	Kept       int           // how many one identity has at most, the oldest gives way; 0: DefaultKept
	// Off makes none and redeems none; CompatOff the same for the compatible form alone.
	Off, CompatOff bool
	Now            func() time.Time // nil: time.Now
}

// Book keeps one-time passwords. It is safe for concurrent use, also by several processes on one store.
type Book struct {
	engine store.Engine
	o      Options
}

// New returns the book of what is kept in engine, which should be a sealed one: the records name identities.
func New(engine store.Engine, o Options) *Book {
	if o.Life <= 0 {
		o.Life = DefaultLife
	}
	if o.CompatLife <= 0 {
		o.CompatLife = DefaultCompatLife
	}
	if o.Kept <= 0 {
		o.Kept = DefaultKept
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{engine: engine, o: o}
}

// Offers reports whether passwords of a form are made here.
func (b *Book) Offers(k form.Kind) bool {
	switch k {
	case form.Own:
		return !b.o.Off
	case form.CompatForm:
		return !b.o.Off && !b.o.CompatOff
	}
	return false
}

// Password is a new one. Who gets it wipes it.
type Password struct {
	Secret  secret.Text
	Expires time.Time
}

// Found is what a password stands for.
type Found struct {
	Kind form.Kind
	ID   string // the identity, as core/account/names writes it
	Name string // the local name it is for; "" with the compatible form, where the accounts have to say it
	// Token is the access token that has to be judged again, empty when the password was made without one.
	Token secret.Text
}

// CompatSecret is the password that clients of motley-cue compute of an access token.
func CompatSecret(token secret.Text) secret.Text {
	var out []byte
	_ = token.Use(func(t []byte) error {
		sum := sha512.Sum512(t)
		out = hex.AppendEncode(nil, sum[:])
		return nil
	})
	return secret.New(out)
}

// Compat keeps the compatible password of an access token, which was judged, of identity id. Asked again it lives
// longer. The error is ErrOff, ErrIdentity, or the store's.
func (b *Book) Compat(ctx context.Context, token secret.Text, id string) error {
	switch {
	case !b.Offers(form.CompatForm):
		return ErrOff
	case id == "" || token.Empty():
		return ErrIdentity
	}
	presented := CompatSecret(token)
	defer presented.Wipe()
	return b.keep(ctx, presented, Found{Kind: form.CompatForm, ID: id, Token: token}, b.o.Now().Add(b.o.CompatLife))
}

// Issue makes a password of our own form with which identity id may log in once as name. The error is ErrOff,
// ErrIdentity, or the store's.
func (b *Book) Issue(ctx context.Context, id, name string) (Password, error) {
	return b.IssueWith(ctx, id, name, secret.Text{})
}

// IssueWith is Issue for who showed an access token: the token is kept, to be judged again when the password is used.
// It is not wiped.
func (b *Book) IssueWith(ctx context.Context, id, name string, token secret.Text) (Password, error) {
	switch {
	case !b.Offers(form.Own):
		return Password{}, ErrOff
	case id == "" || name == "":
		return Password{}, ErrIdentity
	}
	p := Password{Secret: secret.New(form.New()), Expires: b.o.Now().Add(b.o.Life)}
	if err := b.keep(ctx, p.Secret, Found{Kind: form.Own, ID: id, Name: name, Token: token}, p.Expires); err != nil {
		p.Secret.Wipe()
		return Password{}, err
	}
	return p, nil
}

// Redeem finds what a password stands for, lets judge decide about the login, and burns the password when judge returns
// nil: only then is the error nil, and for one caller only. judge runs outside of any transaction and may ask issuers;
// its error is returned as it is and leaves the password alone. Other errors are ErrUnknown, ErrOff, and the store's.
// Found.Token is wiped when Redeem returns.
func (b *Book) Redeem(
	ctx context.Context, presented secret.Text, judge func(context.Context, Found) error,
) (Found, error) {
	if b.o.Off {
		return Found{}, ErrOff
	}
	spelt, kind := canonical(presented)
	if kind != form.Own && kind != form.CompatForm {
		return Found{}, ErrUnknown
	}
	defer spelt.Wipe()
	key := digest(spelt)
	var found Found
	err := b.engine.View(ctx, func(tx store.Tx) error {
		r, err := tx.Get(passwords(), store.Key{key})
		if err != nil {
			return err
		}
		found, err = open(spelt, r.Value)
		return err
	})
	if err != nil {
		return Found{}, missing(err)
	}
	defer found.Token.Wipe()
	if !b.Offers(found.Kind) {
		return Found{}, ErrOff
	}
	if err := judge(ctx, found); err != nil {
		return Found{}, err
	}
	return Found{Kind: found.Kind, ID: found.ID, Name: found.Name}, b.burn(ctx, key)
}

// burn deletes one password, ErrUnknown when somebody else was faster.
func (b *Book) burn(ctx context.Context, key string) error {
	return missing(b.engine.Update(ctx, func(tx store.WTx) error {
		if _, err := tx.GetForUpdate(passwords(), store.Key{key}); err != nil {
			return err
		}
		return tx.Delete(passwords(), store.Key{key})
	}))
}

func missing(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return ErrUnknown
	case errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("look a one-time password up: %w", err)
}

// Burn ends every password of an identity, and says how many there were.
func (b *Book) Burn(ctx context.Context, id string) (int, error) {
	n := 0
	err := b.engine.Update(ctx, func(tx store.WTx) error {
		n = 0
		list, err := b.owned(tx, id)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			_, err := tx.GetForUpdate(passwords(), store.Key{e.Key})
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err == nil {
				err = tx.Delete(passwords(), store.Key{e.Key})
			}
			if err != nil {
				return err
			}
			n++
		}
		return tx.Delete(owners(), store.Key{ownerKey(id)})
	})
	if err != nil {
		return 0, fmt.Errorf("burn one-time passwords: %w", err)
	}
	return n, nil
}

// keep writes a password down, and in the list of its identity, which is locked first: a burning of all of them at the
// same time comes before or after.
func (b *Book) keep(ctx context.Context, presented secret.Text, f Found, expires time.Time) error {
	value, err := seal(presented, f)
	if err != nil {
		return err
	}
	key := digest(presented)
	err = b.engine.Update(ctx, func(tx store.WTx) error {
		list, err := b.owned(tx, f.ID)
		if err != nil {
			return err
		}
		list, surplus := enlist(list, entry{Key: key, Expires: expires.UnixMilli()}, b.o.Kept)
		for _, e := range surplus {
			if err := tx.Delete(passwords(), store.Key{e.Key}); err != nil {
				return err
			}
		}
		if err := tx.Put(passwords(), store.Record{Key: store.Key{key}, Value: value, Expires: expires}); err != nil {
			return err
		}
		return putOwned(tx, f.ID, list)
	})
	if err != nil {
		return fmt.Errorf("keep a one-time password: %w", err)
	}
	return nil
}
