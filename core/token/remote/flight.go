package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// key names a question. The token itself is kept only while a request about it runs.
type key struct {
	hash   [sha256.Size]byte
	issuer string
}

func keyOf(p *party, token []byte) key { return key{sha256.Sum256(token), p.URL} }

// flight is a question on its way; all who have the same one wait for it. said and err are set before done is closed.
type flight struct {
	known bool // in which lane it is
	done  chan struct{}
	said  Said
	err   error
}

// question is what is asked about one token.
type question struct {
	key
	token  secret.Text
	known  bool // it is none that anybody could have invented
	opaque bool
}

// answer returns what p says of token, from memory where it may.
func (s *Source) answer(ctx context.Context, p *party, token []byte, known bool) (Said, error) {
	said, f, err := s.join(ctx, p, token, known)
	if f == nil {
		return said, err
	}
	if err := p.await(ctx, f); err != nil {
		return Said{}, err
	}
	return f.said, f.err
}

// maxWaiting is how many requests may wait for what one issuer says of known tokens, and how many for that of strangers'.
// Each holds a connection of ours, of which a daemon has 1024 for all issuers: one that takes its time must not get hold
// of all.
const maxWaiting = 256

// await waits until f has landed.
func (p *party) await(ctx context.Context, f *flight) error {
	select {
	case <-f.done: // long ago, mostly
		return nil
	default:
	}
	if !p.enter(f.known) {
		return p.unavailable(time.Second, ErrCrowd)
	}
	defer p.leave(f.known)
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the answer of %s: %w", p.URL, context.Cause(ctx))
	}
}

func (p *party) enter(known bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lane(known)
	if l.waiting >= maxWaiting {
		return false
	}
	l.waiting++
	return true
}

func (p *party) leave(known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lane(known).waiting--
}

// join finds the answer in memory, or the flight that will have it; without a flight the answer or the error counts.
func (s *Source) join(ctx context.Context, p *party, token []byte, known bool) (Said, *flight, error) {
	k := keyOf(p, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	said, found := s.yes.get(k)
	if found && now.Before(said.Expires) {
		return said, nil, nil
	}
	if err := s.no.get(k, now); err != nil {
		return Said{}, nil, err
	}
	if f := s.flights[k]; f != nil {
		return Said{}, f, nil
	}
	if s.closed {
		return Said{}, nil, &UnavailableError{Issuer: p.URL, RetryAfter: time.Second, Err: ErrClosed}
	}
	if err := p.admit(now, known || found); err != nil {
		return Said{}, nil, err
	}
	q := question{key: k, token: secret.New(bytes.Clone(token)), known: known || found, opaque: IsOpaque(token)}
	return Said{}, s.start(ctx, p, q), nil
}

// start sends the question; s.mu is held. It outlives the request that caused it, because others wait for it too; Close
// ends it.
func (s *Source) start(ctx context.Context, p *party, q question) *flight {
	f := &flight{known: q.known, done: make(chan struct{})}
	s.flights[q.key] = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Timeout)
	s.wg.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	s.wg.Go(func() {
		defer cancel()
		defer q.token.Wipe()
		f.said, f.err = p.ask(ctx, q)
		s.land(p, q.key, f)
		close(f.done)
	})
	return f
}

// How long a refusal is remembered: long enough that a client in a loop costs nothing, short enough that nobody waits
// for an answer that has become another.
const (
	keepInactive = 5 * time.Second
	keepFault    = 2 * time.Second
)

func (s *Source) land(p *party, k key, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, k)
	switch {
	case f.err == nil:
		s.yes.put(k, f.said)
	case errors.Is(f.err, ErrUnavailable):
		s.no.put(k, f.err, s.o.Now().Add(keepFault))
		s.o.Log.Warn("issuer could not be asked about a token", "iss", p.URL, "err", f.err)
	default:
		s.yes.drop(k)
		s.no.put(k, f.err, s.o.Now().Add(keepInactive))
	}
}
