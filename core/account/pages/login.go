package pages

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// frontBody is the page that everybody sees.
type frontBody struct {
	Providers []frontProvider
	Keys      []string
}

type frontProvider struct{ Issuer, Name, Host string }

// front is the page of the service; for who is logged in it is that of the account.
func (p *Pages) front(v *visit) error {
	if v.session != "" {
		return v.redirect(pathAccount)
	}
	return v.showFront(http.StatusOK, "", "")
}

func (v *visit) showFront(status int, notice, problem string) error {
	body := frontBody{Keys: v.p.o.HostKeys}
	for _, p := range v.p.o.Providers {
		name := plain(p.Name)
		if name == "" {
			name = hostOf(p.Issuer)
		}
		body.Providers = append(body.Providers, frontProvider{Issuer: p.Issuer, Name: name, Host: hostOf(p.Issuer)})
	}
	return v.show(status, "front", sheet{
		Title: "Log in to " + v.p.o.Host, Notice: notice, Problem: problem, Body: body,
	})
}

func (p *Pages) provider(issuer string) *Provider {
	for i := range p.o.Providers {
		if p.o.Providers[i].Issuer == issuer {
			return &p.o.Providers[i]
		}
	}
	return nil
}

// login sends a browser to a provider.
func (p *Pages) login(v *visit) error {
	op := p.provider(v.form.Get("issuer"))
	if op == nil {
		return &fault{status: http.StatusBadRequest, code: codeRequest, err: errors.New("no such provider")}
	}
	if retry, ok := p.o.Logins.Take(p.address(v.from)); !ok {
		return &fault{status: http.StatusTooManyRequests, code: codeTooMany, retry: retry}
	}
	ctx := v.r.Context()
	client, err := op.Client(ctx)
	if err != nil {
		return &fault{status: http.StatusBadGateway, code: codeProvider, err: fmt.Errorf("reach the provider: %w", err)}
	}
	state, nonce, bound, verifier := rand.Text(), rand.Text(), rand.Text(), secret.FromString(rand.Text()+rand.Text())
	defer verifier.Wipe()
	begun, err := client.StartCode(ctx, flow.CodeRequest{
		Request:     flow.Request{Scope: op.Scope, Audience: op.Audience},
		RedirectURI: p.redirectURI(), State: state, Nonce: nonce, Verifier: verifier,
	})
	if err != nil {
		return &fault{status: http.StatusBadGateway, code: codeProvider, err: fmt.Errorf("begin a login: %w", err)}
	}
	sum := sha256.Sum256([]byte(bound))
	err = p.keep(ctx, key(kindLogin, state), loginRecord{
		Version: recordVersion, Issuer: op.Issuer, Nonce: nonce, Verifier: []byte(verifier.Expose()), Bound: sum[:],
	}, p.o.Now().Add(loginLife))
	if err != nil {
		return err
	}
	// The redirect comes from another site: the cookie is Lax.
	v.setCookie(http.Cookie{
		Name: loginCookie(state), Value: bound, MaxAge: int(loginLife / time.Second), SameSite: http.SameSiteLaxMode,
	})
	return v.goOn(begun.URL, hostOf(begun.URL))
}

func (p *Pages) redirectURI() string { return p.o.URL + pathBack }

// land takes a browser that comes back from its provider.
func (p *Pages) land(v *visit) error {
	ctx, query := v.r.Context(), v.r.URL.Query()
	state := query.Get("state")
	bound := v.cookie(loginCookie(state))
	if state == "" || bound == "" {
		return gone(codeLanding, errors.New("this browser has begun no such login"))
	}
	v.setCookie(http.Cookie{Name: loginCookie(state), MaxAge: -1, SameSite: http.SameSiteLaxMode})
	begun, err := p.take(ctx, state)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(bound))
	if subtle.ConstantTimeCompare(sum[:], begun.Bound) != 1 {
		return gone(codeLanding, errors.New("another browser has begun this login"))
	}
	op := p.provider(begun.Issuer)
	if op == nil {
		return gone(codeLanding, errors.New("the provider is not configured any more"))
	}
	tokens, err := p.finish(ctx, op, begun, query)
	if err != nil {
		return err
	}
	defer tokens.Wipe()
	return v.arrive(op, tokens)
}

