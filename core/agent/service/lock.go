package service

import (
	"context"
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// lockWait is how long a lock waits for refreshes under way. They end sooner: a call to a provider is bounded.
const lockWait = 90 * time.Second

// lock puts every key away under a password (Argon2id), so that nothing in this process can be opened without it.
// Access tokens in the cache and flows that wait for a person are dropped.
func (s *Service) lock(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if r.Password.Empty() {
		return proto.Reply{}, badRequest("password is missing")
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		return proto.Reply{}, err
	}
	defer s.end()
	if err := s.gate.close(ctx); err != nil {
		return proto.Reply{}, err
	}
	s.pending.clear()
	s.tokens.clear()
	_ = s.files.flushAll(ctx) // it has been logged; what could not be written now is tried again after unlock
	err := s.lockShelves(ctx, r.Password)
	if err != nil {
		s.gate.open()
		return proto.Reply{}, err
	}
	return proto.Success(proto.TextAgentLocked), nil
}

// lockShelves locks all or none.
func (s *Service) lockShelves(ctx context.Context, password secret.Text) error {
	var done []keys
	for _, k := range s.lockers() {
		if err := k.Lock(ctx, password); err != nil {
			for _, d := range done {
				err = errors.Join(err, d.Unlock(ctx, password))
			}
			return err
		}
		done = append(done, k)
	}
	return nil
}

// unlock reverses lock with the password alone: the logins of the keystore are there again as well. A wrong password
// delays the next attempt, whoever makes it, and nobody else.
func (s *Service) unlock(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if !s.gate.isClosed() {
		return proto.Reply{}, ErrNotLocked
	}
	if err := s.begin(ctx); err != nil {
		return proto.Reply{}, err
	}
	defer s.end()
	if !s.gate.isClosed() { // while we waited somebody else opened it
		return proto.Reply{}, ErrNotLocked
	}
	if err := s.wrong.pause(ctx); err != nil {
		return proto.Reply{}, err
	}
	for _, k := range s.lockers() {
		err := k.Unlock(ctx, r.Password)
		if errors.Is(err, vault.ErrWrongPassword) {
			s.wrong.add()
			s.opts.Log.WarnContext(ctx, "wrong password for the locked agent", "failures", s.wrong.count)
			return proto.Reply{}, fail(proto.TextWrongPassword, "")
		}
		if err != nil {
			return proto.Reply{}, err
		}
	}
	s.wrong.clear()
	s.gate.open()
	s.files.again()
	if sh, err := s.keystore(); err == nil {
		s.settlePending(sh)
	}
	return proto.Success(proto.TextAgentUnlocked), nil
}

// lockers are the keys of the shelves, memory first.
func (s *Service) lockers() []keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == nil {
		return []keys{s.mem.keys}
	}
	return []keys{s.mem.keys, s.disk.keys}
}

// begin waits for the turn to change what is locked and which keystore is open.
func (s *Service) begin(ctx context.Context) error {
	select {
	case s.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) end() { <-s.changing }

// attempts slows down guessing: 100 ms times the square of the failures in a row, as the original has it. The pause
// comes before the next attempt, so that hanging up does not avoid it.
type attempts struct{ count int }

const maxAttempts = 25

func (a *attempts) pause(ctx context.Context) error {
	n := time.Duration(min(a.count, maxAttempts))
	if n == 0 {
		return nil
	}
	t := time.NewTimer(n * n * 100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *attempts) add()   { a.count++ }
func (a *attempts) clear() { a.count = 0 }
