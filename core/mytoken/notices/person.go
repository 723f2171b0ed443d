package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

// confirmFor is how long the link that confirms an address is good.
const confirmFor = time.Hour

// Mail returns where mails of a person go. The zero value is what a person has who never said.
func (n *Notices) Mail(ctx context.Context, user string) (e mytoken.Email, err error) {
	err = n.o.Engine.View(ctx, func(tx store.Tx) error {
		p, err := get[personRecord](tx, kindPerson, user)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		if err == nil {
			e = mytoken.Email{Address: p.Address, Verified: p.Verified, HTML: p.HTML}
		}
		return err
	})
	if err != nil {
		return mytoken.Email{}, fmt.Errorf("read mail settings: %w", err)
	}
	return e, nil
}

// SetMail changes the address of a person, where it is not "", and the form of mails, where html is not nil. An address
// that is not confirmed gets a mail with which it can be; until then mails go on to the one before. The one before is
// told of the change. Errors: ErrAddress, ErrNoMail, *LaterError.
func (n *Notices) SetMail(ctx context.Context, user, address string, html *bool) error {
	var to mail.Address
	if address != "" {
		a, err := mail.ParseAddress(address)
		if err != nil {
			return fmt.Errorf("change mail settings: %w", ErrAddress)
		}
		if !n.Mails() {
			return fmt.Errorf("change mail settings: %w", ErrNoMail)
		}
		to = a
	}
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, user)
		if err != nil {
			return err
		}
		if html != nil {
			p.HTML = *html
		}
		if address != "" {
			if err := n.setAddress(tx, user, p, to); err != nil {
				return err
			}
		}
		return savePerson(tx, user, p)
	})
	if err != nil {
		return fmt.Errorf("change mail settings: %w", err)
	}
	n.stir()
	return nil
}

func (n *Notices) setAddress(tx store.WTx, user string, p *personRecord, to mail.Address) error {
	if p.Verified && p.Address == to.String() {
		return nil
	}
	if err := n.mayConfirm(tx, p, to); err != nil {
		return err
	}
	before := p.deliver()
	if p.Verified {
		p.Previous = p.Address
	}
	changed := p.Address != to.String()
	p.Address, p.Verified = to.String(), false
	if p.Previous == p.Address { // back to what was confirmed
		p.Verified, p.Previous = true, ""
		return nil
	}
	code := randomCode(codeLength)
	end := n.now().Add(confirmFor)
	err := keepCode(tx, code, codeRecord{
		User: user, Purpose: forConfirming, Address: p.Address, Expires: end,
	})
	if err != nil {
		return err
	}
	err = n.enqueue(tx, user, p, n.confirmation(p, n.link(forConfirming, code), end))
	if errors.Is(err, errNoRoom) {
		return &LaterError{time.Hour}
	}
	if err != nil || before == "" || !changed {
		return err
	}
	if err = n.enqueue(tx, user, p, n.addressChanged(p, before)); errors.Is(err, errNoRoom) {
		return nil
	}
	return err
}

// mayConfirm counts a mail that confirms an address: anybody can give anybody's.
func (n *Notices) mayConfirm(tx store.WTx, p *personRecord, to mail.Address) error {
	now := n.now()
	var ok bool
	if p.Confirmations, ok = count(p.Confirmations, now, n.o.Limits.Confirmations); !ok {
		return &LaterError{retry(p.Confirmations, now)}
	}
	hash := hashOf(strings.ToLower(to.String()))
	r, err := getForUpdate[countRecord](tx, kindAddress, hash)
	if errors.Is(err, ErrUnknown) {
		r, err = &countRecord{Version: recordVersion}, nil
	}
	if err != nil {
		return err
	}
	if r.Times, ok = count(r.Times, now, perAddress); !ok {
		return &LaterError{retry(r.Times, now)}
	}
	return put(tx, r, now.Add(confirmFor), kindAddress, hash)
}

// count adds one to those of the last hour, if there is room for it.
func count(times []time.Time, now time.Time, limit int) ([]time.Time, bool) {
	times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	if len(times) >= limit {
		return times, false
	}
	return append(times, now), true
}

func retry(times []time.Time, now time.Time) time.Duration {
	return max(time.Second, time.Hour-now.Sub(times[0]))
}

// Learn takes the address that the provider of a person tells, for one who has none. Only where the provider says that
// it confirmed it mails go there at once.
func (n *Notices) Learn(ctx context.Context, user, address string, verified bool) error {
	to, err := mail.ParseAddress(address)
	if err != nil {
		return nil //nolint:nilerr // the person can still give another
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, user)
		if err != nil || p.Address != "" {
			return err
		}
		p.Address, p.Verified = to.String(), verified
		return savePerson(tx, user, p)
	})
	if err != nil {
		return fmt.Errorf("keep the mail address of a provider: %w", err)
	}
	return nil
}

// confirm makes an address the one that mails go to, if it is still the one that was given. ErrUnknown.
func (n *Notices) confirm(ctx context.Context, code string) error {
	return n.o.Engine.Update(ctx, func(tx store.WTx) error {
		c, err := n.look(tx, code, forConfirming)
		if err != nil {
			return err
		}
		p, err := person(tx, c.User)
		if err != nil {
			return err
		}
		if p.Address != c.Address {
			return ErrUnknown
		}
		p.Verified, p.Previous = true, ""
		return savePerson(tx, c.User, p) // the code lives out its hour: a second click does no harm and says the same
	})
}
