package sshwrap

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/token/bearer"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	envAccount = "OIDC_AGENT_ACCOUNT"
	// leastValid is what a token should live at least: a person may have to answer a question before it is used.
	leastValid = 2 * time.Minute
)

// tokenVariables are those that may hold a token, in the order of the original.
func tokenVariables() []string {
	return []string{"ACCESS_TOKEN", "OIDC", "OS_ACCESS_TOKEN", "OIDC_ACCESS_TOKEN", "WATTS_TOKEN", "WATTSON_TOKEN"}
}

func issuerVariables() []string { return []string{"OIDC_ISS", "OIDC_ISSUER"} }

// held is a token and where it is from.
type held struct {
	text  secret.Text
	where string
	asked proto.Request // of the agent; Type is "" for a token that is from elsewhere
}

// errNext says that a source has nothing that can be used.
var errNext = errors.New("no usable token")

// token finds the token for a service: what the command line names; else the variables, the login and the issuer of
// the environment, as the original does; else where programs of the grid look; else the agent, when the service takes
// tokens of one issuer only.
func (s *session) token(ctx context.Context, svc *service) (held, error) {
	sources := []func(context.Context, *service) (held, error){
		s.given, s.fromVariables, s.fromLogin, s.fromIssuer, s.fromMytoken, s.discovered, s.onlyIssuer,
	}
	if !s.compat {
		switch {
		case s.Token != "":
			sources = sources[:1]
		case s.MTFile != "" || s.MTEnv != "":
			sources = sources[4:5]
		case s.OIDC != "":
			sources = sources[2:3]
		case s.Issuer != "":
			sources = sources[3:4]
		}
	}
	for _, source := range sources {
		h, err := source(ctx, svc)
		if err == nil {
			s.say("token: %s", h.where)
			return h, nil
		}
		if !errors.Is(err, errNext) {
			return held{}, err
		}
	}
	return held{}, s.noToken(svc)
}

func (s *session) noToken(svc *service) error {
	var issuers []string
	for _, p := range svc.info.Providers {
		issuers = append(issuers, p.Issuer)
	}
	//lint:ignore ST1005 the words are the original's
	err := errors.New("No Access Token found.")
	if len(issuers) > 0 {
		err = fmt.Errorf("%w The service takes tokens of: %s", err, strings.Join(issuers, ", "))
	}
	return cli.Fail(cli.NotFound, err, "name a login of the agent with --oidc, or an issuer with --issuer")
}

// given is --token.
func (s *session) given(context.Context, *service) (held, error) {
	if s.Token == "" {
		return held{}, errNext
	}
	s.warn("others on this machine can read a token that is an argument; ACCESS_TOKEN keeps it to yourself")
	return s.parsed(s.Token, "--token")
}

// fromVariables takes the first token that has not expired.
func (s *session) fromVariables(context.Context, *service) (held, error) {
	for _, name := range tokenVariables() {
		if v := s.env.Getenv(name); v != "" {
			return s.parsed(v, "the variable "+name)
		}
	}
	return held{}, errNext
}

// parsed refuses what is none and what has expired: the next source is tried then.
func (s *session) parsed(text, where string) (held, error) {
	t, err := bearer.Parse([]byte(text))
	if err != nil {
		return held{}, cli.Fail(cli.Usage, fmt.Errorf("token of %s: %w", where, err), "")
	}
	if c, ok := readClaims(t); ok && c.expired(s.env.Now()) {
		s.warn("the token of %s has expired", where)
		t.Wipe()
		return held{}, errNext
	}
	return held{text: t, where: where}, nil
}

// fromLogin asks the agent for a token of a login.
func (s *session) fromLogin(ctx context.Context, svc *service) (held, error) {
	name := s.OIDC
	if name == "" {
		name = s.env.Getenv(envAccount)
	}
	if name == "" {
		return held{}, errNext
	}
	req := proto.Request{Account: name}
	if proto.IsIssuer(name, false) {
		req = proto.Request{Issuer: name}
	}
	p, err := s.providerOf(ctx, svc, req)
	if err != nil {
		return held{}, err
	}
	return s.ask(ctx, svc, req, p)
}

