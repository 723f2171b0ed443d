package differential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// What the claims of a token with a right signature come to: core/token/verify beside go-jose's jwt with everything it
// checks (issuer, audience, exp, nbf, iat with a minute's leeway).

const (
	issuer   = "https://op.example"
	audience = "https://se.example"
	moment   = 1_800_000_000
)

var verifier = sync.OnceValue(func() *verify.Verifier {
	set, _, err := jose.ParseKeySet(allKeys())
	if err != nil {
		panic(err)
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{URL: issuer, Keys: set}}, Audiences: []string{audience},
		Now: func() time.Time { return time.Unix(moment, 0) },
	})
	if err != nil {
		panic(err)
	}
	return v
})

var theirKeys = sync.OnceValue(func() gojose.JSONWebKeySet {
	var set gojose.JSONWebKeySet
	if err := json.Unmarshal(allKeys(), &set); err != nil {
		panic(err)
	}
	return set
})

func theirClaims(token []byte) error {
	t, err := jwt.ParseSigned(string(token), theirAlgs())
	if err != nil {
		return err
	}
	var c jwt.Claims
	if err := t.Claims(theirKeys(), &c); err != nil {
		return err
	}
	return c.ValidateWithLeeway(jwt.Expected{
		Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: time.Unix(moment, 0),
	}, time.Minute)
}

// claimClass is a class of disagreement about claims; see class.
type claimClass struct {
	name   string
	strict side
	why    string
	holds  func(payload []byte, c map[string]any, err error) bool
	// example has members for the usual payload; see compose.
	example string
}

// is makes a condition on our error.
func is(errs ...error) func([]byte, map[string]any, error) bool {
	return func(_ []byte, _ map[string]any, err error) bool {
		return slices.ContainsFunc(errs, func(e error) bool { return errors.Is(err, e) })
	}
}

// looks makes a condition on the JSON.
func looks(f func(peculiar) bool) func([]byte, map[string]any, error) bool {
	return func(payload []byte, _ map[string]any, _ error) bool {
		return f(look(payload, "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "cnf", "ver", "wlcg.ver",
			"wlcg.groups", "client_id", "azp", "nonce", "at_hash", "c_hash", "typ", "token_use", "events"))
	}
}

