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
	err := s.lockShelves(ctx, r.Password)
	if err == nil && !s.diskLocks() {
		s.reopen = true
		err = s.dropDisk(ctx)
	}
	if err != nil {
		s.gate.open()
		return proto.Reply{}, err
	}
	return proto.Success(proto.TextAgentLocked), nil
}

// lockShelves locks all or none.
func (s *Service) lockShelves(ctx context.Context, password secret.Text) error {
	var done []locker
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

// unlock reverses lock. A wrong password delays the next attempt, whoever makes it, and nobody else.
func (s *Service) unlock(ctx context.Context, r proto.Request) (proto.Reply, error) {
	rep, err := s.tryPassword(ctx, r)
	if err == nil {
		s.reopenDisk(ctx)
	}
	return rep, err
}

func (s *Service) tryPassword(ctx context.Context, r proto.Request) (proto.Reply, error) {
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
	return proto.Success(proto.TextAgentUnlocked), nil
}

// reopenDisk opens the keystore again that lock has closed, by the means the agent was started with. Where there are
// none the person unlocks it.
func (s *Service) reopenDisk(ctx context.Context) {
	if err := s.begin(ctx); err != nil {
		return
	}
	wanted := s.reopen
	s.reopen = false
	s.end()
	if !wanted || s.opts.Reopen == nil {
		return
	}
	if err := s.opts.Reopen(ctx); err != nil {
		s.opts.Log.WarnContext(ctx, "keystore stays locked", "err", err)
	}
}

// lockers are the keys of the shelves, memory first.
func (s *Service) lockers() []locker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []locker{s.mem.keys.(locker)}
	if s.disk == nil {
		return all
	}
	if k, ok := s.disk.keys.(locker); ok {
		all = append(all, k)
	}
	return all
}

// diskLocks reports whether the disk shelf's keys can be put away; else it is closed and unlocked anew afterwards.
func (s *Service) diskLocks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == nil {
		return true
	}
	_, ok := s.disk.keys.(locker)
	return ok
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