// fromIssuer asks the agent for a token of an issuer.
func (s *session) fromIssuer(ctx context.Context, svc *service) (held, error) {
	issuer := s.Issuer
	for _, name := range issuerVariables() {
		if issuer == "" {
			issuer = s.env.Getenv(name)
		}
	}
	if issuer == "" {
		return held{}, errNext
	}
	if !strings.Contains(issuer, "://") {
		issuer = "https://" + issuer
	}
	p, err := s.wishes(ctx, svc, issuer)
	if err != nil {
		return held{}, err
	}
	return s.ask(ctx, svc, proto.Request{Issuer: issuer}, p)
}

// onlyIssuer asks the agent, when there is only one issuer that it can be.
func (s *session) onlyIssuer(ctx context.Context, svc *service) (held, error) {
	if len(svc.info.Providers) != 1 {
		return held{}, errNext
	}
	issuer := svc.info.Providers[0].Issuer
	p, err := s.wishes(ctx, svc, issuer)
	if err != nil {
		return held{}, err
	}
	return s.ask(ctx, svc, proto.Request{Issuer: issuer}, p)
}

// discovered is the token where programs of the grid look. It was put there for something else, so it is used only when
// the service says that it takes tokens of its issuer, and for its audience.
func (s *session) discovered(_ context.Context, svc *service) (held, error) {
	t, where, err := bearer.Find(s.env.Getenv, os.Geteuid())
	if err != nil {
		return held{}, errNext
	}
	c, ok := readClaims(t)
	if !ok || c.expired(s.env.Now()) {
		t.Wipe()
		return held{}, errNext
	}
	if svc.Base == "" {
		return held{text: t, where: where}, nil
	}
	p, ok := svc.info.Provider(c.issuer)
	elsewhere := len(p.Audience) > 0 && !c.meantFor(p.Audience) || len(p.Audience) == 0 && len(c.audience) > 0
	if !ok || elsewhere || !modest(c.scope) {
		s.say("the token of %s is for something else", where)
		t.Wipe()
		return held{}, errNext
	}
	return held{text: t, where: where}, nil
}

// providerOf says what the service wants of the issuer of a login. Where it takes several, the agent knows which it is.
func (s *session) providerOf(ctx context.Context, svc *service, req proto.Request) (sshlogin.Provider, error) {
	if req.Issuer != "" || svc.Base == "" {
		return s.wishes(ctx, svc, req.Issuer)
	}
	if len(svc.info.Providers) == 1 {
		return s.wishes(ctx, svc, svc.info.Providers[0].Issuer)
	}
	rep, err := s.agent(ctx, req)
	if err != nil {
		return sshlogin.Provider{}, err
	}
	issuer := rep.Issuer
	rep.Wipe()
	return s.wishes(ctx, svc, issuer)
}

func (s *session) wishes(ctx context.Context, svc *service, issuer string) (sshlogin.Provider, error) {
	if svc.Base == "" {
		return sshlogin.Provider{Issuer: issuer}, nil // no service: "info" about a token alone
	}
	p, ok := svc.info.Provider(issuer)
	if !ok {
		return p, cli.Fail(cli.NotFound, fmt.Errorf("%s takes no tokens of %s", svc.Base, issuer),
			"see of which with: oidcbox ssh info HOST")
	}
	if p.Told {
		return p, nil
	}
	return svc.Wishes(ctx, p.Issuer)
}

// ask asks the agent for the token that the service wants.
func (s *session) ask(ctx context.Context, svc *service, req proto.Request, p sshlogin.Provider) (held, error) {
	scopes, audience := s.wanting(p)
	if err := s.agree(ctx, svc, scopes, audience); err != nil {
		return held{}, err
	}
	req.Scope, req.Audience, req.MinValid = scopes, audience, int64(leastValid/time.Second)
	rep, err := s.agent(ctx, req)
	if err == nil && scopes == "" {
		rep, err = s.narrow(ctx, svc, &req, rep)
	}
	if err != nil {
		return held{}, err
	}
	defer rep.Wipe()
	if err := fits(rep.AccessToken, scopes, audience); err != nil {
		return held{}, err
	}
	where := "oidc-agent, login " + req.Account
	if req.Account == "" {
		where = "oidc-agent, issuer " + req.Issuer
	}
	return held{text: rep.AccessToken.Clone(), where: where, asked: req}, nil
}

