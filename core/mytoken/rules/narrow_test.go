package rules

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func TestNarrow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	const parent = `[{"exp":1800000100,"scope":"storage.read:/vo openid","audience":["a","b"]},
		{"scope":"compute.create","usages_AT":3},{"exp":1799999999}]`
	for _, c := range []struct {
		name, parent     string
		scopes, audience []string
		want             string
	}{
		{
			"nothing_asked_leaves_what_is_not_over", parent, nil, nil,
			`[{"exp":1800000100,"scope":"storage.read:/vo openid","audience":["a","b"]},{"scope":"compute.create","usages_AT":3}]`,
		},
		{
			"a_path_below_is_admitted", parent,
			[]string{"storage.read:/vo/run7"},
			nil,
			`[{"exp":1800000100,"scope":"storage.read:/vo/run7","audience":["a","b"]}]`,
		},
		{
			"audience_where_the_clause_has_none_is_set", parent,
			[]string{"compute.create"},
			[]string{"c"},
			`[{"scope":"compute.create","audience":["c"],"usages_AT":3}]`,
		},
		{"one_of_two_audiences_is_not_enough", parent, []string{"openid"}, []string{"a", "c"}, `null`},
		{"what_is_over_admits_nothing", `[{"exp":1799999999}]`, []string{"openid"}, nil, `null`},
		{"no_clauses_become_one", `[]`, []string{"openid"}, []string{"a"}, `[{"scope":"openid","audience":["a"]}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rs mytoken.Restrictions
			if err := json.Unmarshal([]byte(c.parent), &rs); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(Narrow(rs, c.scopes, c.audience, now))
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}
