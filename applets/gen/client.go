package gen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
)

// setClient gives cfg a client: the one that was given, a public one, or one registered now.
func (s *session) setClient(ctx context.Context, cfg *login.Config, md *provider.Metadata) error {
	if len(cfg.RedirectURIs) == 0 {
		cfg.RedirectURIs = defaultRedirects()
	}
	switch {
	case s.cmd.Pub:
		return s.publicClient(cfg)
	case cfg.ClientID != "" || s.cmd.Manual:
		if !s.exists(ctx, cfg.Name) {
			s.say("No account exists with this short name. Creating new configuration ...")
		}
		return s.givenClient(cfg)
	case md.RegistrationEndpoint == "":
		return cli.Fail(cli.No, fmt.Errorf("%s does not register clients by itself", md.Issuer),
			"register one there with a redirect to http://localhost:4242, and give it with --client-id")
	}
	return s.register(ctx, cfg)
}

// defaultRedirects are those of the original. The listener takes the first whose port is free.
func defaultRedirects() []string {
	return []string{
		"http://localhost:4242",
		fmt.Sprintf("http://localhost:%d", randomPort()),
		"http://localhost:8080",
	}
}

// randomPort is below the range from which Linux takes ports for outgoing connections, so that it stays free.
func randomPort() int { return 20000 + rand.IntN(12000) }

func (s *session) givenClient(cfg *login.Config) error {
	var err error
	if cfg.ClientID == "" {
		if cfg.ClientID, err = s.ask("client id", "--client-id", ""); err != nil {
			return err
		}
	}
	given, err := s.secretFrom(s.cmd.SecretFile, s.cmd.SecretEnv, s.cmd.ClientSecret, "--client-secret")
	if err != nil {
		return err
	}
	if !given.Empty() {
		cfg.ClientSecret = given
		return nil
	}
	if cfg.ClientSecret.Empty() && s.cmd.ClientID == "" && s.interactive() {
		cfg.ClientSecret, err = s.password("Client secret (empty for a client without)")
	}
	return err
}

// publicClient takes the provider's public client from the files of the person or the system: those of version 5
// first, then those of version 4. An id that was given by hand wins.
func (s *session) publicClient(cfg *login.Config) error {
	cfg.PublicClient = true
	if cfg.ClientID != "" {
		return s.givenClient(cfg)
	}
	client, found := s.knownClient(cfg.Issuer)
	if !found {
		return cli.Fail(cli.NotFound, fmt.Errorf("no public client is known for %s", cfg.Issuer),
			"leave --pub out to register a client, or give one with --client-id")
	}
	cfg.ClientID, cfg.ClientSecret = client.ID, client.Secret
	switch given := s.cmd.redirects(); {
	case len(given) > 0:
		cfg.RedirectURIs = given
	case len(client.RedirectURIs) > 0:
		cfg.RedirectURIs = client.RedirectURIs
	default:
		cfg.RedirectURIs = publicRedirects()
	}
	return nil
}

// publicRedirects are what public clients are registered with, by habit.
func publicRedirects() []string {
	return []string{"http://localhost:8080", "http://localhost:4242", "http://localhost:43985"}
}

func (s *session) knownClient(issuer string) (login.Client, bool) {
	c, err := login.LoadCatalogue(login.CatalogueDirs(s.env.Getenv)...)
	if err != nil {
		s.env.Warn("%v", err)
	}
	return c.Public(issuer)
}

// register has the agent register a client, and takes what the provider said of it.
func (s *session) register(ctx context.Context, cfg *login.Config) error {
	s.say("Registering Client ...")
	initial, err := s.secretFrom(s.cmd.ATFile, "", s.cmd.AT, "--at")
	if err != nil {
		return err
	}
	defer initial.Wipe()
	rep, err := s.registration(ctx, *cfg, initial)
	defer rep.Wipe()
	if err != nil {
		return err
	}
	if info := rep.Info.Text(); info != "" {
		s.env.Warn("%s", info)
	}
	var client login.Config
	err = rep.Client.Use(func(b []byte) (err error) {
		client, err = login.ParseConfig(b)
		return err
	})
	if err == nil && client.ClientID == "" {
		err = errors.New("no client_id in it")
	}
	if err != nil {
		return fmt.Errorf("read the registration: %w", err)
	}
	merge(cfg, client)
	return nil
}

func (s *session) registration(ctx context.Context, cfg login.Config, initial secret.Text) (proto.Reply, error) {
	config, err := encode(cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	defer config.Wipe()
	return s.call(ctx, proto.Request{
		Type: proto.TypeRegister, Config: config, Flow: s.flows(cfg), Authorization: initial,
	})
}

// merge makes a login of a registration: the client is the provider's, the rest is what was asked for. Members nobody
// here knows stay.
func merge(cfg *login.Config, client login.Config) {
	asked := *cfg
	*cfg = client
	cfg.Name, cfg.ClientName, cfg.Issuer = asked.Name, asked.ClientName, asked.Issuer
	cfg.ConfigEndpoint, cfg.CertPath, cfg.Audience = asked.ConfigEndpoint, asked.CertPath, asked.Audience
	cfg.OAuth2 = asked.OAuth2
	cfg.DeviceEndpoint, cfg.DeviceEndpointSetByUser = asked.DeviceEndpoint, asked.DeviceEndpointSetByUser
	cfg.RefreshToken = asked.RefreshToken
	if len(cfg.RedirectURIs) == 0 {
		cfg.RedirectURIs = asked.RedirectURIs
	}
	cfg.AuthScope = registered(asked.AuthScope, client.Scope)
	cfg.Scope = cfg.AuthScope
}

// registered is what was asked for without what the registration does not have. A registration without scopes says
// nothing about them; scopes with a path are judged by what stands before it.
func registered(asked, granted string) string {
	have := strings.Fields(granted)
	if len(have) == 0 {
		return asked
	}
	var out []string
	for _, sc := range strings.Fields(asked) {
		base, _, _ := strings.Cut(sc, ":")
		ok := slices.ContainsFunc(have, func(h string) bool {
			name, _, _ := strings.Cut(h, ":")
			return h == sc || name == base && name != sc
		})
		if ok {
			out = append(out, sc)
		}
	}
	return strings.Join(out, " ")
}

// encode writes a login so that any agent reads it, also version 4 of the original.
func encode(cfg login.Config) (secret.Text, error) {
	b, err := cfg.Compatible().Encode()
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode the login: %w", err)
	}
	return secret.New(b), nil
}

// abs is path seen from where the person called us.
func (s *session) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.env.Dir, path)
}
