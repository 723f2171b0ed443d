package worker

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// known returns the account of an identity as the System has it and what the ledger has of it, once both agree.
// Without an account the error is backend.ErrNoAccount, and the entry is what was found of it. An account that the
// ledger does not know is adopted where that is allowed, else it is backend.ErrMismatch.
func (s *server) known(ctx context.Context, id string) (backend.Account, entry, error) {
	e, had, err := s.ledger.find(ctx, id)
	if err != nil {
		return backend.Account{}, entry{}, err
	}
	a, err := s.System.Find(ctx, id)
	if err != nil {
		return backend.Account{}, e, err
	}
	if had {
		return a, e, s.agrees(a, e)
	}
	if !s.Adopt {
		return backend.Account{}, entry{}, fmt.Errorf("%w: the account is there, but not in the worker's ledger",
			backend.ErrMismatch)
	}
	e, err = s.adopt(ctx, a)
	return a, e, err
}

// adopt takes an account into the ledger that somebody else has made.
func (s *server) adopt(ctx context.Context, a backend.Account) (entry, error) {
	if err := s.checkAccount(a); err != nil {
		return entry{}, err
	}
	if err := s.System.Trust(ctx); err != nil {
		return entry{}, fmt.Errorf("adopt account %s: %w", a.Name, err)
	}
	if err := s.settle(ctx, a); err != nil {
		return entry{}, err
	}
	s.tell(Event{Event: "adopt", ID: a.ID, Name: a.Name, UID: a.UID})
	e, _, err := s.ledger.find(ctx, a.ID)
	return e, err
}

// settle notes a finished account: the mark first, so that a finished account always has one.
func (s *server) settle(ctx context.Context, a backend.Account) error {
	if err := s.putMark(s.markOf(a.Name, a.UID, a.ID)); err != nil {
		return err
	}
	return s.ledger.finish(ctx, a)
}

func (s *server) markOf(name string, uid uint32, id string) mark.Mark {
	return mark.Mark{Name: name, UID: uid, ID: id, Passwd: s.Numbers}
}

// putMark writes a mark that is not there already.
func (s *server) putMark(want mark.Mark) error {
	if s.Marks == "" {
		return nil
	}
	have, err := mark.Read(s.Marks, want.Name)
	if err == nil && have == want {
		return nil
	}
	if errors.Is(err, mark.ErrUnsafe) {
		s.Log.Warn("mark is written again", "name", want.Name, "reason", err)
	}
	return mark.Write(s.Marks, want)
}

func (s *server) find(ctx context.Context, id string) (backend.Account, error) {
	if err := checkID(id); err != nil {
		return backend.Account{}, err
	}
	a, _, err := s.known(ctx, id)
	return a, err
}

func (s *server) holder(ctx context.Context, name string) (backend.Holder, error) {
	if err := names.Check(name); err != nil {
		return backend.Holder{}, refused("%w", err)
	}
	if s.Limits.CheckName(name) != nil {
		return backend.Holder{Taken: true}, nil
	}
	id, found, err := s.ledger.holderOf(ctx, name)
	if err != nil {
		return backend.Holder{}, err
	}
	if found {
		return backend.Holder{Taken: true, ID: id}, nil
	}
	return s.System.Holder(ctx, name)
}

// all sends the accounts that are in the ledger. One list at a time is made.
func (s *server) all(ctx context.Context, conn net.Conn) error {
	select {
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	case <-ctx.Done():
		return fmt.Errorf("%w: another list is being made", backend.ErrUnavailable)
	}
	return s.System.All(ctx, func(a backend.Account) error {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: the list was cut off", backend.ErrUnavailable)
		}
		e, had, err := s.ledger.find(ctx, a.ID)
		switch {
		case err != nil:
			return err
		case had && s.agrees(a, e) != nil, !had && (!s.Adopt || s.checkAccount(a) != nil):
			s.Log.Warn("account is not in the ledger as it is", "name", safeName(a.Name), "uid", a.UID)
			return nil
		}
		return s.send(conn, reply{Account: &a, More: true})
	})
}

// changeAccount does what is asked of an account that is there and is the identity's.
func (s *server) changeAccount(ctx context.Context, q request, e *Event) error {
	if err := checkID(q.Ref.ID); err != nil {
		return err
	}
	if q.Op != opSuspend {
		if _, ok := s.changes.Take(q.Ref.ID); !ok {
			return refused("too many changes of one account")
		}
	}
	unlock, err := s.busy.lock(ctx, q.Ref.ID)
	if err != nil {
		return fmt.Errorf("%w: the account is being changed", backend.ErrUnavailable)
	}
	defer unlock()
	a, have, err := s.known(ctx, q.Ref.ID)
	if errors.Is(err, backend.ErrNoAccount) && q.Op == opUndeploy && have.Name != "" && have.Name == q.Ref.Name {
		return s.forget(ctx, have)
	}
	if err != nil {
		return err
	}
	if a.Name != q.Ref.Name {
		return fmt.Errorf("%w: the account of that identity is %s", backend.ErrMismatch, a.Name)
	}
	e.UID = a.UID
	return s.apply(ctx, q, have)
}

func (s *server) apply(ctx context.Context, q request, have entry) error {
	ref := *q.Ref
	switch q.Op {
	case opTier:
		switch q.Tier {
		case backend.Full, backend.Limited, backend.Restricted, backend.NoShell:
			return s.System.SetTier(ctx, ref, q.Tier)
		}
		return refused("no such tier")
	case opSuspend:
		return s.System.Suspend(ctx, ref, q.Kill)
	case opResume:
		return s.System.Resume(ctx, ref)
	case opUndeploy:
		if err := s.System.Undeploy(ctx, ref); err != nil && !errors.Is(err, backend.ErrNoAccount) {
			return err
		}
		return s.forget(ctx, have)
	}
	return fmt.Errorf("%w: no such request", ErrProtocol)
}

// forget notes that an account is gone. Its name and uid stay its identity's.
func (s *server) forget(ctx context.Context, e entry) error {
	if s.Marks != "" {
		if err := mark.Remove(s.Marks, e.Name); err != nil {
			return err
		}
	}
	return s.ledger.leave(ctx, e.ID)
}
