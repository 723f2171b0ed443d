package claims

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

func parse(t *testing.T, payload string) Token {
	t.Helper()
	tok, err := Parse([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestProfile(t *testing.T) {
	only := func(p ...Profile) []Profile { return p }
	for _, c := range []struct {
		name, payload, typ string
		allowed            []Profile
		want               Profile
	}{
		{"nothing", `{}`, "", nil, Generic},
		{"typ_jwt", `{}`, "jwt", nil, Generic},
		{"typ_at_jwt", `{}`, "at+jwt", nil, ATJWT},
		{"wlcg", `{"wlcg.ver":"1.0"}`, "", nil, WLCG},
		{"wlcg_before_typ", `{"wlcg.ver":"1.0"}`, "at+jwt", nil, WLCG},
		{"scitokens", `{"ver":"scitoken:2.0"}`, "", nil, SciTokens},
		{"scitokens_before_typ", `{"ver":"scitoken:2.0"}`, "at+jwt", nil, SciTokens},
		{"foreign_ver_may_be_a_scitoken", `{"ver":"1.0"}`, "", nil, SciTokens},
		{"foreign_ver_where_no_scitokens_are", `{"ver":"1.0"}`, "", only(Generic, ATJWT), Generic},
		{"foreign_ver_beside_wlcg", `{"ver":"1.0","wlcg.ver":"1.0"}`, "", only(WLCG), WLCG},
		{"no_mark_where_scitokens_are", `{}`, "", only(SciTokens), SciTokens},
		{"no_mark_where_both_are", `{}`, "", only(SciTokens, Generic), Generic},
		{"typ_where_scitokens_are", `{}`, "at+jwt", only(SciTokens, ATJWT), ATJWT},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := parse(t, c.payload)
			if p, err := tok.Profile(c.typ, c.allowed); p != c.want || err != nil {
				t.Errorf("%s, %v; want %s", p, err, c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		payload string
		allowed []Profile
	}{
		"wlcg_is_not_generic":     {`{"wlcg.ver":"1.0"}`, only(Generic)},
		"generic_is_not_wlcg":     {`{}`, only(WLCG)},
		"scitoken_is_not_generic": {`{"ver":"scitoken:2.0"}`, only(Generic)},
	} {
		tok := parse(t, c.payload)
		var e *ProfileError
		if p, err := tok.Profile("", c.allowed); !errors.As(err, &e) {
			t.Errorf("%s: %s, %v", name, p, err)
		}
	}
	tok := parse(t, `{"wlcg.ver":"1.0","ver":"scitoken:2.0"}`)
	if _, err := tok.Profile("", nil); !errors.Is(err, ErrTwoProfiles) {
		t.Error(err)
	}
}

func TestCheckRefusesUnknownProfile(t *testing.T) {
	tok := parse(t, `{"iss":"https://x","sub":"a","aud":"b","exp":1}`)
	if err := tok.Check("", jose.Header{}); err == nil {
		t.Error("the empty profile allows everything")
	}
}

func TestKind(t *testing.T) {
	for payload, idToken := range map[string]bool{
		`{}`: false, `{"typ":"Bearer"}`: false, `{"typ":"ID"}`: true, `{"typ":"\u0049D"}`: true,
		`{"typ":"refresh"}`: true,
		`{"typ":"Offline"}`: true, `{"token_use":"access"}`: false, `{"token_use":"id"}`: true, `{"typ":7}`: false,
		`{"nonce":null}`: true, `{"at_hash":"x"}`: true, `{"c_hash":"x"}`: true,
	} {
		tok := parse(t, payload)
		if err := tok.Kind(""); errors.Is(err, ErrIDToken) != idToken {
			t.Errorf("%s: %v", payload, err)
		}
	}
	tok := parse(t, `{"typ":"ID"}`)
	if tok.Kind("at+jwt") == nil {
		t.Error("typ in the header hides what the claims say")
	}
}

func TestConfirmation(t *testing.T) {
	key, both := Confirmation{KeyThumbprint: "x"}, Confirmation{"x", "y"}
	for payload, want := range map[string]Confirmation{
		`{}`: {}, `{"cnf":{}}`: {}, `{"cnf":{"jkt":"x"}}`: key, `{"cnf":{"x5t#S256":"y"}}`: {CertificateHash: "y"},
		`{"cnf":{"x5t#S256":"y","jkt":"x"}}`: both,
	} {
		tok := parse(t, payload)
		if c, err := tok.Confirmation(); err != nil || c != want {
			t.Errorf("%s: %+v, %v", payload, c, err)
		}
	}
	member, value := isErr[*jose.MemberError], isErr[*ValueError]
	other := func(err error) bool { return errors.Is(err, ErrSenderConstrained) }
	for payload, want := range map[string]func(error) bool{
		`{"cnf":null}`: member, `{"cnf":"x"}`: member, `{"cnf":{"jkt":1}}`: member, `{"cnf":{"x5t#S256":["y"]}}`: member,
		`{"cnf":{"jkt":null}}`: member, `{"cnf":{"jkt":""}}`: value, `{"cnf":{"x5t#S256":""}}`: value,
		`{"cnf":{"jwk":{}}}`: other, `{"cnf":{"kid":"k"}}`: other, `{"cnf":{"jkt":"x","kid":"k"}}`: other,
		`{"cnf":{"JKT":"x"}}`: other, `{"cnf":{"x5t":"y"}}`: other,
	} {
		tok := parse(t, payload)
		if c, err := tok.Confirmation(); !want(err) || c != (Confirmation{}) {
			t.Errorf("%s: %+v, %v", payload, c, err)
		}
	}
}

func isErr[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestScopesOfToken(t *testing.T) {
	for payload, want := range map[string]string{
		`{"scope":"a  b "}`: "a b", `{"scope":["a","b c"]}`: "a b c", `{"scp":["a"]}`: "a", `{"scp":"a b"}`: "a b",
		`{"scope":"a","scp":"b"}`: "a", `{}`: "", `{"scope":""}`: "",
	} {
		if got := parse(t, payload).Scopes.String(); got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, payload := range []string{
		`{"iss":1}`, `{"sub":[]}`, `{"jti":1}`, `{"client_id":null}`, `{"azp":{}}`, `{"aud":{}}`, `{"exp":"1"}`,
		`{"nbf":[]}`,
		`{"iat":true}`, `{"scope":1}`, `{"scp":[1]}`, `{"wlcg.ver":"1.0","wlcg.groups":"/a"}`, `{"AUD":"x"}`,
		`{"Scope":"x"}`,
		"{\"\u017fub\":\"x\"}", // long s folds to s
	} {
		if _, err := Parse([]byte(payload)); err == nil {
			t.Errorf("%s is accepted", payload)
		}
	}
}

func TestValidGroup(t *testing.T) {
	for g, want := range map[string]bool{
		"/vo": true, "/vo/a/b": true, "/VO/0-9_x.y": true, "": false, "/": false, "vo": false, "/vo/": false,
		"//vo": false,
		"/-vo": false, "/.": false, "/vo/..": false, "/vo x": false, "/vö": false, "/vo\n": false,
	} {
		if ValidGroup(g) != want {
			t.Errorf("%q: %v", g, !want)
		}
	}
}

func TestMeantForAll(t *testing.T) {
	for _, c := range []struct {
		profile      Profile
		version, aud string
		want         bool
	}{
		{WLCG, `"wlcg.ver":"1.0"`, AnyWLCG, true},
		{WLCG, `"wlcg.ver":"1.0"`, AnySciTokens, false},
		{WLCG, `"wlcg.ver":"1.0"`, AnyWLCG + "/", false},
		{SciTokens, `"ver":"scitoken:2.0"`, AnySciTokens, true},
		{SciTokens, `"ver":"scitoken:2.0"`, "any", false},
		{SciTokens, `"ver":"scitokens:1.0"`, AnySciTokens, false},
		{SciTokens, `"x":1`, AnySciTokens, false},
		{Generic, `"x":1`, AnyWLCG, false},
		{ATJWT, `"x":1`, AnySciTokens, false},
	} {
		tok := parse(t, fmt.Sprintf(`{%s,"aud":[%q]}`, c.version, c.aud))
		if tok.MeantForAll(c.profile) != c.want {
			t.Errorf("%s %s %s: %v", c.profile, c.version, c.aud, !c.want)
		}
	}
}

func TestErrorsRepeatNothing(t *testing.T) {
	const marker = "plantedMarker"
	for _, err := range []error{
		func() error { _, err := ParseScope(marker + ":" + marker); return err }(),
		func() error { _, err := ParseScopes("storage." + marker).Capabilities(WLCG); return err }(),
		func() error { _, err := ParseScopes("read:" + marker).Capabilities(SciTokens); return err }(),
		func() error { _, err := Capabilities{profile: SciTokens}.Allow("read", marker); return err }(),
	} {
		if err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("%v", err)
		}
	}
}

func TestUnique(t *testing.T) {
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprint(i))
		if !unique(list) {
			t.Errorf("%v", list)
		}
		if unique(append([]string{fmt.Sprint(i)}, list...)) {
			t.Errorf("%v with %d in front", list, i)
		}
	}
}
