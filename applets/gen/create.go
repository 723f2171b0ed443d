package gen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	defaultScope = "openid profile offline_access"
	scopeMax     = "max"
)

// Flow names.
const (
	flowRefresh  = "refresh"
	flowPassword = "password"
	flowCode     = "code"
	flowDevice   = "device"
)

// create sets up a new login. Everything that can be found out beforehand is: where to save, what is missing. A person
// should not log in for nothing.
func (s *session) create(ctx context.Context) error {
	if err := s.checkAgent(ctx); err != nil {
		return err
	}
	cfg, md, err := s.describe(ctx)
	if err != nil {
		return err
	}
	defer func() { cfg.Wipe() }()
	if ok, err := s.mayReplace(ctx, cfg.Name); err != nil || !ok {
		return err
	}
	where, err := s.plan(ctx, cfg.Name)
	if err != nil {
		return err
	}
	defer where.wipe()
	if err := s.setClient(ctx, &cfg, md); err != nil {
		return err
	}
	s.say("Generating account configuration ...")
	rep, err := s.runFlow(ctx, cfg)
	if err != nil {
		return err
	}
	defer rep.Wipe()
	if s.cmd.OnlyAT {
		return s.printAccess(rep)
	}
	return s.keep(ctx, where, rep.Config)
}

// mayReplace asks a person who is there before a saved login is replaced. A script that names it means it.
func (s *session) mayReplace(ctx context.Context, name string) (bool, error) {
	if !s.interactive() || s.cmd.OnlyAT || !s.exists(ctx, name) {
		return true, nil
	}
	return s.confirm("A login named "+name+" exists. Replace it?", true)
}

func (s *session) checkAgent(ctx context.Context) error {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeCheck})
	rep.Wipe()
	return err
}

// describe gathers what is known of the login before it has a client.
func (s *session) describe(ctx context.Context) (cfg login.Config, md *provider.Metadata, err error) {
	if s.cmd.File != "" {
		if cfg, err = s.readClient(); err != nil {
			return cfg, nil, err
		}
	}
	if cfg.Name, err = s.shortName(); err != nil {
		return cfg, nil, err
	}
	s.overrides(&cfg)
	if cfg.Issuer == "" && cfg.ConfigEndpoint == "" {
		if cfg.Issuer, err = s.ask("issuer", "--issuer", ""); err != nil {
			return cfg, nil, err
		}
	}
	if md, err = s.discover(ctx, &cfg); err != nil {
		return cfg, nil, err
	}
	cfg.AuthScope, err = s.scopes(cfg, md)
	if err == nil {
		cfg.RefreshToken, err = s.refreshToken()
	}
	return cfg, md, err
}

func (s *session) shortName() (string, error) {
	name := s.cmd.Name
	if name == "" && s.cmd.OnlyAT {
		name = "only-at"
	}
	if name == "" {
		var err error
		if name, err = s.ask("short name", "the first argument", ""); err != nil {
			return "", err
		}
	}
	if err := login.CheckName(name); err != nil {
		return "", cli.Fail(cli.Usage, err, "")
	}
	return name, nil
}

// overrides puts in what the options say.
func (s *session) overrides(cfg *login.Config) {
	c := s.cmd
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&cfg.Issuer, c.Issuer)
	set(&cfg.ConfigEndpoint, c.ConfigURL)
	set(&cfg.CertPath, s.abs(c.CertPath))
	set(&cfg.Audience, c.Audience)
	set(&cfg.ClientID, c.ClientID)
	if c.DeviceURL != "" {
		cfg.DeviceEndpoint, cfg.DeviceEndpointSetByUser = c.DeviceURL, true
	}
	cfg.OAuth2 = cfg.OAuth2 || c.OAuth2
	cfg.ClientName = "oidc-agent:" + cfg.Name + "-" + s.clientSuffix()
	uris := slices.Concat(c.redirects(), cfg.RedirectURIs)
	if len(c.redirects()) > 0 {
		uris = c.redirects()
	}
	cfg.RedirectURIs = uris
}

// redirects are those of the options.
func (c *Cmd) redirects() []string {
	var uris []string
	for _, list := range c.RedirectURI {
		uris = append(uris, strings.Fields(list)...)
	}
	for _, p := range c.Port {
		uris = append(uris, fmt.Sprintf("http://localhost:%d", p))
	}
	return uris
}

