package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// want is a request for a token, whoever asks.
type want struct {
	login    string // or
	issuer   string
	scope    string
	audience string
	hint     string
	minValid time.Duration
	force    bool // no cached token will do
}

func wantOf(r proto.Request) want {
	w := want{
		login: r.Account, issuer: r.Issuer, scope: r.Scope, audience: r.Audience, hint: r.Hint,
		force: r.MinValid == proto.ForceNew,
	}
	if r.MinValid > 0 {
		w.minValid = seconds(r.MinValid)
	}
	return w
}

// seconds is a count of seconds from a stranger as a duration that did not overflow.
func seconds(n int64) time.Duration {
	const most = int64(100 * 365 * 24 * time.Hour / time.Second)
	return time.Duration(min(max(n, 0), most)) * time.Second
}

// granted is what the provider gave.
type granted struct {
	token token
	id    secret.Text
}

func (s *Service) accessToken(ctx context.Context, r proto.Request) (proto.Reply, error) {
	t, err := s.token(ctx, wantOf(r))
	if err != nil {
		return proto.Reply{}, err
	}
	return accessReply(t), nil
}

func accessReply(t token) proto.Reply {
	rep := proto.Reply{
		Status: proto.StatusSuccess, AccessToken: t.access, Issuer: t.issuer, Scope: t.scope, Narrowed: t.less,
	}
	if !t.expires.IsZero() {
		rep.ExpiresAt = t.expires.Unix()
	}
	return rep
}

// token returns an access token, from the cache when that is good enough. The caller wipes it.
func (s *Service) token(ctx context.Context, w want) (token, error) {
	l, err := s.find(ctx, w)
	if err != nil {
		return token{}, err
	}
	if err := s.mayHave(ctx, l, w); err != nil {
		return token{}, err
	}
	key := keyOf(l, w)
	if !w.force {
		if t, ok := s.tokens.get(key, w.minValid); ok {
			return t, nil
		}
	}
	g, err := s.fetchOrRenew(ctx, l, key, words(w.scope))
	if err != nil {
		return token{}, err
	}
	g.id.Wipe()
	return g.token, nil
}

func keyOf(l loaded, w want) cacheKey {
	return cacheKey{login: l.name, scope: setOf(w.scope), audience: setOf(w.audience), serial: l.serial}
}

// idToken always asks the provider: an ID token speaks of a login that was just looked at.
func (s *Service) idToken(ctx context.Context, r proto.Request) (proto.Reply, error) {
	l, err := s.find(ctx, want{login: r.Account, issuer: r.Issuer})
	if err != nil {
		return proto.Reply{}, err
	}
	if limitOf(ctx) != nil || !l.allowIDTok && !s.opts.AlwaysAllowIDToken {
		if err := s.allowed(ctx, l, "an id token", wantOf(r)); err != nil {
			return proto.Reply{}, err
		}
	}
	scopes := words(r.Scope)
	if len(scopes) > 0 {
		scopes = words(scopeOpenID + " " + r.Scope)
	}
	key := cacheKey{login: l.name, scope: setOf(strings.Join(scopes, " ")), audience: ""}
	g, err := s.fetchOrRenew(ctx, l, key, scopes)
	if err != nil {
		return proto.Reply{}, err
	}
	g.token.access.Wipe()
	if g.id.Empty() {
		return proto.Reply{}, fail("The provider gave no id token", "Not every provider gives one with a refresh; "+
			"the login needs the scope openid for it.")
	}
	return proto.Reply{Status: proto.StatusSuccess, IDToken: g.id, Issuer: g.token.issuer}, nil
}

// find is the served login that w means.
func (s *Service) find(ctx context.Context, w want) (loaded, error) {
	switch {
	case w.login != "":
		if err := login.CheckName(w.login); err != nil {
			return loaded{}, badRequest("%v", err)
		}
		if l, ok := s.logins.get(w.login); ok {
			return l, nil
		}
		return s.autoload(ctx, w.login)
	case w.issuer != "":
		if l, ok := s.forIssuer(w.issuer); ok {
			return l, nil
		}
		return s.autoloadIssuer(ctx, w)
	}
	return loaded{}, fail(proto.TextNotYet, "Name a login or an issuer.")
}

// whyNot says why a login of this name is not served.
func (s *Service) whyNot(ctx context.Context, name string) error {
	load := "Load it with: oidc-add " + name
	sh, err := s.keystore()
	switch {
	case err == nil:
		if sh.has(ctx, name) {
			return fail(proto.TextNotLoaded, load)
		}
	case errors.Is(err, ErrKeystoreLocked):
		if there, _ := s.opts.File.Exists(ctx); there {
			return fail(proto.TextNotLoaded, helpUnlock)
		}
	}
	if s.hasAccount(name) {
		return fail(proto.TextNotLoaded, load)
	}
	return fail(proto.TextNotConfigured, "Set it up with: oidc-gen "+name)
}

// mayHave asks the person where the login or the agent wants that.
func (s *Service) mayHave(ctx context.Context, l loaded, w want) error {
	limit := limitOf(ctx)
	if !l.confirm && !s.opts.Switches.Confirm && (limit == nil || !limit.Confirm) {
		return nil
	}
	return s.allowed(ctx, l, "an access token", w)
}

