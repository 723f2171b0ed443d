package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Newest is what a mytoken is from now on. The caller wipes the JWT.
type Newest struct {
	JWT    secret.Text
	Claims mytoken.Claims
}

// Commit ends a use that took place: its counter, its event and the rotation that follows from it are one change. The
// result is not nil when the mytoken in hand was replaced, by this use or just before it. ErrRevoked is returned when
// it was ended meanwhile: the use counts, and what was got for it must not be handed out.
func (r *Reservation) Commit(ctx context.Context, e Event) (*Newest, error) {
	return r.settle(ctx, e, nil)
}

// extra is what a use does beside being counted, in the same change.
type extra interface {
	// lock takes the locks that go before that of the mytoken in hand.
	lock(tx store.WTx) error
	// apply does it. s is the state of the mytoken in hand, which the caller writes.
	apply(tx store.WTx, s *stateRecord) error
}

// replacement is the mytoken that would replace the one in hand, with all that takes time done before the transaction.
type replacement struct {
	newest      Newest
	hash        []byte
	key, answer *box
}

// prepare makes the replacement where this use rotates, nil where it does not.
func (r *Reservation) prepare(now time.Time) (*replacement, error) {
	p := r.p
	if p.Replayed || !rules.Rotates(p.Claims.Rotation, r.use.Kind) {
		return nil, nil
	}
	jwt, claims, err := p.l.o.Minter.Rotate(p.Claims, now)
	if err != nil {
		return nil, fmt.Errorf("make the next mytoken: %w", err)
	}
	x := &replacement{newest: Newest{jwt, claims}, hash: hashOf(jwt)}
	if x.answer, err = lock(p.jwt, jwt, forAnswer, p.MOMID); err == nil && p.key != nil {
		x.key, err = p.rewrap(jwt, p.MOMID)
	}
	if err != nil {
		jwt.Wipe()
		return nil, fmt.Errorf("hand the login on to the next mytoken: %w", err)
	}
	return x, nil
}

// rewrap wraps the key of the login for another mytoken.
func (p *Presented) rewrap(jwt secret.Text, momID string) (*box, error) {
	key, err := p.loginKey()
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return lock(jwt, key, forKey, momID)
}

// settle commits a use, with more in the same change, which may be nil.
func (r *Reservation) settle(ctx context.Context, e Event, more extra) (*Newest, error) {
	if r.settled.Load() {
		return nil, ErrSettled
	}
	l, p := r.p.l, r.p
	fresh, err := r.prepare(l.now())
	if err != nil {
		return nil, err
	}
	var (
		ended    error
		replaced bool
		answer   *box
	)
	err = l.eng.Update(ctx, func(tx store.WTx) error {
		replaced, answer = false, nil
		if more != nil {
			if err := more.lock(tx); err != nil {
				return err
			}
		}
		s, now, err := l.forUpdate(tx, p.MOMID)
		if err != nil {
			return err
		}
		if err := r.count(s, now); err != nil {
			return err
		}
		if ended = revoked(tx, s); ended == nil && more != nil {
			if err := more.apply(tx, s); err != nil {
				return err
			}
		}
		switch {
		case ended != nil:
		case p.seq == s.SeqNo:
			replaced = r.replace(s, fresh, now)
		case p.seq == s.SeqNo-1:
			answer = s.Answer
		}
		if err := l.note(tx, p.MOMID, s, e, now); err != nil {
			return err
		}
		if replaced {
			if err := l.note(tx, p.MOMID, s, Event{Name: EventRotated, From: e.From}, now); err != nil {
				return err
			}
		}
		return write(tx, tableStates, s, time.Time{}, p.MOMID)
	})
	if err != nil {
		fresh.wipe()
		return nil, fmt.Errorf("commit a use: %w", err)
	}
	r.settled.Store(true)
	if ended != nil {
		fresh.wipe()
		return nil, ended
	}
	if replaced {
		return &fresh.newest, nil
	}
	fresh.wipe()
	return p.newest(answer)
}

func (x *replacement) wipe() {
	if x != nil {
		x.newest.JWT.Wipe()
	}
}

// count books the use.
func (r *Reservation) count(s *stateRecord, now time.Time) error {
	s.LastUse = now
	if err := r.step(s, rules.Counter.Commit); err != nil {
		return err
	}
	if r.id != "" || r.Candidate.Unrestricted() {
		return nil
	}
	c, err := s.counter(r.counterKey()).Reserve(nil)
	if err == nil {
		c, err = c.Commit()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	s.setCounter(r.counterKey(), c)
	return nil
}

// replace puts the next mytoken in the place of the one in hand, which is the newest.
func (r *Reservation) replace(s *stateRecord, fresh *replacement, now time.Time) bool {
	line, rotated := rules.Rotate(s.line(), r.p.Claims.Rotation, r.use.Kind, now)
	if fresh == nil || !rotated {
		return false
	}
	s.SeqNo, s.Since, s.Expires = line.SeqNo, line.Since, fresh.newest.Claims.Expires
	s.Before, s.Hash = s.Hash, fresh.hash
	s.Answer, s.Key = fresh.answer, fresh.key
	return true
}

// newest opens the answer that was given to the first use of the mytoken in hand; nil where there is none.
func (p *Presented) newest(answer *box) (*Newest, error) {
	if answer == nil {
		return nil, nil
	}
	jwt, err := answer.open(p.jwt, forAnswer, p.MOMID)
	if err != nil {
		return nil, fmt.Errorf("give the newest mytoken again: %w", err)
	}
	c, err := claimsOf(jwt)
	if err != nil {
		jwt.Wipe()
		return nil, fmt.Errorf("give the newest mytoken again: %w", err)
	}
	return &Newest{jwt, c}, nil
}
