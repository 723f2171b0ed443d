package service

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

// autogen sets up a login for an issuer that has none, with a client that is there already, if the person wants it.
// none is the error where that cannot be.
func (s *Service) autogen(ctx context.Context, w want, none error) (loaded, error) {
	if s.opts.NoAutogen || !s.canAsk(ctx, prompt.Confirm) || !s.canAsk(ctx, prompt.Link) {
		return loaded{}, none
	}
	iss, _ := s.opts.Issuers().Find(w.issuer)
	client, ok := s.clientFor(ctx, iss, w.issuer)
	if !ok {
		return loaded{}, none
	}
	err := s.desk.once(ctx, "gen "+strings.TrimSuffix(w.issuer, "/"), func(ctx context.Context) error {
		if _, ok := s.forIssuer(w.issuer); ok {
			return nil
		}
		return s.generate(ctx, w, iss, client)
	})
	if l, ok := s.forIssuer(w.issuer); ok && err == nil {
		return l, nil
	}
	return loaded{}, notBrought(err, none)
}

// clientFor is the client for a new login: the mytoken server that the person prefers, his own client, else a public
// one.
func (s *Service) clientFor(ctx context.Context, iss login.Issuer, issuer string) (login.Client, bool) {
	if s.mytokenKnows(ctx, issuer) {
		return login.Client{ID: mytokenClientID, Secret: secret.FromString(mytokenClientID), Flows: []string{flowMytoken}}, true
	}
	if iss.UserClient != nil && iss.UserClient.ID != "" {
		return *iss.UserClient, true
	}
	return s.opts.Issuers().Public(issuer)
}

func (s *Service) generate(ctx context.Context, w want, iss login.Issuer, client login.Client) error {
	name := s.freeName(ctx, w.issuer)
	a, err := s.question(ctx, name, prompt.Question{
		Kind: prompt.Confirm, Title: "oidc-agent: set up a login?",
		Text: fmt.Sprintf("There is no login for\n%s\nyet, and a token of it is needed%s.\nSet one up now, as %s?",
			w.issuer, wayOf(ctx).because(), name),
	})
	if err != nil {
		return err
	}
	if !a.Yes {
		return prompt.ErrCancelled
	}
	if name, err = s.nameFor(ctx, name); err != nil {
		return err
	}
	rep, err := s.runFlows(ctx, setup{
		cfg: s.newLogin(name, w, iss, client), flows: flowsOr(client.Flows, flowDevice, flowCode),
		noServer: s.opts.NoWebserver, noScheme: s.opts.NoScheme,
	})
	if err != nil {
		return err
	}
	rep, err = s.follow(ctx, name, prompt.Question{
		Title: "oidc-agent: log in", Text: fmt.Sprintf("Log in at %s for the new login %s.", w.issuer, name),
	}, rep)
	defer rep.Wipe()
	if err != nil {
		return err
	}
	s.opts.Log.InfoContext(ctx, "the person has set up a login", "login", name, "issuer", w.issuer)
	if _, err := s.keystore(); err != nil {
		s.opts.Log.WarnContext(ctx, "the new login ends with the agent: there is no open keystore to save it in", "login", name)
		return nil
	}
	cfg, err := configOf(rep)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	return s.save(ctx, cfg)
}

func (s *Service) newLogin(name string, w want, iss login.Issuer, client login.Client) login.Config {
	if slices.Contains(client.Flows, flowMytoken) {
		return s.newMytokenLogin(name, w.issuer, client)
	}
	cfg := login.Config{
		Name: name, Issuer: w.issuer, ClientID: client.ID, ClientSecret: client.Secret.Clone(), AuthScope: client.Scope,
		RedirectURIs: client.RedirectURIs, PublicClient: iss.UserClient == nil, CertPath: iss.CertPath,
		ConfigEndpoint: iss.ConfigEndpoint, OAuth2: iss.OAuth2,
	}
	if iss.DeviceEndpoint != "" {
		cfg.DeviceEndpoint, cfg.DeviceEndpointSetByUser = iss.DeviceEndpoint, true
	}
	if s.opts.AutogenExact && w.scope != "" || cfg.AuthScope == "" {
		cfg.AuthScope = w.scope
	}
	return cfg
}

// nameFor asks for a short name where that can be asked; else it is the one that the person has agreed to.
func (s *Service) nameFor(ctx context.Context, suggested string) (string, error) {
	if !s.canAsk(ctx, prompt.Input) {
		return suggested, nil
	}
	q := prompt.Question{
		Kind: prompt.Input, Title: "oidc-agent: set up a login", Label: "Short name", Default: suggested,
		Text: "The short name is what you and your programs call the login by.",
	}
	for range maxTries {
		a, err := s.question(ctx, suggested, q)
		if err != nil {
			return "", err
		}
		name := strings.TrimSpace(a.Text.Expose())
		a.Text.Wipe()
		err = login.CheckName(name)
		if err == nil && s.taken(ctx, name) {
			err = fmt.Errorf("there is a login %s already", name)
		}
		if err == nil {
			return name, nil
		}
		q.Retry = err.Error()
	}
	return "", prompt.ErrCancelled
}

func (s *Service) taken(ctx context.Context, name string) bool {
	return !isText(s.whyNot(ctx, name), proto.TextNotConfigured) || s.isServed(name)
}

func (s *Service) isServed(name string) bool {
	_, ok := s.logins.get(name)
	return ok
}

// freeName suggests a short name: the telling part of the issuer's host, with a number where that is taken.
func (s *Service) freeName(ctx context.Context, issuer string) string {
	base := "login"
	if u, err := url.Parse(issuer); err == nil {
		for _, label := range strings.Split(u.Hostname(), ".") {
			if len(label) > 2 && label != "www" && label != "auth" && label != "login" && label != "iam" &&
				login.CheckName(label) == nil {
				base = label
				break
			}
		}
	}
	name := base
	for n := 2; s.taken(ctx, name) && n < 100; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}
