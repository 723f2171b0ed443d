package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Names of flows on the socket.
const (
	flowRefresh  = "refresh"
	flowPassword = "password"
	flowCode     = "code"
	flowDevice   = "device"
	flowMytoken  = "mt_oidc"
)

// setup is one attempt to get a login, or to log in again.
type setup struct {
	cfg      login.Config
	user     inFlight
	flows    []string
	onlyAT   bool // one access token and nothing stored
	noServer bool
	// noListener is set when the client wants no listener, and therefore knows that there is none.
	noListener bool
	noScheme   bool
	again      *loaded // the login that is renewed; nil for a new one
	md         *provider.Metadata
	typed      string // the issuer as the request spelled it
}

// answer is the account JSON for the client. The issuer is spelled as the client did, as far as that is a matter of the
// last slash: oidc-gen of version 4 compares the answer with what it sent.
func (st setup) answer(cfg login.Config) (secret.Text, error) {
	if st.typed != "" && login.SameIssuer(st.typed, cfg.Issuer) {
		cfg.Issuer = st.typed
	}
	return configText(cfg)
}

// gen gets a new login by the first flow that works, or begins one that a person has to finish.
func (s *Service) gen(ctx context.Context, r proto.Request) (proto.Reply, error) {
	cfg, err := parseSetup(r)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe() // a flow that goes on has its own copy
	if cfg.Name != "" {
		if err := s.passwords.remember(ctx, cfg.Name, r.PWEntry); err != nil {
			return proto.Reply{}, err
		}
	}
	return s.runFlows(ctx, setup{
		cfg: cfg, user: inFlightOf(r.Config), flows: flowsOr(r.Flow, flowRefresh, flowPassword, flowCode, flowDevice),
		onlyAT: r.OnlyAT, noServer: r.NoWebserver || s.opts.NoWebserver, noListener: r.NoWebserver, noScheme: r.NoScheme || s.opts.NoScheme,
	})
}

// parseSetup is parseConfig; a configuration for one access token needs no name.
func parseSetup(r proto.Request) (login.Config, error) {
	cfg, err := parseConfig(r.Config)
	if err != nil && r.OnlyAT && cfg.Name == "" && (cfg.Issuer != "" || cfg.ConfigEndpoint != "") {
		return cfg, nil
	}
	if err == nil && cfg.ClientID == "" {
		err = badRequest("config has no client_id")
	}
	return cfg, err
}

func flowsOr(given []string, usual ...string) []string {
	if len(given) > 0 {
		return given
	}
	return usual
}

// reauthenticate renews a login that is there: same client, same scopes, a new refresh token.
func (s *Service) reauthenticate(ctx context.Context, r proto.Request) (proto.Reply, error) {
	l, err := s.find(ctx, want{login: r.Account})
	if err != nil {
		// A saved login that was unloaded may well have been unloaded because it had ended.
		if disk, diskErr := s.keystore(); diskErr != nil || !disk.has(ctx, r.Account) {
			return proto.Reply{}, err
		}
		l = loaded{name: r.Account, stored: true, expires: s.expiry(loading{})}
	}
	sh, err := s.shelfOf(l)
	if err != nil {
		return proto.Reply{}, err
	}
	cfg, saved, err := sh.config(ctx, l.name)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	l.confirm, l.subject = l.confirm || saved.Confirm, saved.Subject
	return s.runFlows(ctx, setup{
		cfg: cfg, flows: flowsOr(r.Flow, flowPassword, flowDevice, flowCode), again: &l,
		noServer: r.NoWebserver || s.opts.NoWebserver, noListener: r.NoWebserver, noScheme: r.NoScheme || s.opts.NoScheme,
	})
}

func (s *Service) runFlows(ctx context.Context, st setup) (proto.Reply, error) {
	st.typed = st.cfg.Issuer
	if st.cfg.MytokenURL != "" {
		return s.mytokenFlows(ctx, st)
	}
	md, err := s.issuers.metadata(ctx, whereOf(st.cfg))
	if err != nil {
		return proto.Reply{}, err
	}
	st.md, st.cfg.Issuer = md, md.Issuer
	st.cfg.OAuth2 = st.cfg.OAuth2 || md.OAuth2
	var tried []error
	for _, name := range st.flows {
		rep, err := s.runFlow(ctx, name, st)
		if err == nil {
			return rep, nil
		}
		if !errors.Is(err, errNotApplicable) {
			tried = append(tried, fmt.Errorf("flow %s: %w", name, err))
		}
	}
	switch len(tried) {
	case 0:
		return proto.Reply{}, fail(proto.TextNoFlow, "None of the flows can be used with this provider and what was given: "+
			strings.Join(st.flows, ", "))
	case 1:
		return proto.Reply{}, tried[0]
	}
	texts := make([]string, 0, len(tried))
	for _, err := range tried {
		texts = append(texts, explain(err, st.cfg.Name).text)
	}
	return proto.Reply{}, &problem{text: proto.TextNoFlow, help: strings.Join(texts, "\n"), err: errors.Join(tried...)}
}

