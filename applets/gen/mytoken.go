package gen

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// usualServer is the value of --mytoken-url without a value.
const usualServer = "-"

// wantsMytoken reports whether the login is to be one at a mytoken server.
func (s *session) wantsMytoken() bool {
	c := s.cmd
	if c.MytokenURL != "" || c.MytokenProfile != "" || slices.Contains(c.Flow, flowMytoken) {
		return true
	}
	// Who names a client or a token of a provider does not mean a mytoken.
	client := c.Pub || c.Manual || c.File != "" || c.ClientID != ""
	other := c.OnlyAT || len(c.Flow) > 0 || s.givesRefreshToken()
	return s.set.PreferMytoken && !client && !other
}

// describeMytoken gathers what a login at a mytoken server needs: the server, the provider behind it, and a profile
// that says what the mytoken may do.
func (s *session) describeMytoken(ctx context.Context, d *draft) error {
	cfg := &d.cfg
	cfg.MytokenURL = s.cmd.MytokenURL
	if cfg.MytokenURL == "" || cfg.MytokenURL == usualServer {
		cfg.MytokenURL = s.set.MytokenServer
	}
	cfg.ClientID = cmp.Or(cfg.ClientID, "mytoken")
	profile, err := profileJSON(cmp.Or(s.cmd.MytokenProfile, s.set.MytokenProfile))
	if err != nil {
		return err
	}
	cfg.MytokenProfile = profile
	if cfg.Issuer == "" {
		if cfg.Issuer, err = s.chooseProvider(ctx, *cfg); err != nil {
			return err
		}
	}
	cfg.AuthScope = strings.Join(s.cmd.Scope, " ")
	cfg.RefreshToken, err = s.refreshToken()
	d.flows = []string{flowMytoken}
	return err
}

// profileJSON is a profile as the agent wants it: an object, or the name of one.
func profileJSON(profile string) (json.RawMessage, error) {
	profile = strings.TrimSpace(profile)
	if strings.HasPrefix(profile, "{") {
		if !json.Valid([]byte(profile)) {
			return nil, cli.Failf(cli.Usage, "the mytoken profile is broken JSON")
		}
		return json.RawMessage(profile), nil
	}
	b, err := json.Marshal(profile)
	return b, err
}

// chooseProvider offers the providers that the mytoken server knows.
func (s *session) chooseProvider(ctx context.Context, cfg login.Config) (string, error) {
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeMytokenProviders, Issuer: cfg.MytokenURL,
		ConfigEndpoint: cfg.ConfigEndpoint, CertPath: cfg.CertPath,
	})
	defer rep.Wipe()
	if err != nil {
		return "", fmt.Errorf("ask %s for its providers: %w", cfg.MytokenURL, err)
	}
	q := question{label: "Issuer", guess: true}
	for _, iss := range providersIn(rep.Info) {
		i, _ := s.catalogue().Find(iss)
		q.choices = append(q.choices, choice{iss, i.Name})
		if q.def == "" && cfg.Name != "" && strings.Contains(iss, cfg.Name) {
			q.def = iss
		}
	}
	if len(q.choices) == 1 {
		return q.choices[0].value, nil
	}
	q.label = withDefault(q.label, q.def)
	return s.ask(ctx, "issuer url", "--issuer", q)
}

// providersIn reads the list of providers: addresses, or objects with one.
func providersIn(info proto.Info) []string {
	var list []json.RawMessage
	if info.Into(&list) != nil {
		return nil
	}
	var out []string
	for _, raw := range list {
		var iss string
		var object struct {
			Issuer string `json:"issuer"`
		}
		if json.Unmarshal(raw, &iss) != nil && json.Unmarshal(raw, &object) == nil {
			iss = object.Issuer
		}
		if iss != "" {
			out = append(out, iss)
		}
	}
	return out
}
