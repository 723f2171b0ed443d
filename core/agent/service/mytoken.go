package service

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

// A login at a mytoken server has these names where others have a client.
const mytokenClientID = "mytoken"

// The profiles of the original's settings, for requests that bring none.
const (
	profileOfLogin = "agent"
	profileOfToken = "web-default"
)

// asMytoken completes the configuration of a login at a mytoken server. Its mytoken says for which provider it is.
func asMytoken(cfg login.Config) (login.Config, error) {
	if cfg.Issuer == "" && !cfg.RefreshToken.Empty() {
		if c, err := mytoken.ReadClaims(cfg.RefreshToken); err == nil {
			cfg.Issuer = c.OIDCIssuer
		}
	}
	if cfg.Issuer == "" {
		return cfg, badRequest("config has no issuer_url")
	}
	if cfg.ClientID == "" {
		cfg.ClientID = mytokenClientID
	}
	if cfg.ClientSecret.Empty() {
		cfg.ClientSecret = secret.FromString(mytokenClientID)
	}
	return cfg, nil
}

// consent is a login at a mytoken server that waits for its person.
type consent struct {
	client *mytoken.Client
	wait   mytoken.Consent
}

// mytokenFlows runs the flows of a login at a mytoken server: its mytoken that was given, or a login on its pages,
// which takes the place of every flow that asks a person.
func (s *Service) mytokenFlows(ctx context.Context, st setup) (proto.Reply, error) {
	cl, err := s.mytokenClient(ctx, st.cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	if st.cfg.Issuer, err = providerOf(cl.Server(), st.cfg.Issuer); err != nil {
		return proto.Reply{}, err
	}
	if slices.Contains(st.flows, flowRefresh) {
		rep, err := s.refreshFlow(ctx, st)
		if !errors.Is(err, errNotApplicable) {
			return rep, err
		}
	}
	asking := func(flow string) bool { return flow != flowRefresh && flow != flowPassword }
	if !slices.ContainsFunc(st.flows, asking) {
		return proto.Reply{}, fail(proto.TextNoFlow, "At a mytoken server there is the flow "+flowMytoken+".")
	}
	return s.consentFlow(ctx, st, cl)
}

// consentFlow begins a login on the pages of the mytoken server. To clients it looks like a device flow without a code
// to type.
func (s *Service) consentFlow(ctx context.Context, st setup, cl *mytoken.Client) (proto.Reply, error) {
	r, err := mytokenRequest(st.cfg.MytokenProfile, profileOfLogin)
	if err != nil {
		return proto.Reply{}, err
	}
	r.Issuer = st.cfg.Issuer
	if r.Name == "" {
		r.Name = "mytoken for " + orElse(st.cfg.ClientName, "oidc-agent:"+st.cfg.Name)
	}
	if st, err = st.kept(); err != nil {
		return proto.Reply{}, err
	}
	wait, err := cl.Start(ctx, r)
	if err != nil {
		return proto.Reply{}, err
	}
	now := s.opts.Now()
	until := wait.Expires
	if until.After(now.Add(waitingLife)) {
		until = now.Add(waitingLife)
	}
	s.pending.put(&waiter{
		key: deviceKey(wait.Code), setup: st, expires: until, consent: &consent{client: cl, wait: wait},
	})
	b, err := json.Marshal(deviceObject{
		DeviceCode: wait.Code.Expose(), VerificationURI: wait.URI, Complete: wait.URI,
		ExpiresIn: int64(until.Sub(now) / time.Second), Interval: int64(wait.Interval / time.Second),
	})
	return proto.Reply{Status: proto.StatusAccepted, Device: secret.New(b)}, err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// mytokenRequest reads the profile of a request: a JSON object or a string, or none, which is the usual one.
func mytokenRequest(profile json.RawMessage, usual string) (mytoken.Request, error) {
	text := string(profile)
	if len(profile) > 0 && profile[0] == '"' {
		if err := json.Unmarshal(profile, &text); err != nil {
			return mytoken.Request{}, badRequest("mytoken_profile is not usable")
		}
	}
	r, err := mytoken.ParseProfile(text)
	if err != nil {
		return mytoken.Request{}, &problem{
			text: proto.TextBadRequest + "mytoken_profile is not usable", help: firstLine(err.Error()),
		}
	}
	if r.Empty() {
		r.Include = []string{usual}
	}
	// What is kept has to be a mytoken, and here: not a code for another place.
	if r.ResponseType != mytoken.KindShortToken {
		r.ResponseType = mytoken.KindToken
	}
	r.MaxTokenLen = 0
	return r, nil
}

// pollConsent asks the mytoken server once whether the person has decided.
func (s *Service) pollConsent(ctx context.Context, w *waiter) (proto.Reply, error) {
	if !w.begin() {
		return proto.Reply{}, fail(proto.TextPending, "")
	}
	got, err := w.consent.client.Poll(ctx, w.consent.wait)
	if got.Token.Empty() && (errors.Is(err, mytoken.ErrPending) || mytoken.Temporary(err)) {
		w.again()
		return proto.Reply{}, fail(proto.TextPending, "")
	}
	s.pending.remove(w.key)
	defer got.Wipe()
	if got.Token.Empty() {
		if err == nil {
			err = fail("The mytoken server gave no mytoken", "")
		}
		return proto.Reply{}, err
	}
	out, err := s.concludeMytoken(ctx, w, got)
	if err != nil {
		return proto.Reply{}, err
	}
	return s.outcomeReply(out)
}

// concludeMytoken makes a login of the mytoken that a person agreed to, and loads it. On the consent page everything
// can be changed, the provider too, so what the mytoken says counts.
func (s *Service) concludeMytoken(ctx context.Context, w *waiter, got mytoken.Issued) (outcome, error) {
	st := w.setup
	if st.onlyAT {
		return s.accessOnce(ctx, w.consent.client, st, got)
	}
	cfg := st.cfg
	cfg.RefreshToken = got.Token
	claims, err := mytoken.ReadClaims(got.Token) // a short token has none
	if err == nil && claims.OIDCIssuer != "" && !login.SameIssuer(claims.OIDCIssuer, cfg.Issuer) {
		cfg.Issuer = claims.OIDCIssuer
	}
	if err := s.samePerson(ctx, cfg, claims.OIDCSubject); err != nil {
		return outcome{}, err
	}
	if _, err := s.settle(ctx, cfg, st.again, claims.OIDCSubject); err != nil {
		return outcome{}, err
	}
	text, err := st.answer(cfg)
	if err != nil {
		return outcome{}, err
	}
	defer text.Wipe()
	sealed, err := s.opts.Vault.Seal(text)
	return outcome{config: sealed, issuer: cfg.Issuer}, err
}

// accessOnce gets one access token and ends the mytoken.
func (s *Service) accessOnce(ctx context.Context, cl *mytoken.Client, st setup, got mytoken.Issued) (outcome, error) {
	at, err := cl.AccessToken(ctx, got.Token, mytoken.AccessRequest{
		Scope: refreshScopes(st.cfg.AuthScope, st.cfg.Scope), Audience: words(st.cfg.Audience),
	})
	defer at.Wipe()
	last := got.Token
	if at.Update != nil && !at.Update.Token.Empty() {
		last = at.Update.Token
	}
	if _, rerr := cl.Revoke(ctx, mytoken.Revocation{Token: last}); rerr != nil {
		s.opts.Log.InfoContext(ctx, "a mytoken for one access token was not revoked", "err", rerr)
	}
	if err != nil {
		return outcome{}, err
	}
	access, err := s.opts.Vault.Seal(at.Token)
	return outcome{access: access, issuer: st.cfg.Issuer, expiry: at.Expires}, err
}

func (s *Service) revokeMytoken(ctx context.Context, cfg login.Config, mt secret.Text) error {
	cl, err := s.mytokenClient(ctx, cfg)
	if err != nil {
		return err
	}
	update, err := cl.Revoke(ctx, mytoken.Revocation{Token: mt})
	if update != nil {
		update.Wipe()
	}
	if errors.Is(err, mytoken.ErrNotOffered) {
		return fail(proto.TextNoRevocation, "")
	}
	return err
}

// endMytoken revokes a mytoken and asks what the server says of it afterwards.
func (s *Service) endMytoken(ctx context.Context, cfg login.Config, mt secret.Text) (string, error) {
	if err := s.revokeMytoken(ctx, cfg, mt); err != nil {
		return "", err
	}
	cl, err := s.mytokenClient(ctx, cfg)
	if err != nil {
		return control.ConfirmedUnknown, nil
	}
	info, err := cl.Introspect(ctx, mt)
	if info.Update != nil {
		info.Update.Wipe()
	}
	switch {
	case err == nil && info.Valid:
		return control.ConfirmedActive, nil
	case errors.Is(err, mytoken.ErrNotOffered):
		return control.ConfirmedNotOffered, nil
	case err == nil, mytoken.NeedsLogin(err):
		return control.ConfirmedInactive, nil
	}
	return control.ConfirmedUnknown, nil
}
