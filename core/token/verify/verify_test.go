package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	testIssuer   = "https://iam.example.org/"
	testAudience = "https://se.example.org"
)

var now = time.Unix(1_800_000_000, 0)

// testKey makes one key per algorithm for all tests.
var testKeys sync.Map

func testKey(t testing.TB, a jose.Alg) *jose.PrivateKey {
	t.Helper()
	if k, ok := testKeys.Load(a); ok {
		return k.(*jose.PrivateKey)
	}
	k, err := jose.GenerateKey(a, "key-"+string(a))
	must(t, err)
	testKeys.Store(a, k)
	return k
}

type set map[string]any

// base is a good claim set of a profile.
func base(p claims.Profile) set {
	s := set{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 3600, "iat": now.Unix() - 60,
		"nbf": now.Unix() - 60, "jti": "1",
	}
	switch p {
	case claims.WLCG:
		s["wlcg.ver"] = "1.0"
	case claims.SciTokens:
		s["ver"] = "scitoken:2.0"
	case claims.ATJWT:
		s["client_id"] = "c"
	}
	return s
}

func (s set) with(name string, value any) set {
	c := maps.Clone(s)
	c[name] = value
	return c
}

func (s set) without(name string) set {
	c := maps.Clone(s)
	delete(c, name)
	return c
}

func sign(t testing.TB, k *jose.PrivateKey, typ string, s set) []byte {
	t.Helper()
	payload, err := json.Marshal(s)
	must(t, err)
	token, err := k.Sign(typ, payload)
	must(t, err)
	return []byte(token.Expose())
}

// forge makes a token with any header and payload and a signature that is none.
func forge(header, payload string) []byte {
	return []byte(b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64(make([]byte, 64)))
}

func verifier(t testing.TB, edit ...func(*Config)) *Verifier {
	t.Helper()
	c := Config{
		Issuers:   []Issuer{{URL: testIssuer, Keys: jose.NewKeySet(testKey(t, jose.ES256).Public())}},
		Audiences: []string{testAudience, "https://other-name.example.org"},
		Now:       func() time.Time { return now },
	}
	for _, e := range edit {
		e(&c)
	}
	v, err := New(c)
	must(t, err)
	return v
}

func TestVerifyAccepts(t *testing.T) {
	v := verifier(t)
	for _, c := range []struct {
		name    string
		typ     string
		claims  set
		profile claims.Profile
	}{
		{"generic", "", base(claims.Generic), claims.Generic},
		{"generic_typ_jwt", "JWT", base(claims.Generic), claims.Generic},
		{"at_jwt", "at+jwt", base(claims.ATJWT), claims.ATJWT},
		{"at_jwt_long_name", "application/AT+JWT", base(claims.ATJWT), claims.ATJWT},
		{"wlcg", "JWT", base(claims.WLCG), claims.WLCG},
		{"wlcg_later_minor_version", "", base(claims.WLCG).with("wlcg.ver", "1.77"), claims.WLCG},
		{"wlcg_any_audience", "", base(claims.WLCG).with("aud", []string{"x", claims.AnyWLCG}), claims.WLCG},
		{"wlcg_groups", "", base(claims.WLCG).with("wlcg.groups", []string{"/vo", "/vo/a-b_c.d"}), claims.WLCG},
		{"wlcg_foreign_scope", "", base(claims.WLCG).with("scope", "openid fts:submit-transfer storage.read:/"), claims.WLCG},
		{"scitokens_2", "", base(claims.SciTokens), claims.SciTokens},
		{"scitokens_2_other_spelling", "", base(claims.SciTokens).with("ver", "scitokens:2.0"), claims.SciTokens},
		{"scitokens_2_any_audience", "", base(claims.SciTokens).with("aud", "ANY"), claims.SciTokens},
		{"scitokens_1_without_audience", "", base(claims.SciTokens).with("ver", "scitokens:1.0").without("aud"), claims.SciTokens},
		{"audience_list", "", base(claims.Generic).with("aud", []string{"x", testAudience}), claims.Generic},
		{"expired_within_leeway", "", base(claims.Generic).with("exp", now.Unix()-59), claims.Generic},
		{"expiry_with_fraction", "", base(claims.Generic).with("exp", float64(now.Unix())+0.5), claims.Generic},
		{"begins_within_leeway", "", base(claims.Generic).with("nbf", now.Unix()+60), claims.Generic},
		{"wlcg_six_hours", "", base(claims.WLCG).with("exp", now.Unix()-60+6*3600), claims.WLCG},
		{"nonce_in_at_jwt", "at+jwt", base(claims.ATJWT).with("nonce", "n"), claims.ATJWT},
		{"typ_bearer_of_keycloak", "", base(claims.Generic).with("typ", "Bearer"), claims.Generic},
		{"groups_of_nobody_are_ignored", "", base(claims.Generic).with("wlcg.groups", "x"), claims.Generic},
		{"jku_is_not_looked_at", "", base(claims.Generic).with("jku", "http://evil.example"), claims.Generic},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), sign(t, testKey(t, jose.ES256), c.typ, c.claims))
			if err != nil {
				t.Fatal(err)
			}
			if id.Issuer != testIssuer || id.Subject != "alice" || id.Profile != c.profile {
				t.Errorf("%s %s %s", id.Issuer, id.Subject, id.Profile)
			}
		})
	}
}

