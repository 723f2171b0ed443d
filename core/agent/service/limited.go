package service

import (
	"context"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Limit says what a socket gives away that others than its owner may reach: one that is forwarded to another host, or
// opened to a group.
type Limit struct {
	Logins  []string // nil: those that are loaded at the time
	Confirm bool     // ask the person before each token
	Via     string   // the socket as the person knows it, for questions; ""
}

// limited answers requests for tokens, and nothing that would tell or change more.
type limited struct {
	s *Service
	o Limit
}

var _ proto.PromptHandler = limited{}

// Limited is the service for a socket that others may reach. It gives out access tokens, and ID tokens and mytokens once
// the person has agreed, of the logins in o; another login is answered like one that does not exist. It loads nothing
// but what lies in the open keystore and is named in o, if the person agrees. It asks nobody for passwords or new logins,
// and it asks on the agent's own screen alone: a client over there could answer its own questions.
func (s *Service) Limited(o Limit) proto.Handler { return limited{s, o} }

// Handle answers one request.
func (h limited) Handle(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
	defer h.s.answered.Add(1)
	ctx = withWay(ctx, way{peer: p, hint: r.Hint, watch: r.Watch, limit: &h.o})
	r.Relay = ""
	switch r.Type {
	case proto.TypeCheck:
		return h.s.reply(ctx, r)
	case proto.TypeLoadedAccounts:
		return h.unlocked(func() proto.Reply {
			return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(h.names())}
		})
	case proto.TypeAccountInfo:
		return h.unlocked(h.accountInfo)
	case proto.TypeAccessToken, proto.TypeIDToken, proto.TypeMytoken:
		return h.token(ctx, r)
	}
	return proto.Failure(proto.TextForbidden,
		"This socket gives out tokens only. Everything else is for the agent's owner, on the host where it runs.")
}

// HandleNow answers with tokens that are in the cache.
func (h limited) HandleNow(ctx context.Context, p sock.Peer, r proto.Request) (proto.Reply, bool) {
	switch {
	case r.Type == proto.TypeCheck:
	case r.Type != proto.TypeAccessToken || h.o.Confirm || r.Account == "" || !h.open(r.Account):
		return proto.Reply{}, false
	}
	return h.s.HandleNow(ctx, p, r)
}

// open reports whether a login may be used here, if there is one of that name.
func (h limited) open(name string) bool {
	return h.o.Logins == nil || slices.Contains(h.o.Logins, name)
}

func (h limited) unlocked(answer func() proto.Reply) proto.Reply {
	if err := h.s.gate.enter(); err != nil {
		return failure(err, "")
	}
	defer h.s.gate.leave()
	return answer()
}

// token answers a request for a token of a login that is open here.
func (h limited) token(ctx context.Context, r proto.Request) proto.Reply {
	switch {
	case r.Account != "":
		if login.CheckName(r.Account) == nil && !h.there(ctx, r.Account) {
			return h.unlocked(func() proto.Reply {
				return failure(fail(proto.TextNotConfigured, "Set it up with: oidc-gen "+r.Account), r.Account)
			})
		}
	case r.Issuer != "":
		l, ok := h.forIssuer(r.Issuer)
		if !ok {
			return h.unlocked(func() proto.Reply { return failure(noneForIssuer(), "") })
		}
		r.Account, r.Issuer = l.name, ""
	}
	return h.s.reply(ctx, r)
}

// there reports whether a login is open here and served, or can be from the keystore.
func (h limited) there(ctx context.Context, name string) bool {
	if !h.open(name) {
		return false
	}
	if _, ok := h.s.logins.get(name); ok {
		return true
	}
	disk, err := h.s.keystore()
	return err == nil && h.o.Logins != nil && disk.has(ctx, name)
}

// forIssuer is the login for a request by issuer: the usual one, or of those that are open here the one loaded last.
func (h limited) forIssuer(issuer string) (loaded, bool) {
	if l, ok := h.s.forIssuer(issuer); ok && h.open(l.name) {
		return l, true
	}
	for _, l := range slices.Backward(h.s.logins.list()) {
		if h.open(l.name) && login.SameIssuer(l.issuer, issuer) {
			return l, true
		}
	}
	return loaded{}, false
}

func noneForIssuer() error { return fail(proto.TextNotLoaded, "No login for this issuer is loaded.") }

// names are the loaded logins that are open here.
func (h limited) names() []string {
	return slices.DeleteFunc(h.s.loadedNames(), func(name string) bool { return !h.open(name) })
}

// accountInfo is that of the loaded logins that are open here.
func (h limited) accountInfo() proto.Reply {
	info := make(map[string]issuerInfo)
	for _, l := range h.s.logins.list() {
		if !h.open(l.name) {
			continue
		}
		i := info[l.issuer]
		if i.Accounts == nil {
			i.Accounts = make(map[string]bool)
		}
		i.Accounts[l.name] = true
		info[l.issuer] = i
	}
	return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(info)}
}

// front is the service at a socket where the owner's own programs and others meet.
type front struct {
	*Service
	others limited
	other  func(sock.Peer) bool
}

var _ proto.PromptHandler = front{}

// Front is the service for its owner's programs, and Limited for peers of which other says that somebody else may be
// behind them. Cached access tokens of loaded logins go to either, so it is not asked about those.
func (s *Service) Front(other func(sock.Peer) bool) proto.Handler {
	return front{s, limited{s, Limit{}}, other}
}

// Handle answers one request.
func (f front) Handle(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
	if f.other(p) {
		return f.others.Handle(ctx, p, r)
	}
	return f.Service.Handle(ctx, p, r)
}

// limitOf is the limit of the socket that a request came by, nil for none.
func limitOf(ctx context.Context) *Limit { return wayOf(ctx).limit }

// mayBeAsked reports whether a request may cause a question of this kind.
func (w way) mayBeAsked(k prompt.Kind) bool { return w.limit == nil || k == prompt.Confirm }
