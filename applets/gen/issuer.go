package gen

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// chooseIssuer offers the issuers that are known, numbered. The default is the one that the short name speaks of, else
// the one with the most accounts: none where there is no account at all, because an Enter too many would register a
// client somewhere.
func (s *session) chooseIssuer(ctx context.Context, name string) (string, error) {
	all := s.catalogue().All()
	q := question{label: "Issuer", guess: true}
	for _, i := range all {
		q.choices = append(q.choices, choice{i.URL, i.Name})
	}
	if i, ok := s.catalogue().Match(name); ok {
		q.def = i.URL
	} else if len(all) > 0 && len(all[0].Accounts) > 0 {
		q.def = all[0].URL
	}
	q.label = withDefault(q.label, q.def)
	for range maxWrong {
		answer, err := s.ask(ctx, "issuer url", "--issuer", q)
		if err != nil || strings.Contains(answer, "://") {
			return answer, err
		}
		if i, ok := s.catalogue().Match(answer); ok {
			s.env.Note("That is %s", i.URL)
			return i.URL, nil
		}
		s.env.Note("%q is neither a number of the list nor the address of an issuer", answer)
	}
	return "", cli.Fail(cli.Usage, errors.New("no issuer was chosen"), "give it with --issuer")
}

// suggest takes from the catalogue what neither the options nor a client file say.
func (s *session) suggest(d *draft) {
	i, ok := s.catalogue().Find(d.cfg.Issuer)
	if !ok {
		return
	}
	d.entry = i
	d.cfg.ConfigEndpoint = cmp.Or(d.cfg.ConfigEndpoint, i.ConfigEndpoint)
	d.cfg.CertPath = cmp.Or(d.cfg.CertPath, i.CertPath)
	if d.cfg.DeviceEndpoint == "" && i.DeviceEndpoint != "" {
		d.cfg.DeviceEndpoint, d.cfg.DeviceEndpointSetByUser = i.DeviceEndpoint, true
	}
	d.cfg.OAuth2 = d.cfg.OAuth2 || i.OAuth2
}

// discover reads the provider's document. A slash that a person left out or added is put right, and said.
func (s *session) discover(ctx context.Context, d *draft) error {
	cfg := &d.cfg
	hc, err := httpc.New(httpc.Options{CAFile: cfg.CertPath, UserAgent: "oidcbox-gen", Getenv: s.env.Getenv})
	if err != nil {
		return cli.Fail(cli.Usage, err, "")
	}
	var note string
	if cfg.ConfigEndpoint != "" {
		d.md, err = provider.DiscoverAt(ctx, hc, cfg.ConfigEndpoint)
		if err == nil && cfg.Issuer != "" && !login.SameIssuer(d.md.Issuer, cfg.Issuer) {
			err = &provider.IssuerError{Want: cfg.Issuer, Got: d.md.Issuer}
		}
	} else {
		d.md, note, err = provider.DiscoverTyped(ctx, hc, cfg.Issuer)
	}
	if err != nil {
		return s.discoveryError(err)
	}
	if note != "" && !s.env.Upstream {
		s.env.Warn("%s", note)
	}
	s.detail("Issuer %s: registration %q, device flow %q",
		d.md.Issuer, d.md.RegistrationEndpoint, d.md.DeviceAuthorizationEndpoint)
	cfg.Issuer, cfg.OAuth2 = d.md.Issuer, cfg.OAuth2 || d.md.OAuth2
	if d.entry.URL == "" { // found by a document elsewhere
		if i, ok := s.catalogue().Find(d.md.Issuer); ok {
			d.entry = i
		}
	}
	return nil
}

// textNoDiscovery is what the original says of any fault.
const textNoDiscovery = asPrinted("Could not get token endpoint from the configuration endpoint. This could be because of " +
	"a network issue. But it's more likely that your issuer is not correct.")

func (s *session) discoveryError(err error) error {
	var other *provider.IssuerError
	switch {
	case s.env.Upstream:
		return cli.Fail(cli.No, textNoDiscovery, err.Error())
	case errors.Is(err, provider.ErrIssuerURL):
		return cli.Fail(cli.Usage, err, "an issuer looks like https://op.example.org")
	case errors.As(err, &other):
		return cli.Fail(cli.No, err, "if that is the provider you mean, use --issuer "+other.Got)
	case httpc.Temporary(err):
		return cli.Fail(cli.Temporary, err, "if the issuer is spelt right, try again when it answers")
	}
	return cli.Fail(cli.No, err, "is the issuer spelt right? --config-endpoint names its document if that is elsewhere")
}

// byHand says where a client can be registered by hand, and whom to ask.
func (d draft) byHand() string {
	at := "at " + d.md.Issuer
	if d.entry.Register != "" {
		at = "at " + d.entry.Register
	}
	text := "register a client by hand " + at + ", with a redirect to http://localhost:4242, and give it with --client-id"
	if d.entry.Contact != "" {
		text += "; ask " + d.entry.Contact + " where that does not work"
	}
	return text
}