// fetch gets a token from the provider, once for all who ask for the same at the same time. Each caller gets a copy of
// its own and wipes it.
func (s *Service) fetch(ctx context.Context, l loaded, key cacheKey, scopes []string) (granted, error) {
	if now, ok := s.logins.get(l.name); ok {
		key.serial = now.serial
	}
	id := fmt.Sprintf("%q %q %q %d", key.login, key.scope, key.audience, key.serial)
	g, err := s.fetches.do(ctx, id, func(ctx context.Context) (granted, error) {
		ctx, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		if err := s.gate.enter(); err != nil {
			return granted{}, err
		}
		defer s.gate.leave()
		g, err := s.refresh(ctx, key, scopes)
		if err != nil {
			s.opts.Log.InfoContext(ctx, "no access token", "login", l.name, "err", err)
			return granted{}, err
		}
		return g, nil
	})
	return g.clone(), err
}

// refresh uses the refresh token of a login and keeps the access token in the cache. The login stays on its shelf
// meanwhile, but another one may take its name.
func (s *Service) refresh(ctx context.Context, key cacheKey, scopes []string) (granted, error) {
	name, audience := key.login, words(key.audience)
	l, release, err := s.hold(name)
	if err != nil {
		return granted{}, err
	}
	defer release()
	sh, err := s.shelfOf(l)
	if err != nil {
		return granted{}, err
	}
	cfg, saved, err := sh.config(ctx, name)
	if err != nil {
		return granted{}, err
	}
	usual, err := s.refresher(ctx, cfg, audience)
	if err != nil {
		return granted{}, err
	}
	toks, err := s.useToken(ctx, l, sh, cfg, func() (flow.Tokens, error) {
		return sh.keeper.Refresh(ctx, name, usual, flow.Request{Scope: refreshScopes(joined(scopes)), Audience: audience})
	})
	if err != nil {
		return granted{}, err
	}
	if err := checkPerson(name, saved.Subject, toks.Subject); err != nil {
		toks.Wipe()
		s.opts.Log.WarnContext(ctx, "the provider answered a refresh for somebody else", "login", name)
		return granted{}, err
	}
	g := granted{
		token: token{
			access: toks.Access, issuer: s.spelled(ctx, cfg), scope: toks.Scope, expires: toks.Expires,
			less: len(scopes) > 0 || narrowed(cfg.RefreshScope, cfg.AuthScope),
		},
		id: toks.ID,
	}
	if l.serial == key.serial {
		s.tokens.put(key, g.token)
	}
	return g, nil
}

// warnOfRotation says once that a login is in memory only from now on: the refresh token in its account file has been
// replaced.
func (s *Service) warnOfRotation(ctx context.Context, name string) {
	st, err := s.memory().keeper.State(ctx, name)
	if err == nil && st.Generation == firstReplaced {
		s.opts.Log.WarnContext(ctx, "the provider has replaced the refresh token: this login ends with the agent unless it "+
			"is saved in the keystore", "login", name)
	}
}

// firstReplaced is the generation of the first refresh token that is not the one a login was loaded with.
const firstReplaced = 2

// refresher is who sends the refresh token of a login: to its provider, or, where it is a mytoken, to that server.
func (s *Service) refresher(ctx context.Context, cfg login.Config, audience []string) (custody.Refresher, error) {
	if cfg.MytokenURL != "" {
		cl, err := s.mytokenClient(ctx, cfg)
		// What a mytoken is for is in it; only what the person chose for this login narrows it.
		return withUsualScopes{Refresher: cl, scopes: refreshScopes("", cfg.RefreshScope)}, err
	}
	cl, err := s.client(ctx, cfg, audience)
	return withUsualScopes{Refresher: cl, scopes: refreshScopes("", cfg.RefreshScope, cfg.AuthScope, cfg.Scope)}, err
}

// withUsualScopes sends the login's own scopes where nothing was asked for: some providers need the parameter. Custody
// sees the bare request, so that a refusal counts as one of the login and not of a choice of scopes.
type withUsualScopes struct {
	custody.Refresher
	scopes []string
}

func (u withUsualScopes) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	if len(r.Scope) == 0 {
		r.Scope = u.scopes
	}
	return u.Refresher.Refresh(ctx, rt, r)
}

// hold keeps a login from being moved to the other shelf or replaced until release is called.
func (s *Service) hold(name string) (l loaded, release func(), err error) {
	for {
		l, ok := s.logins.get(name)
		if !ok {
			return loaded{}, nil, fail(proto.TextNotLoaded, "")
		}
		l.place.RLock()
		if now, ok := s.logins.get(name); ok && now.place == l.place {
			return l, l.place.RUnlock, nil
		}
		l.place.RUnlock()
	}
}

func (g granted) clone() granted {
	g.token.access, g.id = g.token.access.Clone(), g.id.Clone()
	return g
}

func (g granted) wipe() {
	g.token.access.Wipe()
	g.id.Wipe()
}
