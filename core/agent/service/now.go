package service

import (
	"context"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

var _ proto.PromptHandler = (*Service)(nil)

// HandleNow answers what needs no waiting: whether there is an agent, and a token that is in the cache. It is what an
// agent is asked nearly always.
func (s *Service) HandleNow(ctx context.Context, p sock.Peer, r proto.Request) (proto.Reply, bool) {
	switch r.Type {
	case proto.TypeCheck:
		return s.Handle(ctx, p, r), true
	case proto.TypeAccessToken:
		t, ok := s.cached(wantOf(r))
		if !ok {
			return proto.Reply{}, false
		}
		s.answered.Add(1)
		return accessReply(t), true
	}
	return proto.Reply{}, false
}

// cached returns a token that is good enough, where nobody has to be asked about it. Which login is meant by an issuer is
// in files, which may lie on a slow disk. The caller wipes it.
func (s *Service) cached(w want) (token, bool) {
	if w.login == "" || w.force || s.opts.Switches.Confirm || s.gate.enter() != nil {
		return token{}, false
	}
	defer s.gate.leave()
	l, ok := s.logins.get(w.login)
	if !ok || l.confirm {
		return token{}, false
	}
	return s.tokens.get(keyOf(l, w), w.minValid)
}
