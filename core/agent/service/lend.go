package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// borrower makes a request with a mytoken.
type borrower = func(context.Context, secret.Text) control.Returned

// Lend hands the mytoken of a login to a command of the person. For custody it is a refresh like any other: it waits
// its turn, and what replaced the mytoken is durable before anything else is sent.
func (a Admin) Lend(ctx context.Context, name string, use borrower) error {
	return a.inside(func() error { return a.s.lend(ctx, name, use) })
}

func (s *Service) lend(ctx context.Context, name string, use borrower) error {
	l, release, err := s.hold(name)
	served := err == nil
	if served {
		defer release()
	}
	sh, err := s.holder(ctx, name)
	if err != nil {
		return err
	}
	cfg, _, err := sh.config(ctx, name)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	if cfg.MytokenURL == "" {
		return cli.Failf(cli.Usage, "%s is the name of a login at a provider, not of a mytoken", name)
	}
	b := &borrowing{s: s, cfg: cfg, use: use}
	defer b.end()
	// Nobody shares what comes back: each request has a name of its own.
	refresh := func() (flow.Tokens, error) {
		return sh.keeper.Refresh(ctx, name, b, flow.Request{Extra: url.Values{"lent": {rand.Text()}}})
	}
	if !served {
		_, err = refresh()
	} else {
		_, err = s.useToken(ctx, l, sh, cfg, refresh)
	}
	if b.came() && !errors.Is(err, custody.ErrNotSaved) {
		return nil // what the server said to the borrower is the borrower's to judge
	}
	return err
}

// errLostAnswer says that a borrower has not told what became of the mytoken.
var errLostAnswer = errors.New("no answer to a request with the mytoken is known")

// borrowing is one use of a mytoken by a command. It is a custody.Refresher.
type borrowing struct {
	s   *Service
	cfg login.Config

	mu   sync.Mutex
	use  borrower // nil when the borrower is gone
	back bool     // an outcome came
}

func (b *borrowing) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.use = nil
}

func (b *borrowing) came() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.back
}

// Refresh has the borrower use rt. When custody asks once more to learn what became of it and the borrower is gone, it
// is used as the agent uses it.
func (b *borrowing) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	b.mu.Lock()
	use := b.use
	b.mu.Unlock()
	if use == nil {
		return b.settle(ctx, rt, r)
	}
	mt := rt.Clone()
	defer mt.Wipe()
	return b.judge(use(ctx, mt), r)
}

func (b *borrowing) judge(got control.Returned, r flow.Request) (flow.Tokens, error) {
	b.mu.Lock()
	b.back = b.back || got.Outcome != control.LentUnknown
	b.mu.Unlock()
	t := flow.Tokens{Refresh: got.Next}
	if !got.Next.Empty() && r.Keep != nil {
		r.Keep(got.Next)
	}
	said := &flow.Error{Op: "use", Issuer: b.cfg.MytokenURL, Status: http.StatusForbidden, Code: "access_denied"}
	switch got.Outcome {
	case control.LentUsed:
		return t, nil
	case control.LentDenied:
		return t, said
	case control.LentRefused:
		said.Status, said.Code = http.StatusUnauthorized, "invalid_token"
		return t, said
	case control.LentUnsent:
		return t, fmt.Errorf("use the mytoken: %w", flow.ErrNoEndpoint)
	}
	return t, errLostAnswer
}

// settle learns from the server what became of a mytoken, with a use of our own: one that was replaced a moment ago is
// answered with the new one.
func (b *borrowing) settle(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	cl, err := b.s.mytokenClient(ctx, b.cfg)
	if err != nil {
		return flow.Tokens{}, fmt.Errorf("%w: %w", flow.ErrNoEndpoint, err)
	}
	r.Extra = nil
	return cl.Refresh(ctx, rt, r)
}
