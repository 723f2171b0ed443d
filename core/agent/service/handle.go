package service

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// operation answers one type of request.
type operation func(ctx context.Context, r proto.Request) (proto.Reply, error)

var _ proto.Handler = (*Service)(nil)

// Handle answers one request of the agent's socket. Every request is answered; a locked agent knows "check" and
// "unlock" only.
func (s *Service) Handle(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
	defer s.answered.Add(1)
	if relayed(r) {
		return s.converse(ctx, p, r)
	}
	return s.reply(withWay(ctx, way{peer: p, hint: r.Hint, watch: r.Watch}), r)
}

// reply runs a request to its end.
func (s *Service) reply(ctx context.Context, r proto.Request) proto.Reply {
	rep, err := s.answer(ctx, r)
	if err == nil {
		return rep
	}
	rep.Wipe()
	if !errors.As(err, new(*problem)) {
		s.opts.Log.DebugContext(ctx, "request failed", "req", r.Type, "err", err)
	}
	rep = failure(err, nameIn(r))
	if r.Type == proto.TypeLoadedAccounts {
		rep.Info = nil // the original's Go library takes nothing but a list there, not even beside an error
	}
	rep.Issuer = s.providerOf(err, r)
	return rep
}

// providerOf is the issuer that a failed token request was about, where it got as far as the provider.
func (s *Service) providerOf(err error, r proto.Request) string {
	if !ofProvider(err) || r.Account == "" && r.Issuer == "" {
		return ""
	}
	if l, ok := s.logins.get(r.Account); ok {
		return l.issuer
	}
	return r.Issuer
}

// nameIn is the login a request is about, for help texts; "" when it names none.
func nameIn(r proto.Request) string {
	name := r.Account
	if name == "" && !r.Config.Empty() {
		name, _ = stringMember(r.Config, "name")
	}
	if login.CheckName(name) != nil {
		return ""
	}
	return name
}

func (s *Service) answer(ctx context.Context, r proto.Request) (proto.Reply, error) {
	op := s.operation(r.Type)
	switch {
	case r.Type == "":
		return proto.Reply{}, fail(proto.TextNoType, "")
	case op == nil:
		return proto.Reply{}, fail(proto.TextUnknownType, "")
	case outside(r.Type):
		return op(ctx, r)
	}
	if err := s.gate.enter(); err != nil {
		return proto.Reply{}, err
	}
	defer s.gate.leave()
	return op(ctx, r)
}

// outside are the requests that work on a locked agent, or lock it.
func outside(kind string) bool {
	switch kind {
	case proto.TypeCheck, proto.TypeLock, proto.TypeUnlock:
		return true
	}
	return false
}

// operation lists everything the socket knows, so that it can be read at a glance.
func (s *Service) operation(kind string) operation {
	switch kind {
	case proto.TypeCheck:
		return s.check
	case proto.TypeAccessToken:
		return s.accessToken
	case proto.TypeIDToken:
		return s.idToken
	case proto.TypeMytoken:
		return s.mytoken
	case proto.TypeLoadedAccounts:
		return s.loadedAccounts
	case proto.TypeAccountInfo:
		return s.accountInfo
	case proto.TypeAdd:
		return s.add
	case proto.TypeRemove:
		return s.remove
	case proto.TypeRemoveAll:
		return s.removeAll
	case proto.TypeLock:
		return s.lock
	case proto.TypeUnlock:
		return s.unlock
	case proto.TypeStatus:
		return s.statusText
	case proto.TypeStatusJSON:
		return s.statusJSON
	case proto.TypeFileWrite:
		return s.fileWrite
	case proto.TypeFileRead:
		return s.fileRead
	case proto.TypeFileRemove:
		return s.fileRemove
	}
	return s.setupOperation(kind)
}

// setupOperation lists the requests of oidc-gen.
func (s *Service) setupOperation(kind string) operation {
	switch kind {
	case proto.TypeGen:
		return s.gen
	case proto.TypeReauthenticate:
		return s.reauthenticate
	case proto.TypeCodeExchange:
		return s.codeExchange
	case proto.TypeStateLookup:
		return s.stateLookup
	case proto.TypeTermHTTPServer:
		return s.termHTTPServer
	case proto.TypeDevice:
		return s.device
	case proto.TypeRegister:
		return s.register
	case proto.TypeDelete:
		return s.delete
	case proto.TypeDeleteClient:
		return s.deleteClient
	case proto.TypeScopes:
		return s.scopes
	case proto.TypeMytokenProviders:
		return s.mytokenProviders
	}
	return nil
}