// clientSuffix tells the clients of one person's machines apart at the provider.
func (s *session) clientSuffix() string {
	if s.cmd.CNID != "" {
		return s.cmd.CNID
	}
	host, err := os.Hostname()
	if err != nil {
		return "host"
	}
	return host
}

// discover reads the provider's document. A slash that a person left out or added is put right, and said.
func (s *session) discover(ctx context.Context, cfg *login.Config) (*provider.Metadata, error) {
	hc, err := httpc.New(httpc.Options{CAFile: cfg.CertPath, UserAgent: "oidcbox-gen", Getenv: s.env.Getenv})
	if err != nil {
		return nil, cli.Fail(cli.Usage, err, "")
	}
	var (
		md   *provider.Metadata
		note string
	)
	if cfg.ConfigEndpoint != "" {
		md, err = provider.DiscoverAt(ctx, hc, cfg.ConfigEndpoint)
	} else {
		md, note, err = provider.DiscoverTyped(ctx, hc, cfg.Issuer)
	}
	if err != nil {
		return nil, discoveryError(err)
	}
	if note != "" {
		s.env.Warn("%s", note)
	}
	cfg.Issuer, cfg.OAuth2 = md.Issuer, cfg.OAuth2 || md.OAuth2
	return md, nil
}

func discoveryError(err error) error {
	var other *provider.IssuerError
	switch {
	case errors.Is(err, provider.ErrIssuerURL):
		return cli.Fail(cli.Usage, err, "an issuer looks like https://op.example.org")
	case errors.As(err, &other):
		return cli.Fail(cli.No, err, "if that is the provider you mean, use --issuer "+other.Got)
	case httpc.Temporary(err):
		return cli.Fail(cli.Temporary, err, "if the issuer is spelt right, try again when it answers")
	}
	return cli.Fail(cli.No, err, "is the issuer spelt right? --config-endpoint names its document if that is elsewhere")
}

// scopes is the list to log in with. max is what the provider has.
func (s *session) scopes(cfg login.Config, md *provider.Metadata) (string, error) {
	asked := strings.Join(s.cmd.Scope, " ")
	if s.cmd.ScopeMax {
		asked = scopeMax
	}
	if asked == "" {
		asked = cfg.AuthScope
	}
	if asked == "" && s.givesRefreshToken() {
		return "", nil // what the token was given for
	}
	if asked == "" {
		var err error
		if asked, err = s.ask("scopes", "--scope", defaultScope); err != nil {
			return "", err
		}
	}
	if slices.Contains(strings.Fields(asked), scopeMax) {
		if len(md.ScopesSupported) == 0 {
			return "", cli.Fail(cli.No, errors.New("the provider does not say which scopes it has"), "name them with --scope")
		}
		asked = strings.Join(md.ScopesSupported, " ")
	}
	return strings.Join(strings.Fields(asked), " "), nil
}

func (s *session) givesRefreshToken() bool {
	return s.cmd.RTFile != "" || s.cmd.RTEnv != "" || s.cmd.RT != ""
}

func (s *session) refreshToken() (secret.Text, error) {
	return s.secretFrom(s.cmd.RTFile, s.cmd.RTEnv, s.cmd.RT, "--rt")
}

// flows is the order to try. Without a wish: a refresh token that was given, then what the screen allows.
func (s *session) flows(cfg login.Config) []string {
	flows := s.cmd.Flow
	if len(flows) == 0 {
		flows = []string{flowDevice, flowCode}
		if s.hasScreen() {
			flows = []string{flowCode, flowDevice}
		}
		if s.cmd.OPUser != "" {
			flows = append([]string{flowPassword}, flows...)
		}
	}
	if !cfg.RefreshToken.Empty() && !slices.Contains(flows, flowRefresh) {
		// Who gives a refresh token wants this one used; a login in the browser would come as a surprise.
		return []string{flowRefresh}
	}
	return flows
}

// readClient takes the client from a JSON file, as registered by hand or by an older version.
func (s *session) readClient() (login.Config, error) {
	b, err := os.ReadFile(s.abs(s.cmd.File))
	if err != nil {
		return login.Config{}, cli.Fail(cli.NotFound, fmt.Errorf("read client file: %w", err), "")
	}
	defer clear(b)
	cfg, err := login.ParseConfig(b)
	if err != nil {
		return cfg, cli.Fail(cli.Usage, fmt.Errorf("read client file %s: %w", s.cmd.File, err), "")
	}
	s.cmd.Manual = true
	return cfg, nil
}
