package rules

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

func TestCut(t *testing.T) {
	all := []string{"x", "y"}
	for _, tt := range []struct {
		name, in string
		granted  Granted
		want     string
		lost     int
	}{
		{"everything", `{"scope":"a b","audience":["x"]}`, Granted{claims.Scopes{"openid", "b", "a"}, all}, `[{"scope":"a b","audience":["x"]}]`, 0},
		{"not_said", `{"scope":"a b","audience":["x"]}`, Granted{}, `[{"scope":"a b","audience":["x"]}]`, 0},
		{"part", `{"scope":"a b c","audience":["x","z"]}`, Granted{claims.Scopes{"c", "a"}, all}, `[{"scope":"a c","audience":["x"]}]`, 2},
		{"narrower_path", `{"scope":"storage.read:/vo"}`, Granted{claims.Scopes{"storage.read:/vo/sub"}, nil}, `[{"scope":"storage.read:/vo/sub"}]`, 1},
		{"wider_path", `{"scope":"storage.read:/vo"}`, Granted{claims.Scopes{"storage.read:/"}, nil}, `[{"scope":"storage.read:/vo"}]`, 0},
		{"bare", `{"scope":"storage.read"}`, Granted{claims.Scopes{"storage.read:/vo"}, nil}, `[{"scope":"storage.read:/vo"}]`, 1},
		{"no_limit_stays_none", `{"exp":1900000000}`, Granted{claims.Scopes{"a"}, all}, `[{"exp":1900000000}]`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, lost, err := Cut(parse(t, tt.in), tt.granted)
			if err != nil || text(got) != tt.want || len(lost) != tt.lost {
				t.Errorf("got  %s, lost %v, %v\nwant %s", text(got), lost, err, tt.want)
			}
		})
	}
}

// TestCutNeverLeavesAClauseWithoutItsLimit: the most dangerous answer of a provider is one that gives nothing.
func TestCutNeverLeavesAClauseWithoutItsLimit(t *testing.T) {
	for name, g := range map[string]Granted{
		"other_scope": {Scopes: claims.Scopes{"openid"}}, "no_scope": {Scopes: claims.Scopes{}},
		"other_audience": {Audience: []string{"z"}}, "no_audience": {Audience: []string{}},
		"neither": {claims.Scopes{"openid"}, []string{"z"}},
	} {
		got, _, err := Cut(parse(t, `[{"exp":1900000000},{"scope":"a","audience":["x"]}]`), g)
		if !errors.Is(err, ErrClauses) || !strings.Contains(err.Error(), "clause 2: the provider gives none") || got != nil {
			t.Errorf("%s: %s, %v", name, text(got), err)
		}
	}
}

func TestCheckAccessToken(t *testing.T) {
	asked := Candidate{Scopes: claims.Scopes{"openid", "storage.read:/vo"}, Audience: []string{"x"}}
	for _, tt := range []struct {
		name    string
		granted Granted
		want    error
	}{
		{"as_asked", Granted{claims.Scopes{"storage.read:/vo", "openid"}, []string{"x"}}, nil},
		{"not_said", Granted{}, nil},
		{"protocol_scopes", Granted{claims.Scopes{"storage.read:/vo", "offline_access"}, []string{"x"}}, nil},
		{"scope_dropped", Granted{claims.Scopes{"openid"}, nil}, ErrWithheld},
		{"all_scopes_dropped", Granted{claims.Scopes{}, nil}, ErrWithheld},
		{"scope_narrower", Granted{claims.Scopes{"storage.read:/vo/sub"}, nil}, ErrWithheld},
		{"scope_wider", Granted{claims.Scopes{"storage.read:/"}, nil}, ErrExcess},
		{"scope_added", Granted{claims.Scopes{"storage.read:/vo", "compute"}, nil}, ErrExcess},
		{"audience_dropped", Granted{nil, []string{}}, ErrWithheld},
		{"other_audience", Granted{nil, []string{"any"}}, ErrExcess},
		{"audience_added", Granted{nil, []string{"x", "https://wlcg.cern.ch/jwt/v1/any"}}, ErrExcess},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := Check(asked, tt.granted, "openid", "offline_access"); !errors.Is(err, tt.want) {
				t.Error(err)
			}
		})
	}
	if err := Check(Candidate{}, Granted{claims.Scopes{"all"}, []string{"any"}}); err != nil {
		t.Errorf("nothing was asked for: %v", err)
	}
	var w *WithheldError
	asked = Candidate{Scopes: claims.Scopes{"a", "b"}, Audience: []string{"x"}}
	err := Check(asked, Granted{claims.Scopes{"a"}, []string{}})
	if !errors.As(err, &w) || !slices.Equal(w.Scopes, []string{"b"}) || !slices.Equal(w.Audiences, []string{"x"}) {
		t.Errorf("%v", err)
	}
}
