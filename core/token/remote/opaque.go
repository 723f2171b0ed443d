package remote

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"

	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// IsOpaque reports whether token may be shown to an issuer to find out whose it is: it is a bearer token (RFC 6750
// section 2.1) of at most MaxToken bytes and has not the form of a JWT. That form is recognised generously: a JWT that
// is broken, unsigned or encrypted is one too.
func IsOpaque(token []byte) bool {
	if len(token) == 0 || len(token) > MaxToken || !bearer.Valid(token) {
		return false
	}
	parts := bytes.Split(token, []byte{'.'})
	switch n := len(parts); {
	case n == 5, n == 3 && len(parts[0]) > 0 && len(parts[2]) > 0:
		return false
	}
	return !beginsObject(parts[0])
}

// beginsObject reports whether part is base64url of what begins as a JSON object does.
func beginsObject(part []byte) bool {
	head := part[:min(len(part), 32)/4*4]
	plain, err := base64.RawURLEncoding.DecodeString(string(head))
	return err == nil && bytes.HasPrefix(bytes.TrimLeft(plain, " \t\r\n"), []byte{'{'})
}

// Opaque finds out whose an opaque token is and what that issuer says of it: the issuer of hint where there is one,
// else the one that a prefix of the token names, else the one that has answered for it before, else all that take
// opaque tokens, at once and within one time limit.
//
// The error is ErrNotOpaque, ErrUntrusted, ErrInactive, ErrKind, ErrContradiction, ErrAmbiguous or
// claims.ErrSenderConstrained when the token is to be refused, an *UnavailableError when nobody says yes and somebody
// could not be asked, or that of ctx.
func (s *Source) Opaque(ctx context.Context, token []byte, hint string) (issuer string, said Said, err error) {
	if !IsOpaque(token) {
		return "", Said{}, ErrNotOpaque
	}
	parties, err := s.owners(token, hint)
	if err != nil {
		return "", Said{}, err
	}
	p, said, err := s.first(ctx, parties, token)
	if err != nil {
		return "", Said{}, err
	}
	if !s.o.Constrained {
		if err := said.Claims.SenderConstraint(); err != nil {
			return "", Said{}, err
		}
	}
	return p.URL, said, nil
}

// owners are those that an opaque token may be shown to.
func (s *Source) owners(token []byte, hint string) ([]*party, error) {
	if hint != "" {
		if p := s.issuers[hint]; p != nil && p.takesOpaque() {
			return []*party{p}, nil
		}
		return nil, ErrUntrusted
	}
	if p := s.byPrefix(string(token)); p != nil {
		return []*party{p}, nil
	}
	var all []*party
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.list {
		if !p.Opaque {
			continue
		}
		if _, found := s.yes.get(keyOf(p, token)); found {
			return []*party{p}, nil
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, ErrUntrusted
	}
	return all, nil
}

func (p *party) takesOpaque() bool { return p.asked() && (p.Opaque || len(p.Prefixes) > 0) }

func (s *Source) byPrefix(token string) (owner *party) {
	longest := 0
	for _, p := range s.list {
		for _, prefix := range p.Prefixes {
			if len(prefix) > longest && strings.HasPrefix(token, prefix) {
				owner, longest = p, len(prefix)
			}
		}
	}
	return owner
}

// first asks all parties at once. It waits for every answer, so that the result does not depend on who is faster.
func (s *Source) first(ctx context.Context, parties []*party, token []byte) (*party, Said, error) {
	said, errs := make([]Said, len(parties)), make([]error, len(parties))
	var wg sync.WaitGroup
	for i, p := range parties[1:] {
		wg.Go(func() { said[i+1], errs[i+1] = s.answer(ctx, p, token, false) })
	}
	said[0], errs[0] = s.answer(ctx, parties[0], token, false)
	wg.Wait()
	yes := -1
	for i, err := range errs {
		switch {
		case err != nil:
		case yes >= 0:
			return nil, Said{}, ErrAmbiguous
		default:
			yes = i
		}
	}
	if yes >= 0 {
		return parties[yes], said[yes], nil
	}
	return nil, Said{}, worst(errs)
}

// worst is the error to return when nobody said yes: that somebody could not be asked counts most.
func worst(errs []error) error {
	for _, err := range errs {
		if !refused(err) {
			return err
		}
	}
	for _, err := range errs {
		if !errors.Is(err, ErrInactive) {
			return err
		}
	}
	return errs[0]
}

func refused(err error) bool {
	return errors.Is(err, ErrInactive) || errors.Is(err, ErrContradiction) || errors.Is(err, ErrKind)
}
