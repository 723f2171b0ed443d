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
	"github.com/oidcbox/oidcbox/core/secret"
)

// clientKind is where the client of a new login comes from.
type clientKind int

const (
	clientRegistered clientKind = iota // registered now
	clientGiven                        // named by the options or a file, or asked for
	clientParked                       // registered by a run that did not end
	clientUser                         // the person's own, from issuer.config
	clientPublic                       // the public one of the provider, from a file
)

// chooseClient decides where the client comes from, before anything happens anywhere. The scopes depend on it.
func (s *session) chooseClient(d *draft) error {
	switch public, found := s.catalogue().Public(d.cfg.Issuer); {
	case s.cmd.Pub && d.cfg.ClientID != "":
		d.kind, d.cfg.PublicClient = clientGiven, true
	case s.cmd.Pub && !found:
		return s.noPublicClient(*d)
	case s.cmd.Pub, s.cmd.OnlyAT && found && d.cfg.ClientID == "" && !s.cmd.Manual:
		s.use(d, clientPublic, public)
	case d.kind == clientParked:
	case d.cfg.ClientID != "" || s.cmd.Manual:
		d.kind = clientGiven
	case d.entry.UserClient != nil:
		s.use(d, clientUser, *d.entry.UserClient)
	case s.cmd.OnlyAT:
		return cli.Fail(cli.Usage, fmt.Errorf("no client is known for %s, and none is registered for a single token", d.cfg.Issuer),
			"give one with --client-id, or name a public one in issuer.config")
	}
	return nil
}

// use takes a client from the catalogue.
func (s *session) use(d *draft, kind clientKind, c login.Client) {
	d.kind, d.known, d.flows = kind, c, c.Flows
	d.cfg.ClientID, d.cfg.ClientSecret = c.ID, c.Secret
	d.cfg.PublicClient = kind == clientPublic
	switch given, _ := s.redirects(); {
	case len(given) > 0:
		d.cfg.RedirectURIs = given
	case len(c.RedirectURIs) > 0:
		d.cfg.RedirectURIs = c.RedirectURIs
	case kind == clientPublic:
		d.cfg.RedirectURIs = publicRedirects()
	}
	s.detail("Client %s, from the lists of issuers", c.ID)
}

// noPublicClient says which ways are left.
func (s *session) noPublicClient(d draft) error {
	ways := "name one in issuer.config or pubclients.config of oidc-agent's directory; or " + d.byHand()
	if d.md.RegistrationEndpoint != "" {
		ways = "leave --pub out and a client is registered now; or " + ways
	}
	if s.env.Upstream {
		s.env.Note("Could not find a public client for this issuer.")
		s.env.Note("%s", ways)
		return cli.Exit(cli.NotFound)
	}
	return cli.Fail(cli.NotFound, fmt.Errorf("no public client is known for %s", d.cfg.Issuer), ways)
}

// setClient gives the login its client.
func (s *session) setClient(ctx context.Context, d *draft) error {
	if d.cfg.MytokenURL != "" {
		return nil
	}
	if len(d.cfg.RedirectURIs) == 0 {
		d.cfg.RedirectURIs = defaultRedirects()
	}
	switch d.kind {
	case clientGiven:
		if !s.exists(ctx, d.cfg.Name) {
			s.say("No account exists with this short name. Creating new configuration ...")
		}
		return s.givenClient(ctx, &d.cfg)
	case clientRegistered:
		return s.register(ctx, d)
	}
	return nil
}

// defaultRedirects are those of the original. The listener takes the first whose port is free; the scheme is for
// desktops where none is.
func defaultRedirects() []string {
	return []string{
		"http://localhost:4242",
		fmt.Sprintf("http://localhost:%d", randomPort()),
		"http://localhost:8080",
		customScheme + "/redirect",
	}
}

// randomPort is below the range from which Linux takes ports for outgoing connections, so that it stays free.
func randomPort() int { return 20000 + rand.IntN(12000) }

// publicRedirects are what public clients are registered with, by habit.
func publicRedirects() []string {
	return []string{"http://localhost:8080", "http://localhost:4242", "http://localhost:43985"}
}

