package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// inside is what a token says of itself, when it is a JWT. Nobody has checked the signature: it is used to see whether
// the provider gave what was asked for, and for nothing else.
type inside struct {
	claims.Token
	jwt bool
}

func look(value secret.Text) (in inside) {
	_ = value.Use(func(b []byte) error {
		m, err := jose.Parse(b)
		if err != nil {
			return nil
		}
		t, err := claims.Parse(m.Payload)
		in = inside{Token: t, jwt: err == nil}
		return nil
	})
	return in
}

// less lists what was asked for and not granted, as words for a person.
func less(scope, audience string, r result) []string {
	var out []string
	if strings.TrimSpace(scope) == "" && strings.TrimSpace(audience) == "" {
		return nil
	}
	in := look(r.value)
	if missing := missingScopes(strings.Fields(scope), r.scope, in); len(missing) > 0 {
		out = append(out, "scope "+quotedList(missing))
	}
	if missing := missingAudiences(strings.Fields(audience), in); len(missing) > 0 {
		out = append(out, "audience "+quotedList(missing))
	}
	return out
}

// missingScopes compares with what the provider said, and with what is in the token; where neither says anything, RFC
// 6749 5.1 has the scope granted as asked.
func missingScopes(asked []string, said string, in inside) []string {
	answer := strings.Fields(said)
	return slices.DeleteFunc(asked, func(want string) bool {
		if group, ok := strings.CutPrefix(want, "wlcg.groups:"); ok && in.jwt && in.All.Has("wlcg.groups") {
			return slices.Contains(in.Groups, group)
		}
		inToken := covered(in.Scopes, want)
		switch {
		case want == "offline_access": // is about a refresh token
			return true
		case len(answer) == 0 && len(in.Scopes) == 0, inToken:
			return true
		case len(in.Scopes) > 0 && capability(want):
			return false // a service goes by the token
		}
		return covered(answer, want)
	})
}

func covered(have []string, want string) bool {
	return slices.ContainsFunc(have, func(h string) bool { return claims.CoversScope(h, want) })
}

// capability reports whether services decide by this scope, so that it has to be in the token itself. The others ask
// for claims or for a kind of token.
func capability(scope string) bool {
	name, _, _ := strings.Cut(scope, ":")
	return strings.HasPrefix(name, "storage.") || strings.HasPrefix(name, "compute.") || name == "host.auth"
}

// missingAudiences needs to look into the token: the answer has no word for it. A token for everybody is enough.
func missingAudiences(asked []string, in inside) []string {
	if !in.jwt || slices.Contains(in.Audience, claims.AnyWLCG) {
		return nil
	}
	return slices.DeleteFunc(asked, func(want string) bool { return slices.Contains(in.Audience, want) })
}

// judge looks at what was granted. Under our own names less than was asked for is a failure: a job that cannot do its
// work should not begin. oidc-token, as its users know it, says so and goes on.
func (c *Cmd) judge(env *cli.Env, r result) error {
	if r.member != "access_token" {
		return nil
	}
	missing := less(c.scope(), c.Aud, r)
	if len(missing) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s granted less than was asked for: %s is missing", r.issuer, strings.Join(missing, " and "))
	if env.Upstream || c.AcceptLess {
		env.Warn("%s", text)
		return nil
	}
	return cli.Fail(cli.No, fmt.Errorf("login %s: %s", c.Account, text), "take it all the same with --accept-less")
}

// noteScopes says on a terminal how much somebody could do with a token that nobody has narrowed.
func (c *Cmd) noteScopes(env *cli.Env, r result) {
	const few = 1
	if r.member != "access_token" || r.narrowed || c.scope() != "" || !cli.IsTerminal(env.Stderr) {
		return
	}
	n := len(strings.Fields(r.scope))
	if in := look(r.value); n == 0 {
		n = len(in.Scopes)
	}
	if n > few {
		gen := "oidcbox gen"
		if env.Upstream {
			gen = "oidc-gen"
		}
		env.Note("this token has all %d scopes of the login; ask for fewer with --scope, "+
			"or set the login up with: %s --default-scope SCOPES", n, gen)
	}
}
