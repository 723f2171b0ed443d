package gen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

const (
	defaultScope = "openid profile offline_access"
	scopeMax     = "max"
)

// scopes sets those to log in with.
func (s *session) scopes(ctx context.Context, d *draft) error {
	asked := strings.Join(s.cmd.Scope, " ")
	if s.cmd.ScopeMax {
		asked = scopeMax
	}
	if asked == "" {
		asked = d.cfg.AuthScope
	}
	if asked == "" && s.givesRefreshToken() {
		return nil // what the token was given for
	}
	if asked == "" {
		var err error
		if asked, err = s.askScopes(ctx, *d); err != nil {
			return err
		}
	}
	d.asked = asked
	return s.resolveScopes(d)
}

// askScopes shows what there is.
func (s *session) askScopes(ctx context.Context, d draft) (string, error) {
	q := question{label: withDefault("Scopes or 'max' (space separated)", defaultScope), def: defaultScope}
	if have := d.most(); len(have) > 0 {
		q.text = "The following scopes are supported: " + strings.Join(have, " ")
	}
	return s.ask(ctx, "scope", "--scope", q)
}

// most are the scopes that the client can have at most, as far as anybody says: those its entry lists, else those of
// the provider.
func (d draft) most() []string {
	if d.known.Scope != "" {
		return strings.Fields(d.known.Scope)
	}
	return d.md.ScopesSupported
}

// resolveScopes makes scopes of what was asked for. "max" wins over whatever stands beside it.
func (s *session) resolveScopes(d *draft) error {
	list := strings.Fields(d.asked)
	if slices.Contains(list, scopeMax) {
		if list = d.most(); len(list) == 0 {
			return cli.Fail(cli.No, fmt.Errorf("%s does not say which scopes it has", d.md.Issuer), "name them with --scope")
		}
	}
	d.cfg.AuthScope = strings.Join(list, " ")
	d.cfg.Scope = ""
	return s.checkDefault(d)
}

// checkDefault looks at --default-scope: what the login does not have, its tokens cannot have either.
func (s *session) checkDefault(d *draft) error {
	var missing []string
	for _, sc := range strings.Fields(d.cfg.RefreshScope) {
		has := func(have string) bool { return claims.CoversScope(have, sc) }
		if sc != "openid" && !slices.ContainsFunc(strings.Fields(d.cfg.AuthScope), has) {
			missing = append(missing, sc)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return cli.Fail(cli.Usage, errors.New("--default-scope has what the login does not: "+strings.Join(missing, " ")),
		"ask for it with --scope as well")
}
