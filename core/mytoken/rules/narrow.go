package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Narrow returns the clauses that admit these scopes and this audience and are not over, each with them in the place of
// its own; none of either leaves what is there. No clauses become one. The result is empty where no clause admits them.
func Narrow(rs mytoken.Restrictions, scopes, audience []string, now time.Time) mytoken.Restrictions {
	if len(rs) == 0 {
		rs = mytoken.Restrictions{{}}
	}
	var out mytoken.Restrictions
	for _, r := range rs {
		end, ends := r.Expires.Time()
		switch have := strings.Fields(r.Scope); {
		case ends && !end.After(now):
			continue
		case len(have) > 0 && !admitsAll(have, scopes):
			continue
		case len(r.Audience) > 0 && slices.ContainsFunc(audience, func(a string) bool {
			return !slices.Contains(r.Audience,
				a)
		}):
			continue
		}
		if len(scopes) > 0 {
			r.Scope = strings.Join(scopes, " ")
		}
		if len(audience) > 0 {
			r.Audience = slices.Clone(audience)
		}
		out = append(out, r)
	}
	return out
}