func (s *session) givenClient(ctx context.Context, cfg *login.Config) error {
	var err error
	if cfg.ClientID == "" {
		if cfg.ClientID, err = s.ask(ctx, "client id", "--client-id", question{label: "Client_id"}); err != nil {
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
	if cfg.ClientSecret.Empty() && s.cmd.ClientID == "" && s.cmd.File == "" && s.asksPw != nil {
		cfg.ClientSecret, err = s.password(ctx, "Client_secret (empty for a client without)")
		if errors.Is(err, errNobody) {
			err = nil // a client without
		}
	}
	return err
}

// register has the agent register a client. Where that does not work, the public client takes its place.
func (s *session) register(ctx context.Context, d *draft) error {
	s.say("Registering Client ...")
	if d.md.RegistrationEndpoint == "" {
		s.say("Dynamic client registration not supported by this issuer.")
		return s.fallBack(d, errors.New("the provider does not register clients by itself"))
	}
	initial, err := s.secretFrom(s.cmd.ATFile, "", s.cmd.AT, "--at")
	if err != nil {
		return err
	}
	defer initial.Wipe()
	rep, err := s.registration(ctx, *d, initial)
	defer rep.Wipe()
	if err != nil {
		if !isRefusal(err) {
			return err
		}
		s.deleteUseless(ctx, d.cfg, rep.Client)
		s.env.Note("The following error occurred during dynamic client registration:\n%v", err)
		return s.fallBack(d, err)
	}
	if info := rep.Info.Text(); info != "" {
		s.env.Note("Warning: %s", info)
	}
	client, err := parseClient(rep.Client)
	if err != nil {
		return fmt.Errorf("read the registration: %w", err)
	}
	merge(&d.cfg, client)
	s.park(ctx, d.cfg)
	return nil
}

func parseClient(object secret.Text) (client login.Config, err error) {
	err = object.Use(func(b []byte) (err error) {
		client, err = login.ParseConfig(b)
		return err
	})
	if err == nil && client.ClientID == "" {
		err = errors.New("no client_id in it")
	}
	return client, err
}

// fallBack takes the public client, if there is one, and says which ways are left if there is none.
func (s *session) fallBack(d *draft, why error) error {
	public, found := s.catalogue().Public(d.cfg.Issuer)
	if found {
		s.say("Try using a public client ...")
		s.use(d, clientPublic, public)
		return s.resolveScopes(d)
	}
	hint := d.byHand() + "; or name a public client in issuer.config and use --pub"
	if s.env.Upstream {
		s.say("Try using a public client ...")
		s.env.Note("Dynamic client registration not successful for this issuer and could not find a public client " +
			"for this issuer.")
		s.env.Note("%s", hint)
		return cli.Exit(cli.No)
	}
	return cli.Fail(cli.No, fmt.Errorf("register a client at %s for login %s: %w; and no public client is known",
		d.cfg.Issuer, d.cfg.Name, plain(why)), hint)
}

// plain is an error without the exit code and hint that it came with: the one around it has its own.
func plain(err error) error {
	var ce *cli.Error
	if errors.As(err, &ce) && ce.Err != nil {
		return ce.Err
	}
	return err
}

// isRefusal reports whether the agent answered, and the answer was no.
func isRefusal(err error) bool {
	var ae *proto.AgentError
	return errors.As(err, &ae)
}

// deleteUseless takes back a registration that lacks what every login needs: nobody will ever use it.
func (s *session) deleteUseless(ctx context.Context, cfg login.Config, object secret.Text) {
	client, err := parseClient(object)
	if err != nil || client.RegistrationURI == "" || client.RegistrationToken.Empty() {
		return
	}
	defer client.Wipe()
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeDeleteClient, RegistrationClientURI: client.RegistrationURI,
		RegistrationAccessToken: client.RegistrationToken, CertPath: cfg.CertPath,
	})
	rep.Wipe()
	if err != nil {
		s.detail("The client that was registered is of no use and stays at the provider: %v", err)
	}
}

func (s *session) registration(ctx context.Context, d draft, initial secret.Text) (proto.Reply, error) {
	config, err := encode(d.cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	defer config.Wipe()
	return s.call(ctx, proto.Request{
		Type: proto.TypeRegister, Config: config, Flow: s.flows(d), Authorization: initial,
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
	cfg.RefreshToken, cfg.RefreshScope = asked.RefreshToken, asked.RefreshScope
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
