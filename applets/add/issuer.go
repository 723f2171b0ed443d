package add

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// name is the short name that was given, or the one login of the issuer that was given.
func (c *Cmd) name(ctx context.Context, a *agent) (string, error) {
	if !proto.IsIssuer(c.Account, a.env.Upstream) {
		if err := login.CheckName(c.Account); err != nil {
			return "", cli.Fail(cli.Usage, err, "")
		}
		return c.Account, nil
	}
	names, err := a.ofIssuer(ctx, c.Account)
	if err != nil {
		return "", err
	}
	for _, n := range issuerOf(a.env, c.Account).Accounts {
		if !slices.Contains(names, n) && accounts(a.env).Has(n) {
			names = append(names, n) // the agent may be another one, which has not read the list
		}
	}
	switch len(names) {
	case 0:
		if a.env.Upstream {
			return "", cli.Fail(cli.NotFound, &proto.AgentError{Text: proto.TextNotConfigured}, "see what there is with --list")
		}
		return "", cli.Failf(cli.NotFound, "there is no login for issuer %s", c.Account)
	case 1:
		return names[0], nil
	}
	// The person's list of issuers says which one is meant when there are several.
	if def := issuerOf(a.env, c.Account).DefaultAccount; slices.Contains(names, def) {
		return def, nil
	}
	return "", cli.Fail(cli.Usage, fmt.Errorf("there are several logins for issuer %s: %s", c.Account,
		strings.Join(names, ", ")), "name one of them")
}

// ofIssuer asks the agent which logins it knows for an issuer, in order.
func (a *agent) ofIssuer(ctx context.Context, issuer string) ([]string, error) {
	rep, err := a.call(ctx, proto.Request{Type: proto.TypeAccountInfo})
	if err != nil {
		return nil, err
	}
	var known map[string]struct {
		Accounts map[string]bool `json:"accounts"`
	}
	if err := rep.Info.Into(&known); err != nil {
		return nil, errors.New("the agent's list of issuers cannot be read")
	}
	var names []string
	for iss, entry := range known {
		if strings.TrimSuffix(iss, "/") == strings.TrimSuffix(issuer, "/") {
			names = slices.AppendSeq(names, maps.Keys(entry.Accounts))
		}
	}
	slices.Sort(names)
	return names, nil
}

// issuerOf is what the lists of issuers say about one. They suggest only, so their faults are for those who edit them.
func issuerOf(env *cli.Env, issuer string) login.Issuer {
	list, _ := login.LoadCatalogue(login.CatalogueDirs(env.Getenv)...)
	i, _ := list.Find(issuer)
	return i
}

// keepPassword reports whether the lists of issuers want the agent to keep the password of an account.
func keepPassword(env *cli.Env, config secret.Text) bool {
	var cfg login.Config
	if config.Use(func(b []byte) (err error) { cfg, err = login.ParseConfig(b); return err }) != nil {
		return false // the agent will say what is wrong
	}
	defer cfg.Wipe()
	return issuerOf(env, cfg.Issuer).StorePassword
}