// errNotApplicable says that a flow cannot begin for want of something; the next one may.
var errNotApplicable = errors.New("flow cannot be used here")

func (s *Service) runFlow(ctx context.Context, name string, st setup) (proto.Reply, error) {
	switch name {
	case flowRefresh:
		return s.refreshFlow(ctx, st)
	case flowPassword:
		return s.passwordFlow(ctx, st)
	case flowCode:
		return s.codeFlow(ctx, st)
	case flowDevice:
		return s.deviceFlow(ctx, st)
	case flowMytoken:
		return proto.Reply{}, fail(proto.TextNotMytoken, "The configuration names no mytoken server (mytoken_url).")
	}
	return proto.Reply{}, badRequest("unknown flow %q", name)
}

// refreshFlow uses the refresh token that was given. It is in custody before it is sent: a provider that rotates has
// then replaced it.
func (s *Service) refreshFlow(ctx context.Context, st setup) (proto.Reply, error) {
	if st.cfg.RefreshToken.Empty() || st.again != nil {
		return proto.Reply{}, errNotApplicable
	}
	if st.cfg.Name == "" {
		return proto.Reply{}, badRequest("a refresh token needs a short name to be kept under")
	}
	before, served := s.logins.get(st.cfg.Name)
	l := loaded{name: st.cfg.Name, issuer: st.cfg.Issuer}
	l.expires = s.expiry(loading{})
	if err := s.place(ctx, s.memory(), st.cfg, l); err != nil {
		return proto.Reply{}, err
	}
	if err := s.logins.put(l); err != nil {
		return proto.Reply{}, err
	}
	g, err := s.fetch(ctx, l, cacheKey{login: l.name}, nil)
	if err != nil {
		if l, ok := s.logins.remove(l.name); ok {
			s.unload(ctx, l)
		}
		if served && before.stored { // the saved login of this name is as it was
			err = errors.Join(err, s.logins.put(before))
		}
		return proto.Reply{}, err
	}
	if st.onlyAT {
		return accessReply(g.token), nil
	}
	g.wipe()
	cfg, err := s.memory().full(ctx, l.name)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	text, err := st.answer(cfg)
	return proto.Reply{Status: proto.StatusSuccess, Config: text}, err
}

func (s *Service) passwordFlow(ctx context.Context, st setup) (proto.Reply, error) {
	if st.user.empty() {
		return proto.Reply{}, errNotApplicable
	}
	cl, err := s.clientAt(ctx, st.cfg, st.md, words(st.cfg.Audience))
	if err != nil {
		return proto.Reply{}, err
	}
	toks, err := cl.Password(ctx, st.user.user, st.user.password, st.request())
	if err != nil {
		return proto.Reply{}, err
	}
	out, err := s.conclude(ctx, st, toks)
	if err != nil {
		return proto.Reply{}, err
	}
	return s.outcomeReply(out)
}

// request is what an interactive flow asks for.
func (st setup) request() flow.Request {
	asked := st.cfg.AuthScope
	if asked == "" {
		asked = st.cfg.Scope
	}
	return flow.Request{
		Scope:    authScopes(asked, st.cfg.Issuer, st.cfg.OAuth2, st.onlyAT),
		Audience: words(st.cfg.Audience),
	}
}

// conclude makes a login of what a flow gave, and loads it.
func (s *Service) conclude(ctx context.Context, st setup, toks flow.Tokens) (outcome, error) {
	defer toks.Wipe()
	if st.onlyAT {
		access, err := s.opts.Vault.Seal(toks.Access)
		return outcome{access: access, issuer: st.cfg.Issuer, expiry: toks.Expires}, err
	}
	if toks.Refresh.Empty() {
		return outcome{}, &problem{
			text: "The provider gave no refresh token", err: ErrNoRefreshToken,
			help: "The client may not be allowed to have one, or the scope offline_access was not granted.",
		}
	}
	cfg := st.cfg
	cfg.RefreshToken = toks.Refresh
	has := cmp.Or(toks.Scope, joined(st.request().Scope))
	// A smaller list that is there already is what the person wants tokens to have when nothing is asked for.
	less := narrowed(cfg.RefreshScope, has)
	if toks.Scope != "" && !less {
		cfg.RefreshScope = joined(refreshScopes(toks.Scope))
	}
	if err := s.samePerson(ctx, cfg, toks.Subject); err != nil {
		return outcome{}, err
	}
	l, err := s.settle(ctx, cfg, st.again, toks.Subject)
	if err != nil {
		return outcome{}, err
	}
	if !less { // this one has all that the login has
		at := token{access: toks.Access, issuer: cfg.Issuer, scope: toks.Scope, expires: toks.Expires}
		s.tokens.put(cacheKey{login: l.name, serial: l.serial}, at)
	}
	text, err := st.answer(cfg)
	if err != nil {
		return outcome{}, err
	}
	defer text.Wipe()
	sealed, err := s.opts.Vault.Seal(text)
	return outcome{config: sealed, issuer: cfg.Issuer}, err
}