// narrow is for a service that names no scopes: what a login has without them may open data elsewhere, and a host would
// get it by not asking. A token that does is replaced by one for the scopes of it that say who somebody is.
func (s *session) narrow(
	ctx context.Context, svc *service, req *proto.Request, rep proto.Reply,
) (proto.Reply, error) {
	has := granted(rep)
	if modest(has) || svc.Base == "" {
		return rep, nil
	}
	less := *req
	if less.Scope = strings.Join(slices.DeleteFunc(strings.Fields(has), immodest), " "); less.Scope != "" {
		narrower, err := s.agent(ctx, less)
		if err == nil && modest(granted(narrower)) {
			rep.Wipe()
			*req = less
			return narrower, nil
		}
		narrower.Wipe()
	}
	if err := s.agree(ctx, svc, has, req.Audience); err != nil {
		rep.Wipe()
		return proto.Reply{}, err
	}
	return rep, nil
}

// granted is what a token is good for, as it says itself or as the agent knows, "" when nobody says.
func granted(rep proto.Reply) string {
	if c, ok := readClaims(rep.AccessToken); ok && c.scope != "" {
		return c.scope
	}
	return rep.Scope
}

// wanting is what to ask for: what the person says, else what the service wants.
func (s *session) wanting(p sshlogin.Provider) (scopes, audience string) {
	scopes, audience = s.Scope, s.Aud
	if scopes == "" {
		scopes = strings.Join(p.Scopes, " ")
	}
	if audience == "" && len(p.Audience) > 0 {
		audience = p.Audience[0]
	}
	return scopes, audience
}

func fields(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

// agent asks for an access token.
func (s *session) agent(ctx context.Context, req proto.Request) (proto.Reply, error) {
	req.Type, req.Hint = proto.TypeAccessToken, mccliName
	if req.MinValid == 0 {
		req.MinValid = int64(leastValid / time.Second)
	}
	caller := relay.For(s.env)
	caller.Agent = caller.Agent.OrRemote(s.env.Getenv)
	rep, err := caller.Call(ctx, req)
	if err == nil {
		if err = rep.Err(); err == nil && rep.AccessToken.Empty() {
			err = errors.New("the agent's answer has no token")
		}
	}
	if err != nil {
		rep.Wipe()
		return proto.Reply{}, fmt.Errorf("get a token from the agent: %w", err)
	}
	return rep, nil
}

// fits says in the original's words what a token from the agent lacks.
func fits(t secret.Text, scopes, audience string) error {
	c, ok := readClaims(t)
	if !ok {
		return nil
	}
	if have := strings.Fields(c.scope); len(have) > 0 {
		for _, want := range strings.Fields(scopes) {
			if !slices.Contains(have, want) {
				return cli.Failf(cli.No, "Token with scopes '%s' does not contain all scopes required by motley-cue service: '%s'.",
					c.scope, scopes)
			}
		}
	}
	if audience != "" && !c.meantFor([]string{audience}) {
		return cli.Failf(cli.No, "Token audience %s does not match audience required by motley-cue service: %s",
			strings.Join(c.audience, " "), audience)
	}
	return nil
}

// claims are what a token says of itself, unchecked: whether to use it is decided by them, nothing else.
type claims struct {
	issuer, scope string
	audience      []string
	expires       time.Time
	header, body  jose.Object
	signature     string
}

func (c claims) expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

func (c claims) meantFor(any []string) bool {
	return slices.ContainsFunc(any, func(a string) bool { return slices.Contains(c.audience, a) })
}

// readClaims is false for a token that is no JWT.
func readClaims(t secret.Text) (c claims, ok bool) {
	_ = t.Use(func(b []byte) error {
		parts := strings.Split(string(b), ".")
		if len(parts) != 3 {
			return nil
		}
		var errs [2]error
		c.header, errs[0] = object(parts[0])
		c.body, errs[1] = object(parts[1])
		c.signature = parts[2]
		ok = errs[0] == nil && errs[1] == nil
		return nil
	})
	if !ok {
		return claims{}, false
	}
	c.issuer, _ = c.body.String("iss")
	c.scope, _ = c.body.String("scope")
	c.audience, _ = c.body.OneOrMore("aud")
	c.expires, _ = c.body.Time("exp")
	return c, true
}

func object(part string) (jose.Object, error) {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return jose.Object{}, err
	}
	return jose.StrictObject(b, jose.PayloadDepth, jose.PayloadMembers)
}
