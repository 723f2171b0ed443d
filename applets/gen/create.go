package gen

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Flow names.
const (
	flowRefresh  = "refresh"
	flowPassword = "password"
	flowCode     = "code"
	flowDevice   = "device"
	flowMytoken  = "mt_oidc"
)

// draft is a login that is being made.
type draft struct {
	cfg   login.Config
	md    *provider.Metadata
	entry login.Issuer // what the catalogue says of the issuer
	kind  clientKind   // where the client comes from
	known login.Client // the user's or the public one
	asked string       // the scopes, as the person said it
	flows []string     // that the client may use; none: all
}

// create sets up a new login. Everything that can be found out beforehand is: where to save, what is missing. A person
// should not log in for nothing.
func (s *session) create(ctx context.Context) error {
	if err := s.checkAgent(ctx); err != nil {
		return err
	}
	d, err := s.describe(ctx)
	defer func() { d.cfg.Wipe() }()
	if err != nil {
		return err
	}
	if ok, err := s.mayReplace(ctx, d.cfg.Name); err != nil || !ok {
		return err
	}
	where, err := s.plan(ctx, d.cfg.Name)
	if err != nil {
		return err
	}
	defer where.wipe()
	if err := s.setClient(ctx, &d); err != nil {
		return err
	}
	s.say("Generating account configuration ...")
	rep, err := s.runFlow(ctx, d, where)
	if err != nil {
		return s.about(d, err)
	}
	defer rep.Wipe()
	if s.cmd.OnlyAT {
		return s.printAccess(rep)
	}
	s.unpark(ctx, d.cfg.Name)
	return s.keep(ctx, where, rep.Config)
}

// about names the login and what was asked for in the refusal of a provider. The original prints the refusal alone.
func (s *session) about(d draft, err error) error {
	if s.env.Upstream || !isRefusal(err) {
		return err
	}
	return fmt.Errorf("login %s at %s, client %s, scopes %q: %w",
		d.cfg.Name, d.cfg.Issuer, d.cfg.ClientID, d.cfg.AuthScope, err)
}

// mayReplace asks a person who is there before a saved login is replaced. A script that names it means it.
func (s *session) mayReplace(ctx context.Context, name string) (bool, error) {
	if s.asks == nil || !cli.IsTerminal(s.env.Stdin) || s.cmd.OnlyAT || !s.exists(ctx, name) {
		return true, nil
	}
	return s.confirm(ctx, "An account with that shortname already exists. Overwrite?", true)
}

func (s *session) checkAgent(ctx context.Context) error {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeCheck})
	rep.Wipe()
	return err
}

// describe gathers what is known of the login before it has a client.
func (s *session) describe(ctx context.Context) (d draft, err error) {
	if s.cmd.File != "" {
		if d.cfg, err = s.readClient(); err != nil {
			return d, err
		}
	}
	if d.cfg.Name, err = s.shortName(ctx); err != nil {
		return d, err
	}
	if err := s.takeParked(ctx, &d); err != nil {
		return d, err
	}
	if err := s.overrides(&d.cfg); err != nil {
		return d, err
	}
	if s.wantsMytoken() {
		return d, s.describeMytoken(ctx, &d)
	}
	if d.cfg.Issuer == "" && d.cfg.ConfigEndpoint == "" {
		if d.cfg.Issuer, err = s.chooseIssuer(ctx, d.cfg.Name); err != nil {
			return d, err
		}
	}
	s.suggest(&d)
	if err := s.discover(ctx, &d); err != nil {
		return d, err
	}
	if err := s.chooseClient(&d); err != nil {
		return d, err
	}
	if err := s.scopes(ctx, &d); err != nil {
		return d, err
	}
	d.cfg.RefreshToken, err = s.refreshToken()
	return d, err
}

func (s *session) shortName(ctx context.Context) (string, error) {
	name := s.cmd.Name
	if name == "" && s.cmd.OnlyAT {
		name = "only-at"
	}
	if name == "" && s.asks == nil && s.env.Upstream {
		return "", s.refuse(cli.No, "No account short name given.")
	}
	if name == "" {
		var err error
		name, err = s.ask(ctx, "short name", "the first argument",
			question{label: "Enter short name for the account to configure"})
		if err != nil {
			return "", err
		}
	}
	if err := login.CheckName(name); err != nil {
		return "", cli.Fail(cli.Usage, err, "")
	}
	return name, nil
}