// settle puts a login that was just obtained into memory and serves it from there, also one that the keystore has. To
// save it is asked for over the control socket, which no forwarded connection reaches: what comes over this one cannot
// change what the keystore holds.
func (s *Service) settle(ctx context.Context, cfg login.Config, again *loaded, sub string) (loaded, error) {
	mem := s.memory()
	disk := s.fileShelf(ctx, cfg)
	l := loaded{name: cfg.Name, expires: s.expiry(loading{})}
	if again != nil {
		l = *again
		if now, ok := s.logins.get(again.name); ok {
			l = now
		}
	}
	if again == nil || l.stored {
		// A new login knows nothing of an old one that had its name.
		if err := mem.keeper.Forget(ctx, cfg.Name); err != nil {
			return loaded{}, err
		}
	}
	l.issuer, l.stored, l.fromFile, l.serial = cfg.Issuer, false, false, 0
	if sub != "" {
		l.subject = sub
	}
	if disk != nil { // what it has of this name belongs to the account file, which the client is about to write
		mem, l.stored, l.fromFile = disk, true, true
	}
	if err := s.place(ctx, mem, cfg, l); err != nil {
		return loaded{}, err
	}
	if disk != nil {
		if err := s.memory().remove(ctx, cfg.Name); err != nil {
			return loaded{}, err
		}
	}
	return s.logins.add(l)
}

// outcomeReply opens an outcome for an answer.
func (s *Service) outcomeReply(out outcome) (proto.Reply, error) {
	if !out.access.Empty() {
		access, err := s.opts.Vault.Open(out.access)
		if err != nil {
			return proto.Reply{}, err
		}
		return accessReply(token{access: access, issuer: out.issuer, expires: out.expiry}), nil
	}
	config, err := s.opts.Vault.Open(out.config)
	return proto.Reply{Status: proto.StatusSuccess, Config: config}, err
}

// scopes answers with what the provider says it supports.
func (s *Service) scopes(ctx context.Context, r proto.Request) (proto.Reply, error) {
	md, err := s.issuers.metadata(ctx, where{issuer: r.Issuer, document: r.ConfigEndpoint, caFile: r.CertPath})
	if err != nil {
		return proto.Reply{}, err
	}
	return proto.Success(joined(md.ScopesSupported)), nil
}

// delete revokes the refresh token of a login and unloads it. For one that the keystore serves the client has to show
// that it knows the refresh token, or one before it: it could revoke that by itself.
func (s *Service) delete(ctx context.Context, r proto.Request) (proto.Reply, error) {
	cfg, err := parseConfig(r.Config)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	rt := cfg.RefreshToken.Clone()
	l, served := s.logins.get(cfg.Name)
	if served && l.stored {
		if known, err := s.sameGrant(ctx, cfg); err != nil || !known {
			return proto.Reply{}, errors.Join(err, fail("the login is saved in the agent's keystore",
				"Delete it on the machine of the agent with: oidc-gen --delete "+cfg.Name))
		}
	}
	if served {
		sh, err := s.shelfOf(l)
		if err != nil {
			return proto.Reply{}, err
		}
		if own, err := sh.keeper.Token(ctx, cfg.Name); err == nil {
			rt = own // the one in the file may have been replaced
		}
	}
	defer rt.Wipe()
	if err := s.revoke(ctx, cfg, rt); err != nil {
		p := explain(err, cfg.Name)
		return proto.Reply{}, &problem{text: proto.TextCannotRevoke + p.text, help: p.help, err: err}
	}
	s.logins.remove(cfg.Name)
	s.tokens.forget(cfg.Name)
	err = errors.Join(s.passwords.forget(ctx, cfg.Name), s.memory().remove(ctx, cfg.Name))
	if disk := s.fileShelf(ctx, cfg); disk != nil {
		err = errors.Join(err, disk.remove(ctx, cfg.Name))
	}
	return proto.Success(""), errors.Join(err, s.files.giveUp(ctx, cfg.Name)) // the client removes the file now
}

func (s *Service) revoke(ctx context.Context, cfg login.Config, rt secret.Text) error {
	if rt.Empty() {
		return fail(proto.TextNoRefreshToken, "")
	}
	if cfg.MytokenURL != "" {
		return s.revokeMytoken(ctx, cfg, rt)
	}
	cl, err := s.client(ctx, cfg, nil)
	if err != nil {
		return err
	}
	err = cl.Revoke(ctx, rt, "refresh_token")
	if errors.Is(err, flow.ErrNoEndpoint) {
		return fail(proto.TextNoRevocation, "")
	}
	return err
}

// supports reports whether a list of the metadata has value; an absent list does not say.
func supports(list []string, value string) bool {
	return len(list) == 0 || slices.Contains(list, value)
}