// finish exchanges the code, and checks the ID token.
func (p *Pages) finish(ctx context.Context, op *Provider, l *loginRecord, query url.Values) (flow.Tokens, error) {
	refuse := func(err error) (flow.Tokens, error) {
		switch {
		case errors.Is(err, flow.ErrAccessDenied):
			return flow.Tokens{}, &fault{status: http.StatusForbidden, code: codeDenied, err: err}
		case errors.Is(err, flow.ErrState), errors.Is(err, flow.ErrIssuer):
			return flow.Tokens{}, gone(codeLanding, err)
		}
		return flow.Tokens{}, &fault{status: http.StatusBadGateway, code: codeProvider, err: err}
	}
	client, err := op.Client(ctx)
	if err != nil {
		return refuse(fmt.Errorf("reach the provider: %w", err))
	}
	resume := l.resume(p.redirectURI(), query.Get("state"))
	resume.Audience = op.Audience
	defer resume.Verifier.Wipe()
	tokens, err := client.ResumeCode(resume).Finish(ctx, query)
	if err != nil {
		tokens.Wipe()
		return refuse(fmt.Errorf("finish a login: %w", err))
	}
	if tokens.Subject == "" || tokens.Access.Empty() || tokens.Access.Len() > maxToken {
		tokens.Wipe()
		return refuse(errors.New("finish a login: the provider does not say who it was, or gave no access token of use"))
	}
	return tokens, nil
}

// arrive begins the session of somebody who has logged in and may use the service.
func (v *visit) arrive(op *Provider, tokens flow.Tokens) error {
	p, ctx, now := v.p, v.r.Context(), v.p.o.Now()
	s, err := p.judge(ctx, op.Issuer, tokens.Subject, tokens.Access)
	if err != nil {
		p.audit(ctx, v, Event{Event: EventRefused, Subject: tokens.Subject, Issuer: op.Issuer, Reason: reason(err)})
		return err
	}
	ends := now.Add(p.o.Session)
	if !tokens.Expires.IsZero() && tokens.Expires.Before(ends) {
		ends = tokens.Expires
	}
	if !ends.After(now) {
		return &fault{status: http.StatusBadGateway, code: codeProvider, err: errors.New("the access token has expired")}
	}
	name := rand.Text()
	err = p.keep(ctx, key(kindSession, name), sessionRecord{
		Version: recordVersion, Issuer: op.Issuer, Subject: tokens.Subject, Token: []byte(tokens.Access.Expose()), Ends: ends,
	}, ends)
	if err != nil {
		return err
	}
	p.audit(ctx, v, Event{Event: EventLogin, ID: s.ID, Subject: s.Sub, Issuer: s.Iss})
	v.begin(name, ends.Sub(now))
	return v.goOn(p.base+pathAccount, "")
}

// revokeTime bounds the call with which a provider is told that a session is over.
const revokeTime = 5 * time.Second

// logout ends the session, and its access token at the provider, as far as that one lets us.
func (p *Pages) logout(v *visit) error {
	ctx, name := v.r.Context(), v.session
	s, err := p.load(ctx, name)
	v.forget()
	if err != nil {
		return v.showFront(http.StatusOK, "You are logged out.", "")
	}
	if err := p.end(ctx, name); err != nil {
		return err
	}
	if op := p.provider(s.Issuer); op != nil {
		ctx, cancel := context.WithTimeout(ctx, revokeTime)
		defer cancel()
		p.revoke(ctx, op, s.token())
	}
	return v.showFront(http.StatusOK, "You are logged out here. At your provider you may still be logged in.", "")
}

func (p *Pages) revoke(ctx context.Context, op *Provider, at secret.Text) {
	defer at.Wipe()
	client, err := op.Client(ctx)
	if err == nil {
		err = client.Revoke(ctx, at, "access_token")
	}
	if err != nil && !errors.Is(err, flow.ErrNoEndpoint) {
		p.o.Log.InfoContext(ctx, "access token of a web session was not revoked", "iss", op.Issuer, "err", err)
	}
}