func TestVerifyEveryAlgorithm(t *testing.T) {
	for _, a := range jose.Algs() {
		t.Run(string(a), func(t *testing.T) {
			k := testKey(t, a)
			v := verifier(t, func(c *Config) { c.Issuers[0].Keys = jose.NewKeySet(k.Public()) })
			token := sign(t, k, "", base(claims.Generic))
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			token[len(token)-10] ^= 'A' ^ 'B'
			if _, err := v.Verify(t.Context(), token); err == nil {
				t.Error("changed signature accepted")
			}
			narrow := verifier(t, func(c *Config) {
				c.Issuers[0].Keys, c.Issuers[0].Algs = jose.NewKeySet(k.Public()), []jose.Alg{"RS256"}
			})
			_, err := narrow.Verify(t.Context(), sign(t, k, "", base(claims.Generic)))
			if refused := err != nil; refused != (a != jose.RS256) {
				t.Errorf("issuer limited to RS256: %v", err)
			}
		})
	}
}

type refusal struct {
	name  string
	token []byte
	want  error // errors.Is; nil: as
	as    func(error) bool
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// refusals of form and header, in the order of the checks.
func malformed(t *testing.T) []refusal {
	good := string(sign(t, testKey(t, jose.ES256), "", base(claims.Generic)))
	part := strings.Split(good, ".")
	join := func(p ...string) []byte { return []byte(strings.Join(p, ".")) }
	header := func(h string) []byte { return forge(h, `{"iss":"`+testIssuer+`"}`) }
	payload := func(p string) []byte { return forge(`{"alg":"ES256","kid":"key-ES256"}`, p) }
	deep := strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, `"a%d":1,`, i)
	}
	return []refusal{
		{"nothing", nil, jose.ErrCharacters, nil},
		{"too_long", []byte(good + strings.Repeat("A", jose.MaxToken)), jose.ErrTooLarge, nil},
		{"character_outside_rfc6750", []byte(good + "\n"), jose.ErrCharacters, nil},
		{"blank_inside", []byte(good[:40] + " " + good[40:]), jose.ErrCharacters, nil},
		{"json_serialisation", []byte(`{"payload":"","signatures":[]}`), jose.ErrSerialization, nil},
		{"encrypted", []byte("a.b.c.d.e"), jose.ErrEncrypted, nil},
		{"opaque", []byte("abcdef"), jose.ErrShape, nil},
		{"two_parts", join(part[0], part[1]), jose.ErrShape, nil},
		{"four_parts", join(part[0], part[1], part[2], part[2]), jose.ErrShape, nil},
		{"no_header", join("", part[1], part[2]), jose.ErrShape, nil},
		{"no_payload", join(part[0], "", part[2]), jose.ErrShape, nil},
		{"no_signature", join(part[0], part[1], ""), jose.ErrShape, nil},
		{"padding", []byte(good + "=="), jose.ErrBase64, nil},
		{"standard_alphabet", join(part[0], part[1], "+"+part[2][1:]), jose.ErrBase64, nil},
		{"unused_bits_set", join(part[0], part[1], part[2][:len(part[2])-1]+"B"), jose.ErrBase64, nil},
		{"impossible_length", join(part[0], part[1], part[2]+"AAA"), jose.ErrBase64, nil},
		{"header_no_json", header(`x`), jose.ErrJSON, nil},
		{"header_array", header(`["alg"]`), jose.ErrJSON, nil},
		{"header_repeats_alg", header(`{"alg":"none","alg":"ES256"}`), jose.ErrJSON, nil},
		{"header_repeats_in_depth", header(`{"alg":"ES256","x":[{"y":1,"y":2}]}`), jose.ErrJSON, nil},
		{"header_repeats_escaped", header(`{"alg":"none","\u0061lg":"ES256"}`), jose.ErrJSON, nil},
		{"header_case_variant", header(`{"alg":"ES256","Alg":"none"}`), jose.ErrCaseVariant, nil},
		{"header_folds_to_kid", header("{\"alg\":\"ES256\",\"\u212aid\":\"x\"}"), jose.ErrCaseVariant, nil},
		{"header_two_objects", header(`{"alg":"ES256"}{}`), jose.ErrJSON, nil},
		{"header_bad_utf8", header("{\"alg\":\"ES256\",\"x\":\"\xff\"}"), jose.ErrJSON, nil},
		{"header_too_deep", header(`{"alg":"ES256","x":` + deep + `}`), jose.ErrDepth, nil},
		{"header_too_many_members", header(`{` + many.String() + `"alg":"ES256"}`), jose.ErrMembers, nil},
		{"alg_missing", header(`{"kid":"x"}`), nil, isA[*jose.AlgorithmError]},
		{"alg_number", header(`{"alg":1}`), nil, isA[*jose.MemberError]},
		{"alg_none", header(`{"alg":"none"}`), nil, isA[*jose.AlgorithmError]},
		{"alg_NoNe", header(`{"alg":"NoNe"}`), nil, isA[*jose.AlgorithmError]},
		{"alg_hs256", header(`{"alg":"HS256"}`), nil, isA[*jose.AlgorithmError]},
		{"alg_lower_case", header(`{"alg":"es256"}`), nil, isA[*jose.AlgorithmError]},
		{"alg_es256k", header(`{"alg":"ES256K"}`), nil, isA[*jose.AlgorithmError]},
		{"kid_number", header(`{"alg":"ES256","kid":1}`), nil, isA[*jose.MemberError]},
		{"crit", header(`{"alg":"ES256","crit":["x"],"x":1}`), jose.ErrCritical, nil},
		{"crit_empty", header(`{"alg":"ES256","crit":[]}`), jose.ErrCritical, nil},
		{"b64", header(`{"alg":"ES256","b64":true}`), jose.ErrCritical, nil},
		{"cty", header(`{"alg":"ES256","cty":"JWT"}`), jose.ErrNested, nil},
		{"typ_number", header(`{"alg":"ES256","typ":1}`), nil, isA[*jose.MemberError]},
		{"typ_logout", header(`{"alg":"ES256","typ":"logout+jwt"}`), jose.ErrTokenType, nil},
		{"typ_dpop", header(`{"alg":"ES256","typ":"application/dpop+jwt"}`), jose.ErrTokenType, nil},
		{"payload_no_json", payload(`x`), jose.ErrJSON, nil},
		{"payload_byte_order_mark", payload("\ufeff{}"), jose.ErrJSON, nil},
		{"payload_bad_utf8", payload("{\"iss\":\"\xc3\"}"), jose.ErrJSON, nil},
		{"payload_lone_surrogate", payload(`{"iss":"\ud800"}`), jose.ErrJSON, nil},
		{"payload_repeats_exp", payload(`{"exp":1,"exp":9999999999}`), jose.ErrJSON, nil},
		{"payload_repeats_in_depth", payload(`{"x":{"y":[{"z":1,"z":1}]}}`), jose.ErrJSON, nil},
		{"payload_case_variant", payload(`{"Exp":1}`), jose.ErrCaseVariant, nil},
		{"payload_two_values", payload(`{} 1`), jose.ErrJSON, nil},
		{"payload_cut_off", payload(`{"a":[1`), jose.ErrJSON, nil},
		{"payload_too_deep", payload(`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), jose.ErrDepth, nil},
		{"payload_too_many_members", payload(`{` + many.String() + `"a":1}`), jose.ErrMembers, nil},
		{"payload_too_many_in_depth", payload(`{"x":{` + many.String() + `"a":1}}`), jose.ErrMembers, nil},
	}
}

// misclaimed are tokens with a right signature and wrong claims.
func misclaimed(t *testing.T) []refusal {
	k := testKey(t, jose.ES256)
	g, w, s, a := base(claims.Generic), base(claims.WLCG), base(claims.SciTokens), base(claims.ATJWT)
	r := func(name string, token set, want error) refusal {
		return refusal{name, sign(t, k, "", token), want, nil}
	}
	as := func(name string, token set, f func(error) bool) refusal {
		return refusal{name, sign(t, k, "", token), nil, f}
	}
	missing, wrong := isA[*claims.MissingError], isA[*jose.MemberError]
	return []refusal{
		r("issuer_missing", g.without("iss"), ErrUntrustedIssuer),
		r("issuer_without_its_slash", g.with("iss", "https://iam.example.org"), ErrUntrustedIssuer),
		r("issuer_in_capitals", g.with("iss", "https://IAM.example.org/"), ErrUntrustedIssuer),
		r("issuer_with_port", g.with("iss", "https://iam.example.org:443/"), ErrUntrustedIssuer),
		as("issuer_number", g.with("iss", 1), wrong),
		as("exp_missing", g.without("exp"), missing),
		as("exp_string", g.with("exp", "1900000000"), wrong),
		as("exp_null", g.with("exp", nil), wrong),
		as("exp_bool", g.with("exp", true), wrong),
		as("exp_in_milliseconds", g.with("exp", now.UnixMilli()+3600000), wrong),
		as("exp_huge", g.with("exp", json.Number("1e400")), wrong),
		as("exp_negative", g.with("exp", -1), wrong),
		r("exp_zero", g.with("exp", 0), ErrTimes),
		r("expired_at_the_end_of_leeway", g.with("exp", now.Unix()-60), ErrExpired),
		r("wlcg_has_no_leeway", w.with("exp", now.Unix()), ErrExpired),
		r("begins_one_second_past_leeway", g.with("nbf", now.Unix()+61), ErrNotYet),
		as("nbf_string", g.with("nbf", "1"), wrong),
		r("nbf_not_before_exp", g.with("nbf", now.Unix()).with("exp", now.Unix()), ErrTimes),
		r("issued_one_second_past_leeway", g.with("iat", now.Unix()+61), ErrIssuedAhead),
		as("iat_string", g.with("iat", "1"), wrong),
		r("issued_after_expiry", g.with("iat", now.Unix()).with("exp", now.Unix()-10), ErrTimes),
		r("wlcg_over_six_hours", w.with("exp", now.Unix()-60+6*3600+1), ErrLifetime),
		r("wlcg_over_six_hours_from_now", w.with("iat", now.Unix()+60).with("exp", now.Unix()+60+6*3600+1), ErrLifetime),
		r("both_profiles", w.with("ver", "scitoken:2.0"), claims.ErrTwoProfiles),
		r("wlcg_major_version", w.with("wlcg.ver", "2.0"), claims.ErrVersion),
		r("wlcg_version_no_number", w.with("wlcg.ver", "1"), claims.ErrVersion),
		r("wlcg_version_no_minor", w.with("wlcg.ver", "1."), claims.ErrVersion),
		as("wlcg_version_number", w.with("wlcg.ver", 1.0), wrong),
		as("wlcg_without_iat", w.without("iat"), missing),
		as("wlcg_without_jti", w.without("jti"), missing),
		as("wlcg_without_sub", w.without("sub"), missing),
		as("wlcg_without_aud", w.without("aud"), missing),
		as("wlcg_empty_sub", w.with("sub", ""), missing),
		as("wlcg_long_sub", w.with("sub", strings.Repeat("a", 256)), isA[*claims.ValueError]),
		as("wlcg_sub_not_ascii", w.with("sub", "älice"), isA[*claims.ValueError]),
		as("wlcg_scope_array", w.with("scope", []string{"openid"}), wrong),
		as("wlcg_groups_string", w.with("wlcg.groups", "/vo"), wrong),
		as("wlcg_groups_numbers", w.with("wlcg.groups", []int{1}), wrong),
		as("wlcg_group_without_slash", w.with("wlcg.groups", []string{"vo"}), isA[*claims.ValueError]),
		as("wlcg_group_twice", w.with("wlcg.groups", []string{"/vo", "/vo"}), isA[*claims.ValueError]),
		r("wlcg_storage_without_path", w.with("scope", "storage.read"), claims.ErrScopePath),
		r("wlcg_storage_with_traversal", w.with("scope", "storage.read:/a/%2e%2e"), claims.ErrScopePath),
		r("scitokens_version", s.with("ver", "scitoken:3.0"), claims.ErrVersion),
		as("scitokens_version_number", s.with("ver", 2), wrong),
		as("scitokens_without_nbf", s.without("nbf"), missing),
		as("scitokens_2_without_aud", s.without("aud"), missing),
		r("scitokens_1_unknown_claim", s.with("ver", "scitokens:1.0").with("x", 1), claims.ErrUnknownClaim),
		as("scitokens_1_any_audience", s.with("ver", "scitokens:1.0").with("aud", "ANY"), isA[*AudienceError]),
		r("scitokens_read_without_path", s.with("scope", "read"), claims.ErrScopePath),
		as("generic_without_sub", g.without("sub"), missing),
		as("aud_missing", g.without("aud"), missing),
		as("aud_number", g.with("aud", 1), wrong),
		as("aud_null", g.with("aud", nil), wrong),
		as("aud_mixed", g.with("aud", []any{testAudience, 1}), wrong),
		as("aud_empty_list", g.with("aud", []string{}), missing),
		as("aud_other", g.with("aud", "https://se.example.org/"), isA[*AudienceError]),
		as("aud_capitals", g.with("aud", "https://SE.example.org"), isA[*AudienceError]),
		as("any_of_wlcg_in_generic", g.with("aud", claims.AnyWLCG), isA[*AudienceError]),
		as("any_of_scitokens_in_generic", g.with("aud", "ANY"), isA[*AudienceError]),
		as("any_of_scitokens_in_wlcg", w.with("aud", "ANY"), isA[*AudienceError]),
		as("any_of_wlcg_in_scitokens", s.with("aud", claims.AnyWLCG), isA[*AudienceError]),
		r("id_token_by_nonce", g.with("nonce", "n"), claims.ErrIDToken),
		r("id_token_by_at_hash", w.with("at_hash", "n"), claims.ErrIDToken),
		r("id_token_by_c_hash", g.with("c_hash", "n"), claims.ErrIDToken),
		r("id_token_by_typ", g.with("typ", "ID"), claims.ErrIDToken),
		r("refresh_token_by_typ", g.with("typ", "Refresh"), claims.ErrIDToken),
		r("id_token_by_token_use", g.with("token_use", "id"), claims.ErrIDToken),
		r("bound_to_dpop_key", g.with("cnf", set{"jkt": "x"}), claims.ErrSenderConstrained),
		r("bound_to_some_key", g.with("cnf", set{"kid": "x"}), claims.ErrSenderConstrained),
		as("cnf_string", g.with("cnf", "x"), wrong),
		{"at_jwt_without_client", sign(t, k, "at+jwt", a.without("client_id")), nil, missing},
		{"at_jwt_without_jti", sign(t, k, "at+jwt", a.without("jti")), nil, missing},
		{"at_jwt_scope_array", sign(t, k, "at+jwt", a.with("scope", []string{"x"})), nil, wrong},
	}
}

// miskeyed are tokens whose signature or key is wrong.
func miskeyed(t *testing.T) []refusal {
	g := base(claims.Generic)
	stranger, err := jose.GenerateKey(jose.ES256, "key-ES256")
	must(t, err)
	unknown, err := jose.GenerateKey(jose.ES256, "key-es256")
	must(t, err)
	good := sign(t, testKey(t, jose.ES256), "", g)
	parts := strings.Split(string(good), ".")
	swapped := []byte(parts[0] + "." + b64([]byte(strings.Replace(mustJSON(t, g), "alice", "mallory", 1))) + "." + parts[2])
	p384 := strings.Split(string(sign(t, testKey(t, jose.ES384), "", g)), ".")
	cross := []byte(b64([]byte(`{"alg":"ES384","kid":"key-ES256"}`)) + "." + p384[1] + "." + p384[2])
	return []refusal{
		{"key_of_somebody_else", sign(t, stranger, "", g), jose.ErrSignature, nil},
		{"kid_differs_in_case", sign(t, unknown, "", g), ErrNoKey, nil},
		{"other_payload", swapped, jose.ErrSignature, nil},
		{"algorithm_of_another_curve", cross, ErrNoKey, nil},
		{"signature_of_zeros", forge(`{"alg":"ES256","kid":"key-ES256"}`, mustJSON(t, g)), jose.ErrSignature, nil},
		{"rsa_with_ec_key", forge(`{"alg":"RS256","kid":"key-ES256"}`, mustJSON(t, g)), ErrNoKey, nil},
	}
}

func mustJSON(t *testing.T, s set) string {
	t.Helper()
	b, err := json.Marshal(s)
	must(t, err)
	return string(b)
}

func TestVerifyRefuses(t *testing.T) {
	v := verifier(t)
	seen := map[string]bool{}
	for _, c := range append(append(malformed(t), miskeyed(t)...), misclaimed(t)...) {
		if seen[c.name] {
			t.Fatalf("two cases are called %s", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), c.token)
			switch {
			case err == nil:
				t.Fatalf("accepted as %s", id.Subject)
			case c.want != nil && !errors.Is(err, c.want), c.as != nil && !c.as(err):
				t.Errorf("refused for another reason: %v (%T)", err, err)
			case Temporary(err):
				t.Errorf("called temporary: %v", err)
			case id.Subject != "" || id.Issuer != "":
				t.Error("an identity came with the refusal")
			}
		})
	}
}

// TestReasonRepeatsNothing plants a marker in every place a stranger writes to.
func TestReasonRepeatsNothing(t *testing.T) {
	const marker = "plantedMarker"
	v := verifier(t)
	k := testKey(t, jose.ES256)
	tokens := [][]byte{
		[]byte(marker), []byte(marker + "." + marker + "." + marker),
		forge(`{"alg":"`+marker+`"}`, `{}`), forge(`{"alg":"ES256","typ":"`+marker+`"}`, `{}`),
		forge(`{"alg":"ES256","kid":"`+marker+`"}`, `{"iss":"`+testIssuer+`"}`),
		forge(`{"alg":"ES256"}`, `{"iss":"`+marker+`"}`), forge(`{"alg":"ES256"}`, `{"`+marker+`":`+marker+`}`),
		forge(`{"alg":"ES256"}`, `{"`+marker+`":1,"`+marker+`":2}`),
	}
	for name := range base(claims.WLCG) {
		if name != "iss" {
			tokens = append(tokens, sign(t, k, "", base(claims.WLCG).with(name, marker)),
				sign(t, k, "", base(claims.WLCG).with(name, []string{marker})),
				sign(t, k, "", base(claims.WLCG).with(name, set{marker: marker})))
		}
	}
	for _, scope := range []string{"storage." + marker, "storage.read:" + marker, "storage.read:/.." + marker + "/.."} {
		tokens = append(tokens, sign(t, k, "", base(claims.WLCG).with("scope", scope)))
	}
	refused := 0
	for _, token := range tokens {
		_, err := v.Verify(t.Context(), token)
		if strings.Contains(strings.ToLower(Reason(err)), strings.ToLower(marker)) {
			t.Errorf("repeated: %s", Reason(err))
		}
		if err != nil {
			refused++
		}
	}
	if refused < len(tokens)-2 { // a sub and a jti that are the marker are fine
		t.Errorf("%d of %d refused", refused, len(tokens))
	}
}

func TestSettings(t *testing.T) {
	k := testKey(t, jose.ES256)
	hour, zero := time.Hour, time.Duration(0)
	expired := base(claims.Generic).with("exp", now.Unix()-1800)
	for _, c := range []struct {
		name  string
		edit  func(*Config)
		token set
		want  error
	}{
		{"skew_of_ten_minutes_is_no_half_hour", func(c *Config) { s := MaxSkew; c.Issuers[0].Skew = &s }, expired, ErrExpired},
		{"skew_none", func(c *Config) { c.Issuers[0].Skew = &zero }, base(claims.Generic).with("exp", now.Unix()), ErrExpired},
		{"lifetime_one_hour", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).with("exp", now.Unix()+3600), ErrLifetime},
		{"lifetime_counts_from_nbf", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).without("iat").with("exp", now.Unix()+3600), ErrLifetime},
		{"lifetime_without_begin", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).without("iat").without("nbf").with("exp", now.Unix()+3661), ErrLifetime},
		{"lifetime_off_for_wlcg", func(c *Config) { c.Issuers[0].MaxLifetime = -1 },
			base(claims.WLCG).with("exp", now.Unix()+30*24*3600), nil},
		{"any_audience", func(c *Config) { c.Audiences, c.AcceptAnyAudience = nil, true },
			base(claims.Generic).with("aud", "x"), nil},
		{"foreign_ver_where_no_scitokens_are", func(c *Config) { c.Issuers[0].Profiles = []claims.Profile{claims.Generic} },
			base(claims.Generic).with("ver", "2.0"), nil},
		{"scitokens_1_without_a_mark", func(c *Config) { c.Issuers[0].Profiles = []claims.Profile{claims.SciTokens} },
			base(claims.Generic).without("aud"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := verifier(t, c.edit).Verify(t.Context(), sign(t, k, "", c.token))
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestProfileOfIssuer(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Issuers[0].Profiles = []claims.Profile{claims.WLCG} })
	_, err := v.Verify(t.Context(), sign(t, testKey(t, jose.ES256), "", base(claims.Generic)))
	var p *claims.ProfileError
	if !errors.As(err, &p) || p.Got != claims.Generic {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	keys := jose.NewKeySet()
	long, negative := MaxSkew+1, -time.Second
	ok := Issuer{URL: testIssuer, Keys: keys}
	for _, c := range []struct {
		name string
		c    Config
	}{
		{"zero", Config{}},
		{"no_issuer", Config{Audiences: []string{"a"}}},
		{"no_audience", Config{Issuers: []Issuer{ok}}},
		{"empty_audience", Config{Issuers: []Issuer{ok}, Audiences: []string{""}}},
		{"issuer_twice", Config{Issuers: []Issuer{ok, ok}, Audiences: []string{"a"}}},
		{"issuer_no_url", Config{Issuers: []Issuer{{URL: "iam", Keys: keys}}, Audiences: []string{"a"}}},
		{"issuer_without_keys", Config{Issuers: []Issuer{{URL: testIssuer}}, Audiences: []string{"a"}}},
		{"any_issuer_with_url", Config{Issuers: []Issuer{ok}, AnyIssuer: true, Audiences: []string{"a"}}},
		{"any_issuer_without_keys", Config{Issuers: []Issuer{{}}, AnyIssuer: true, Audiences: []string{"a"}}},
		{"skew_too_long", Config{Issuers: []Issuer{{URL: testIssuer, Keys: keys, Skew: &long}}, Audiences: []string{"a"}}},
		{"skew_negative", Config{Issuers: []Issuer{{URL: testIssuer, Keys: keys, Skew: &negative}}, Audiences: []string{"a"}}},
		{"algorithm", Config{Issuers: []Issuer{{URL: testIssuer, Keys: keys, Algs: []jose.Alg{"HS256"}}}, Audiences: []string{"a"}}},
		{"profile", Config{Issuers: []Issuer{{URL: testIssuer, Keys: keys, Profiles: []claims.Profile{"x"}}}, Audiences: []string{"a"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(c.c); !errors.Is(err, ErrConfig) {
				t.Errorf("%v, want ErrConfig", err)
			}
		})
	}
}

// fakeKeys is a KeySource that counts.
type fakeKeys struct {
	keys  []*jose.PublicKey
	err   error
	asked []string
}

func (f *fakeKeys) Candidates(_ context.Context, issuer string, _ jose.Header) ([]*jose.PublicKey, error) {
	f.asked = append(f.asked, issuer)
	return f.keys, f.err
}

func TestKeysAreAskedForTrustedIssuersOnly(t *testing.T) {
	src := &fakeKeys{keys: []*jose.PublicKey{testKey(t, jose.ES256).Public()}}
	v := verifier(t, func(c *Config) { c.Issuers[0].Keys, c.Keys = nil, src })
	k := testKey(t, jose.ES256)
	_, err := v.Verify(t.Context(), sign(t, k, "", base(claims.Generic).with("iss", "https://evil.example")))
	if !errors.Is(err, ErrUntrustedIssuer) || len(src.asked) != 0 {
		t.Fatalf("%v, asked for %v", err, src.asked)
	}
	if _, err := v.Verify(t.Context(), sign(t, k, "", base(claims.Generic))); err != nil || len(src.asked) != 1 {
		t.Errorf("%v, asked for %v", err, src.asked)
	}
}

func TestTemporary(t *testing.T) {
	token := sign(t, testKey(t, jose.ES256), "", base(claims.Generic))
	for _, c := range []struct {
		name      string
		err       error
		temporary bool
	}{
		{"issuer_is_down", &provider.UnavailableError{Issuer: testIssuer, Err: errors.New("x")}, true},
		{"time_ran_out", context.DeadlineExceeded, true},
		{"unknown_key", provider.ErrUnknownKey, false},
		{"no_keys", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verifier(t, func(cfg *Config) { cfg.Issuers[0].Keys, cfg.Keys = nil, &fakeKeys{err: c.err} })
			_, err := v.Verify(t.Context(), token)
			if err == nil || Temporary(err) != c.temporary || errors.Is(err, ErrNoKey) == c.temporary {
				t.Errorf("temporary %v: %v", Temporary(err), err)
			}
		})
	}
}

func TestAnyIssuer(t *testing.T) {
	v := verifier(t, func(c *Config) { c.AnyIssuer, c.Issuers[0].URL = true, "" })
	k := testKey(t, jose.ES256)
	if _, err := v.Verify(t.Context(), sign(t, k, "", base(claims.Generic).with("iss", "urn:whoever"))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), sign(t, k, "", base(claims.Generic).without("iss"))); !errors.Is(err, ErrUntrustedIssuer) {
		t.Error(err)
	}
}

func TestWLCGExamples(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/jwt/wlcg_examples.json")
	must(t, err)
	var file struct {
		Cases []struct {
			ID        string
			Clock     int64
			Valid     bool   `json:"profile_valid"`
			TokenKind string `json:"token_kind"`
			Claims    map[string]any
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	must(t, dec.Decode(&file))
	if len(file.Cases) < 5 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	k := testKey(t, jose.ES256)
	for _, c := range file.Cases {
		t.Run(c.ID, func(t *testing.T) {
			v := verifier(t, func(cfg *Config) {
				cfg.Issuers[0].URL = c.Claims["iss"].(string)
				cfg.Audiences = []string{"https://dteam-test-client.example.org"}
				cfg.Now = func() time.Time { return time.Unix(c.Clock, 0) }
			})
			_, err := v.Verify(t.Context(), sign(t, k, "", c.Claims))
			// An ID token is valid for its client; a resource server refuses it.
			if want := c.Valid && c.TokenKind != "id_token"; (err == nil) != want {
				t.Errorf("%v, want accepted %v", err, want)
			}
		})
	}
}

func FuzzToken(f *testing.F) {
	k, err := jose.GenerateKey(jose.EdDSA, "k")
	must(f, err)
	v, err := New(Config{
		Issuers: []Issuer{{URL: testIssuer, Keys: jose.NewKeySet(k.Public())}}, Audiences: []string{testAudience},
		Now: func() time.Time { return now },
	})
	must(f, err)
	good, err := json.Marshal(base(claims.WLCG).with("scope", "storage.read:/a%20b"))
	must(f, err)
	f.Add([]byte(`{"alg":"EdDSA","kid":"k"}`), good, []byte{})
	f.Add([]byte(`{"alg":"Ed25519","typ":"at+jwt"}`), []byte(`{"exp":1e9}`), make([]byte, 64))
	f.Add([]byte(`{"alg":"none"}`), []byte(`{"aud":["a",1]}`), []byte("x"))
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		token := b64(header) + "." + b64(payload) + "." + b64(signature)
		if id, err := v.Verify(t.Context(), []byte(token)); err == nil {
			t.Fatalf("accepted without a signature: %+v", id)
		}
		// What we sign ourselves gets past the signature; what is accepted then must hold what acceptance means.
		signed, err := k.Sign("", payload)
		if err != nil {
			return
		}
		id, err := v.Verify(t.Context(), []byte(signed.Expose()))
		if err == nil && (id.Issuer != testIssuer || !now.Before(id.Claims.Expiry.Add(DefaultSkew)) || len(id.Claims.Audience) == 0 &&
			id.Profile != claims.SciTokens) {
			t.Fatalf("accepted: %+v", id)
		}
	})
}