func claimClasses() []claimClass {
	return []claimClass{
		{
			"claims are not UTF-8",
			oursSaysNo,
			"RFC 7519 section 7.2 step 10",
			looks(func(p peculiar) bool { return p.notText }),
			`"x":"\ud83d"`,
		},
		{
			"claims repeat a member",
			oursSaysNo,
			"RFC 7519 section 4 lets a reader refuse; go-jose looks where it decodes",
			looks(func(p peculiar) bool { return p.repeated }),
			`"x":{"a":1,"a":2}`,
		},
		{
			"claims are nested deeper than 32",
			oursSaysNo,
			"bounded work for strangers",
			looks(func(p peculiar) bool { return p.depth > 32 }),
			`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40),
		},
		{
			"claims have more than 1000 members",
			oursSaysNo,
			"bounded work for strangers",
			looks(func(p peculiar) bool { return p.members > 1000 }),
			strings.TrimPrefix(manyShort(1100), ","),
		},
		{
			"a known claim in another case",
			oursSaysNo,
			"a reader that folds case would take it for the real one",
			looks(func(p peculiar) bool { return p.otherCase }),
			`"Exp":1`,
		},
		{
			"a required claim is missing or empty",
			oursSaysNo,
			"RFC 9068 section 2.2 and the profiles: no exp is no expiry to go-jose",
			func(_ []byte, c map[string]any, err error) bool {
				var m *claims.MissingError
				return errors.As(err, &m) && empty(c[m.Claim])
			},
			`-exp`,
		},
		{
			"a claim has the wrong type",
			oursSaysNo,
			"a wrong type is a refusal, never absence; go-jose takes null for absent and does not know most claims",
			func(_ []byte, c map[string]any, err error) bool {
				var m *jose.MemberError
				if !errors.As(err, &m) || !has(c, m.Name) {
					return false
				}
				s, isString := c[m.Name].(string)
				return !isString || !strings.Contains(m.Want, "a string") && s != "\x00"
			},
			`"exp":null`,
		},
		{
			"exp is not after 1970, nbf not before exp, or iat after exp", oursSaysNo, "times that make no sense",
			func(_ []byte, c map[string]any, err error) bool {
				exp := seconds(c["exp"])
				return errors.Is(err, verify.ErrTimes) && (exp <= 0 || seconds(c["nbf"]) >= exp || seconds(c["iat"]) > exp)
			},
			`"nbf":1800000030 "exp":1800000010`,
		},
		{
			"expired within the leeway",
			oursSaysNo,
			"WLCG gives no grace after exp, and a minute of it ends with its last second",
			func(_ []byte, c map[string]any, err error) bool {
				exp := seconds(c["exp"])
				return errors.Is(err, verify.ErrExpired) && exp <= moment && (has(c, "wlcg.ver") || exp <= moment-60)
			},
			`"exp":1799999940`,
		},
		{
			"nbf or iat ahead by a fraction more than a minute", oursSaysNo, "go-jose cuts fractions off",
			func(_ []byte, c map[string]any, err error) bool {
				ahead := max(seconds(c["nbf"]), seconds(c["iat"]))
				return is(verify.ErrNotYet, verify.ErrIssuedAhead)(nil, nil, err) && ahead > moment+60 && ahead < moment+61
			},
			`"nbf":1800000060.5`,
		},
		{
			"a WLCG token lives longer than six hours",
			oursSaysNo,
			"the profile's table of lifetimes",
			is(verify.ErrLifetime),
			`"wlcg.ver":"1.0" "exp":1800036000`,
		},
		{"an ID, refresh or logout token", oursSaysNo, "not an access token", is(claims.ErrIDToken), `"nonce":"n"`},
		{
			"bound to a key",
			oursSaysNo,
			"RFC 9449 and RFC 8705: not without its proof",
			is(claims.ErrSenderConstrained),
			`"cnf":{"jkt":"x"}`,
		},
		{
			"a profile's rule",
			oursSaysNo,
			"what WLCG and SciTokens ask beyond RFC 7519: one profile, its version, its claims and scope paths",
			func(_ []byte, c map[string]any, err error) bool {
				var v *claims.ValueError
				return (has(c, "ver") || has(c, "wlcg.ver")) && (errors.As(err, &v) ||
					is(claims.ErrTwoProfiles, claims.ErrVersion, claims.ErrUnknownClaim, claims.ErrScopePath)(nil, nil, err))
			},
			`"wlcg.ver":"2.0"`,
		},
		{
			"a SciToken of version 1.0 has no aud", theirsSayNo, "the profile makes it optional; go-jose was told to expect one",
			func(_ []byte, c map[string]any, err error) bool {
				return errors.Is(err, jwt.ErrInvalidAudience) && !has(c, "aud") && (c["ver"] == "scitokens:1.0")
			},
			`"ver":"scitokens:1.0" -aud`,
		},
	}
}

// seconds is a time, 0 when there is none.
func seconds(v any) float64 {
	n, _ := v.(json.Number)
	f, err := n.Float64()
	if err != nil {
		return 0
	}
	return f
}

// empty is what counts as missing.
func empty(v any) bool {
	list, isList := v.([]any)
	return v == nil || v == "" || isList && len(list) == 0
}

func manyShort(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

const usualClaims = `"iss":"https://op.example","sub":"alice","aud":"https://se.example","jti":"1",` +
	`"iat":1799999000,"nbf":1799999000,"exp":1800003600`

// compareClaims signs payload and asks both sides; see compare.
func compareClaims(t *testing.T, payload []byte) (string, side) {
	t.Helper()
	s := by("ES256")
	token := s.token(s.header(), string(payload))
	_, o := verifier().Verify(context.Background(), token)
	g := theirClaims(token)
	if (o == nil) == (g == nil) {
		return "", ""
	}
	strict, no := oursSaysNo, o
	if o == nil {
		strict, no = theirsSayNo, g
	}
	c := lenient(payload)
	for _, class := range claimClasses() {
		if class.strict == strict && class.holds(payload, c, no) {
			return class.name, strict
		}
	}
	t.Errorf("only one of the two says no, and no class says why\nours %v\ngo-jose %v\nclaims %s", o, g, payload)
	return "", strict
}

// payloadWith writes the usual claims with other members, and without those that begin with a minus.
func payloadWith(pieces string) []byte {
	members := strings.Split(usualClaims, ",")
	for _, piece := range strings.Fields(pieces) {
		name, _, _ := strings.Cut(piece, ":")
		if lost, ok := strings.CutPrefix(piece, "-"); ok {
			name, piece = `"`+lost+`"`, ""
		}
		members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, name+":") })
		if piece != "" {
			members = append(members, piece)
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

func TestEveryClaimClass(t *testing.T) {
	for _, c := range claimClasses() {
		class, strict := compareClaims(t, payloadWith(c.example))
		if class != c.name || strict != c.strict {
			t.Errorf("the example of %q (%s says no) is of class %q (%s says no)", c.name, c.strict, class, strict)
		}
	}
	if class, _ := compareClaims(t, payloadWith("")); class != "" {
		t.Errorf("the usual claims are of class %q", class)
	}
}

// claimPieces are members of claims.
var claimPieces = sync.OnceValue(func() []string {
	return strings.Fields(`
"iss":"https://op.example/" "iss":null "iss":["https://op.example"] "Iss":"x" "sub":"" "sub":null "sub":1 "sub":"ä"
"jti":1 "jti":null "jti":"" "aud":["https://se.example"] "aud":["x","https://se.example"] "aud":["x"] "aud":[]
"aud":"" "aud":null "aud":1 "aud":[1] "aud":["https://se.example",null] "aud":{"a":1} "aud":"https://se.example/"
"exp":null "exp":0 "exp":-1 "exp":"1800003600" "exp":1800003600.5 "exp":18e8 "exp":1.8e9 "exp":1800000000
"exp":1799999940 "exp":1799999941 "exp":1799999939 "exp":1e30 "exp":1e400 "exp":253402300800 "exp":4611686018427387904
"exp":true "exp":[1] "nbf":null "nbf":0 "nbf":1800000060 "nbf":1800000061 "nbf":1800000060.5 "nbf":"1"
"nbf":1800003600 "nbf":-5 "iat":null "iat":1800000060 "iat":1800000061 "iat":0 "iat":-1 "iat":"1"
"iat":9223372036854775807 "ver":"scitoken:2.0" "ver":"scitokens:1.0" "ver":"scitokens:2.0" "ver":"1.0" "ver":2
"ver":null "wlcg.ver":"1.0" "wlcg.ver":"1.3" "wlcg.ver":"2.0" "wlcg.ver":1.0 "wlcg.ver":null "wlcg.ver":""
"scope":"storage.read:/a" "scope":"storage.read" "scope":["openid"] "scope":1 "scope":null "scope":"read"
"scp":["read:/"] "scp":1 "wlcg.groups":["/a"] "wlcg.groups":["a"] "wlcg.groups":"/a" "wlcg.groups":["/a","/a"]
"wlcg.groups":null "cnf":{} "cnf":{"jkt":"x"} "cnf":null "cnf":"x" "nonce":"n" "at_hash":"x" "typ":"Bearer" "typ":"ID"
"token_use":"id" "typ":1 "events":{} "events":{"http://schemas.openid.net/event/backchannel-logout":{}} "client_id":1
"client_id":null "azp":{} "x":{"a":1,"a":2} "x":"\ud83d" "x":1e400 "EXP":1 "email":null "":1 "x":[[[[[]]]]]
`)
})

func claimShape(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	return []byte(compose(r, usualClaims, claimPieces(), ""))
}

// TestClaimShapes asks both sides about claims put together from pieces, always the same.
func TestClaimShapes(t *testing.T) {
	n := uint64(3000)
	if testing.Short() {
		n = 600
	}
	seen := map[string]int{}
	for seed := range n {
		class, _ := compareClaims(t, claimShape(seed))
		seen[class]++
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%d sets of claims are answered alike, the others are of %d classes", seen[""], len(seen)-1)
}

// FuzzClaims signs any payload.
func FuzzClaims(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(claimShape(seed))
	}
	for _, c := range claimClasses() {
		f.Add(payloadWith(c.example))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { compareClaims(t, payload) })
}
