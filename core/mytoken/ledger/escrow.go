package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/escrow"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// escrowRecord is a copy of the refresh token of a login that only a key opens which is not here. It goes with the
// login, or when the refresh token was revoked at the provider.
type escrowRecord struct {
	Version int       `json:"v"`
	Key     string    `json:"key"` // ID of the key that opens it
	At      time.Time `json:"at"`
	Box     []byte    `json:"box"`
}

// seal returns the escrow record of a refresh token, nil where there is no escrow.
func (l *Ledger) seal(login string, c mytoken.Claims, rt secret.Text) (*escrowRecord, error) {
	r := l.o.Escrow
	if r == nil {
		return nil, nil
	}
	now := l.now().UTC()
	box, err := r.Seal(escrow.Deposit{
		Login: login, Issuer: c.OIDCIssuer, Subject: c.OIDCSubject, At: now, Refresh: rt,
	})
	if err != nil {
		return nil, err
	}
	return &escrowRecord{Version: recordVersion, Key: r.ID(), At: now, Box: box}, nil
}

// depositing takes each new refresh token of a login to the escrow, before the next refresh can begin.
type depositing struct {
	custody.Refresher
	p *Presented
}

func (d depositing) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	t, err := d.Refresher.Refresh(ctx, rt, r)
	if t.Refresh.Empty() || t.Refresh.Equal(rt) {
		return t, err
	}
	// The access token is not refused for it: the refresh token itself is kept, only its copy is out of date.
	if failed := d.p.l.renewDeposit(ctx, d.p, t.Refresh); failed != nil {
		d.p.l.o.Log.WarnContext(ctx, "the copy of a refresh token for the escrow key is out of date", "login", d.p.Login,
			"err", failed)
	}
	return t, err
}

func (l *Ledger) renewDeposit(ctx context.Context, p *Presented, fresh secret.Text) error {
	e, err := l.seal(p.Login, p.Claims, fresh)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	return l.eng.Update(ctx, func(tx store.WTx) error {
		lg, err := readForUpdate[loginRecord](tx, tableLogins, p.Login)
		if err != nil || lg.AtProvider {
			return err
		}
		return write(tx, tableEscrow, e, time.Time{}, p.Login)
	})
}

// Escrowed is the deposit of a login.
type Escrowed struct {
	LoginState
	Key string    // ID of the escrow key that opens it
	At  time.Time // of the refresh token in it
	Box []byte    // for (*escrow.Key).Open, with the ID of the login
}

// Escrowed returns the deposits of all logins. Those that have ended and not at the provider are to be revoked there by
// who has the key; RevokedAtProvider then removes them.
func (l *Ledger) Escrowed(ctx context.Context) (all []Escrowed, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		all = nil
		for r, err := range tx.Scan(table(tableEscrow), nil) {
			if err != nil {
				return err
			}
			e, err := parse[escrowRecord](r.Value)
			if err != nil {
				return err
			}
			x := Escrowed{Key: e.Key, At: e.At, Box: e.Box, LoginState: LoginState{ID: r.Key[0]}}
			lg, err := read[loginRecord](tx, tableLogins, x.ID)
			switch {
			case err == nil:
				x.User, x.Created, x.Ended, x.AtProvider = lg.User, lg.Created, lg.Ended, lg.AtProvider
			case !errors.Is(err, ErrUnknown):
				return err
			}
			all = append(all, x)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the escrow: %w", err)
	}
	return all, nil
}
