package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/store"
)

// errNoSnapshot is told of a state that another program has to back up.
var errNoSnapshot = errors.New("the state is in a database: back that up with its own tools (pg_dump), and the key file")

// snapshotter is an engine that can be copied while it is used.
type snapshotter interface {
	Snapshot(ctx context.Context, w io.Writer) (n int64, err error)
}

// ownOffice works on a state that is open in this process.
type ownOffice struct {
	ledger  *ledger.Ledger
	raw     store.Engine
	notices eraser
}

// eraser removes what it keeps of a person; *notices.Notices is one.
type eraser interface {
	Erase(ctx context.Context, user string) error
}

func (d *server) office() office {
	return ownOffice{ledger: d.ledger, raw: d.state.Raw, notices: d.notices}
}

// Users is part of office.
func (o ownOffice) Users(ctx context.Context) ([]userView, error) {
	users, err := o.ledger.Users(ctx)
	list := make([]userView, 0, len(users))
	for _, u := range users {
		list = append(list, userView{ID: u.ID, Provider: u.Issuer, Subject: u.Subject, Since: u.Created.UTC(), Erasing: u.Erasing})
	}
	return list, err
}

// Tokens is part of office.
func (o ownOffice) Tokens(ctx context.Context, user string) ([]tokenView, error) {
	users := []ledger.User{{ID: user}}
	if user == "" {
		var err error
		if users, err = o.ledger.Users(ctx); err != nil {
			return nil, err
		}
	}
	list := []tokenView{}
	for _, u := range users {
		tokens, err := o.ledger.List(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		for _, t := range tokens {
			list = append(list, viewOf(t))
		}
	}
	return list, nil
}

// Revoke is part of office. The refresh token lives on at the provider: without a mytoken in hand nobody can read it.
func (o ownOffice) Revoke(ctx context.Context, order revokeOrder) (revokedView, error) {
	r, err := o.ledger.Revoke(ctx, order.MOMID, order.Recursive, order.Reason)
	r.Refresh.Wipe()
	return revokedView{Already: r.Already, LoginEnded: r.LoginEnded}, err
}

// Erase is part of office.
func (o ownOffice) Erase(ctx context.Context, user string) error {
	if err := o.notices.Erase(ctx, user); err != nil {
		return err
	}
	if err := o.ledger.Erase(ctx, user); err != nil {
		return err
	}
	// Until now the mytokens were good, and a job that runs may have made calendars and notifications anew.
	return o.notices.Erase(ctx, user)
}

// Backup is part of office.
func (o ownOffice) Backup(ctx context.Context, w io.Writer) error {
	s, ok := o.raw.(snapshotter)
	if !ok {
		return errNoSnapshot
	}
	if _, err := s.Snapshot(ctx, w); err != nil {
		return fmt.Errorf("copy the state: %w", err)
	}
	return nil
}