// overrides puts in what the options say.
func (s *session) overrides(cfg *login.Config) error {
	c := s.cmd
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&cfg.Issuer, c.Issuer)
	set(&cfg.ConfigEndpoint, c.ConfigURL)
	set(&cfg.CertPath, s.abs(c.CertPath))
	set(&cfg.Audience, strings.Join(strings.Fields(c.Audience), " "))
	set(&cfg.ClientID, c.ClientID)
	set(&cfg.RefreshScope, strings.Join(strings.Fields(strings.Join(c.DefaultScope, " ")), " "))
	if c.DeviceURL != "" {
		cfg.DeviceEndpoint, cfg.DeviceEndpointSetByUser = c.DeviceURL, true
	}
	cfg.OAuth2 = cfg.OAuth2 || c.OAuth2
	cfg.ClientName = "oidc-agent:" + cfg.Name + "-" + s.clientSuffix()
	uris, err := s.redirects()
	if len(uris) > 0 {
		cfg.RedirectURIs = uris
	}
	return err
}

// redirects are those of the options.
func (s *session) redirects() ([]string, error) {
	var uris []string
	for _, list := range s.cmd.RedirectURI {
		uris = append(uris, strings.Fields(list)...)
	}
	for _, u := range uris {
		if !usableRedirect(u) {
			line := u + " is not a valid redirect_uri. The redirect uri has to be in the following format: " +
				"http://localhost:<port>[/*] or edu.kit.data.oidc-agent:/<anything>"
			if s.env.Upstream {
				return nil, s.refuse(cli.No, line)
			}
			return nil, cli.Fail(cli.Usage, fmt.Errorf("%q is not where an agent can be reached", u),
				"use http://localhost:PORT, with or without a path, or "+customScheme+"/redirect")
		}
	}
	for _, p := range s.cmd.Port {
		if p < 0 || p > 65535 || s.env.Upstream && (p < 1024 || p > 49151) {
			return nil, cli.Fail(cli.Usage, errPort, "")
		}
		uris = append(uris, fmt.Sprintf("http://localhost:%d", p))
	}
	return uris, nil
}

// errPort is the original's line.
const errPort = asPrinted("Port not in valid range")

// customScheme is the redirect URI scheme for which a desktop calls oidc-gen --codeExchange.
const customScheme = "edu.kit.data.oidc-agent:"

// usableRedirect reports whether an agent could take a redirect to uri: on loopback, or by the scheme of desktops.
func usableRedirect(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	if strings.HasPrefix(uri, customScheme+"/") {
		return true
	}
	return u.Scheme == "http" && u.User == nil && u.Fragment == "" &&
		slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
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

func (s *session) givesRefreshToken() bool {
	return s.cmd.RTFile != "" || s.cmd.RTEnv != "" || s.cmd.RT != ""
}

func (s *session) refreshToken() (secret.Text, error) {
	return s.secretFrom(s.cmd.RTFile, s.cmd.RTEnv, s.cmd.RT, "--rt")
}

// flows is the order to try. Without a wish: a refresh token that was given, then what the client may use, then what
// the screen allows.
func (s *session) flows(d draft) []string {
	flows := s.cmd.Flow
	if len(flows) == 0 {
		flows = []string{flowDevice, flowCode}
		if s.hasScreen() {
			flows = []string{flowCode, flowDevice}
		}
		if s.cmd.OPUser != "" {
			flows = append([]string{flowPassword}, flows...)
		}
		if len(d.flows) > 0 {
			flows = d.flows
		}
	}
	if !d.cfg.RefreshToken.Empty() && !slices.Contains(flows, flowRefresh) {
		// Who gives a refresh token wants this one used; a login in the browser would come as a surprise.
		return []string{flowRefresh}
	}
	return flows
}

// readClient takes the client from a JSON file, as registered by hand or by an older version.
func (s *session) readClient() (login.Config, error) {
	b, err := readSmall(s.abs(s.cmd.File))
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
