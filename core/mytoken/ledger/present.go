package ledger

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Presented is a mytoken that somebody came with: it is authentic, in time, not ended, and the newest of its line or
// one that was replaced just now. It says nothing of capabilities: rules.Allows does. Call Close at the end.
type Presented struct {
	Claims mytoken.Claims // of the JWT that came
	MOMID  string
	User   string // of all mytokens of the person
	Login  string // of all mytokens of one login
	// Replayed says that it was replaced just now: a use hands out the newest of its line.
	Replayed bool
	// Counters are how often it was used when it was looked up.
	Counters rules.Counters

	l      *Ledger
	jwt    secret.Text
	seq    int64
	path   []string
	key    *box
	answer *box
}

// Close wipes the copy of the mytoken.
func (p *Presented) Close() { p.jwt.Wipe() }

// Present looks up a mytoken that is a JWT. Errors: ErrInvalid, ErrUnknown (also for one that was swept), ErrRevoked,
// ErrReplaced, ErrStale, mint.ErrExpired, mint.ErrNotYet. The signature is verified only where the hash is not on
// record.
//
// Nothing is written, except that reuse of a replaced mytoken ends it and what was made from it where its rotation says
// so. Revocation and introspection of one that is over need nothing else: ErrRevoked is what they answer with.
func (l *Ledger) Present(ctx context.Context, jwt secret.Text, from Origin) (*Presented, error) {
	c, err := claimsOf(jwt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := &Presented{Claims: c, MOMID: c.MOMID(), l: l}
	now := l.now()
	var judged rules.Judgement
	err = l.eng.View(ctx, func(tx store.Tx) error {
		s, err := read[stateRecord](tx, tableStates, p.MOMID)
		if err != nil {
			return err
		}
		if err := l.recognise(p, s, jwt); err != nil {
			return err
		}
		if judged, err = l.judge(tx, s, p, now); err != nil {
			return err
		}
		if _, err := s.lapse(now, l.o.Hold); err != nil {
			return err
		}
		p.User, p.Login, p.path, p.Counters = s.User, s.Login, s.Path, s.counters()
		p.key, p.answer = s.Key, s.Answer
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up a mytoken: %w", err)
	}
	if judged.Revoke {
		e := ending{recursive: true, reason: verdictText(judged.Verdict), from: from}
		if _, err := l.end(ctx, p.MOMID, e); err != nil {
			return nil, fmt.Errorf("end a mytoken that was used again: %w", err)
		}
	}
	if err := verdictError(judged.Verdict); err != nil {
		return nil, err
	}
	if err := mint.Timely(p.Claims, now); err != nil {
		return nil, err
	}
	p.Replayed = judged.Verdict == rules.Replayed
	p.jwt = jwt.Clone()
	return p, nil
}

// claimsOf reads a mytoken strictly, without a check of its signature.
func claimsOf(jwt secret.Text) (c mytoken.Claims, err error) {
	if jwt.Len() > mint.MaxSize {
		return c, fmt.Errorf("%d bytes: %w", jwt.Len(), mint.ErrForm)
	}
	err = jwt.Use(func(b []byte) error {
		parts := bytes.Split(b, []byte("."))
		if len(parts) != 3 {
			return mint.ErrForm
		}
		payload, err := base64.RawURLEncoding.Strict().DecodeString(string(parts[1]))
		if err != nil {
			return mint.ErrForm
		}
		defer clear(payload)
		c, err = mytoken.ParseClaims(payload)
		return err
	})
	if err == nil && c.MOMID() == "" {
		err = mint.ErrForm
	}
	return c, err
}

// recognise finds out which of its line a mytoken is: by its hash, else by its signature.
func (l *Ledger) recognise(p *Presented, s *stateRecord, jwt secret.Text) error {
	h := hashOf(jwt)
	switch {
	case subtle.ConstantTimeCompare(h, s.Hash) == 1:
		p.seq = s.SeqNo
		return nil
	case len(s.Before) > 0 && subtle.ConstantTimeCompare(h, s.Before) == 1:
		p.seq = s.SeqNo - 1
		return nil
	}
	err := jwt.Use(func(b []byte) (err error) {
		p.Claims, err = l.o.Verify(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// A good signature and a number whose hash is on record, and another hash: made with the server's key and not by us.
	if p.seq = p.Claims.SeqNo; p.seq >= s.SeqNo-1 {
		return ErrInvalid
	}
	return nil
}

// judge says what becomes of a mytoken by its state, and fails with ErrRevoked. The newest of a line may expire before
// the one it replaced; and what an ended mytoken left of its allowance is its parent's again, whatever the clock here
// says.
func (l *Ledger) judge(tx store.Tx, s *stateRecord, p *Presented, now time.Time) (rules.Judgement, error) {
	if err := revoked(tx, s); err != nil {
		return rules.Judgement{}, err
	}
	j := rules.Present(s.line(), p.Claims.Rotation, rules.Presentation{SeqNo: p.seq, Now: now, Window: l.o.Window})
	if j.Verdict.Usable() && (s.Returned || s.expired(now)) {
		return rules.Judgement{}, mint.ErrExpired
	}
	return j, nil
}

// revoked returns ErrRevoked when a mytoken, or one it was made from with all below it, was ended.
func revoked(tx store.Tx, s *stateRecord) error {
	if s.Revoked != nil {
		return ErrRevoked
	}
	_, err := markAbove(tx, s.Path)
	return err
}

// markAbove returns ErrRevoked, and since when, when there is a mark on one of path.
func markAbove(tx store.Tx, path []string) (time.Time, error) {
	for _, id := range path {
		m, err := read[markRecord](tx, tableMarks, id)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		return m.At, ErrRevoked
	}
	return time.Time{}, nil
}

func verdictError(v rules.Verdict) error {
	switch v {
	case rules.Current, rules.Replayed:
		return nil
	case rules.Stale:
		return ErrStale
	case rules.Reused:
		return ErrReplaced
	}
	return ErrRevoked
}

func verdictText(v rules.Verdict) string {
	if v == rules.Stale {
		return "first used after its lifetime"
	}
	return "a replaced mytoken was used"
}

// loginKey unwraps the key of the login with the mytoken in hand. The caller wipes it. One that was replaced leads to
// the one that replaced it, and that to the key.
func (p *Presented) loginKey() (secret.Text, error) {
	if p.key == nil {
		return secret.Text{}, ErrNoLogin
	}
	if !p.Replayed {
		return p.key.open(p.jwt, forKey, p.MOMID)
	}
	newest, err := p.answer.open(p.jwt, forAnswer, p.MOMID)
	if err != nil {
		return secret.Text{}, err
	}
	defer newest.Wipe()
	return p.key.open(newest, forKey, p.MOMID)
}
