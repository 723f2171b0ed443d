package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

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
		{
			"payload_too_deep", payload(`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`),
			jose.ErrDepth, nil,
		},
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
		r("wlcg_over_six_hours_from_now", w.with("iat", now.Unix()+60).with("exp", now.Unix()+60+6*3600+1),
			ErrLifetime),
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
		as("scitokens_1_empty_audience_is_not_absent", s.with("ver", "scitokens:1.0").with("aud", []string{}),
			isA[*AudienceError]),
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
	mallory := b64([]byte(mustJSON(t, g.with("sub", "mallory"))))
	swapped := []byte(parts[0] + "." + mallory + "." + parts[2])
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
