package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
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
		Audiences: []string{testAudience, "https://other-name.example.org", claims.AnyWLCG, claims.AnySciTokens},
		Now:       func() time.Time { return now },
	}
	for _, e := range edit {
		e(&c)
	}
	v, err := New(c)
	must(t, err)
	return v
}

// TestEverybodyIsNobodyUnlessNamed: a token for everybody is for us only where the operator says so.
func TestEverybodyIsNobodyUnlessNamed(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Audiences = []string{testAudience} })
	for name, s := range map[string]set{
		"wlcg":      base(claims.WLCG).with("aud", claims.AnyWLCG),
		"scitokens": base(claims.SciTokens).with("aud", claims.AnySciTokens),
	} {
		var wrong *AudienceError
		if _, err := v.Verify(t.Context(), sign(t, testKey(t, jose.ES256), "", s)); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want an *AudienceError", name, err)
		}
	}
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
		{
			"wlcg_foreign_scope", "", base(claims.WLCG).with("scope", "openid fts:submit-transfer storage.read:/"),
			claims.WLCG,
		},
		{"scitokens_2", "", base(claims.SciTokens), claims.SciTokens},
		{"scitokens_2_other_spelling", "", base(claims.SciTokens).with("ver", "scitokens:2.0"), claims.SciTokens},
		{"scitokens_2_any_audience", "", base(claims.SciTokens).with("aud", "ANY"), claims.SciTokens},
		{
			"scitokens_1_without_audience", "", base(claims.SciTokens).with("ver", "scitokens:1.0").without("aud"),
			claims.SciTokens,
		},
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
		{
			"skew_of_ten_minutes_is_no_half_hour", func(c *Config) { s := MaxSkew; c.Issuers[0].Skew = &s }, expired,
			ErrExpired,
		},
		{
			"skew_none", func(c *Config) { c.Issuers[0].Skew = &zero }, base(claims.Generic).with("exp", now.Unix()),
			ErrExpired,
		},
		{
			"lifetime_one_hour", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).with("exp", now.Unix()+3600), ErrLifetime,
		},
		{
			"lifetime_counts_from_nbf", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).without("iat").with("exp", now.Unix()+3600), ErrLifetime,
		},
		{
			"lifetime_without_begin", func(c *Config) { c.Issuers[0].MaxLifetime = hour },
			base(claims.Generic).without("iat").without("nbf").with("exp", now.Unix()+3661), ErrLifetime,
		},
		{
			"lifetime_off_for_wlcg", func(c *Config) { c.Issuers[0].MaxLifetime = -1 },
			base(claims.WLCG).with("exp", now.Unix()+30*24*3600), nil,
		},
		{
			"any_audience", func(c *Config) { c.Audiences, c.AcceptAnyAudience = nil, true },
			base(claims.Generic).with("aud", "x"), nil,
		},
		{
			"foreign_ver_where_no_scitokens_are",
			func(c *Config) { c.Issuers[0].Profiles = []claims.Profile{claims.Generic} },
			base(claims.Generic).with("ver", "2.0"), nil,
		},
		{
			"scitokens_1_without_a_mark", func(c *Config) { c.Issuers[0].Profiles = []claims.Profile{claims.SciTokens} },
			base(claims.Generic).without("aud"), nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := verifier(t, c.edit).Verify(t.Context(), sign(t, k, "", c.token))
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// anonymous signs without a kid, which jose never does, and returns the key, which has one.
func anonymous(t *testing.T, s set) ([]byte, *jose.PublicKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	input := b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(mustJSON(t, s)))
	sum := sha256.Sum256([]byte(input))
	r, ss, err := ecdsa.Sign(rand.Reader, k, sum[:])
	must(t, err)
	point, err := k.PublicKey.Bytes()
	must(t, err)
	pub, err := jose.ParsePublicKey(fmt.Appendf(nil, `{"kty":"EC","crv":"P-256","kid":"a","x":"%s","y":"%s"}`,
		b64(point[1:33]), b64(point[33:])))
	must(t, err)
	signature := append(r.FillBytes(make([]byte, 32)), ss.FillBytes(make([]byte, 32))...)
	return []byte(input + "." + b64(signature)), pub
}

func TestNoKid(t *testing.T) {
	p256, p384 := testKey(t, jose.ES256).Public(), testKey(t, jose.ES384).Public()
	for _, c := range []struct {
		name    string
		profile claims.Profile
		more    []*jose.PublicKey
		want    error
	}{
		{"generic_tries_what_fits", claims.Generic, []*jose.PublicKey{p256, p384}, nil},
		{"scitokens_one_key", claims.SciTokens, nil, nil},
		{"scitokens_one_that_fits", claims.SciTokens, []*jose.PublicKey{p384}, nil},
		{"scitokens_two_that_fit", claims.SciTokens, []*jose.PublicKey{p256}, claims.ErrNoKeyID},
		{"wlcg", claims.WLCG, nil, claims.ErrNoKeyID},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, key := anonymous(t, base(c.profile))
			v := verifier(t, func(cfg *Config) { cfg.Issuers[0].Keys = jose.NewKeySet(append(c.more, key)...) })
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestNoKidRemembered: what was remembered of a token under other profiles does not stand for what these ask.
func TestNoKidRemembered(t *testing.T) {
	token, key := anonymous(t, base(claims.SciTokens).without("ver"))
	keys, cache := jose.NewKeySet(testKey(t, jose.ES256).Public(), key), NewCache(0)
	for i, c := range []struct {
		profile claims.Profile
		want    error
	}{{claims.Generic, nil}, {claims.SciTokens, claims.ErrNoKeyID}, {claims.Generic, nil}} {
		v := verifier(t, func(cfg *Config) {
			cfg.Cache, cfg.Issuers[0].Keys, cfg.Issuers[0].Profiles = cache, keys, []claims.Profile{c.profile}
		})
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, c.want) {
			t.Errorf("configuration %d: %v, want %v", i, err, c.want)
		}
	}
	if s := cache.Stats(); s.Hits != 2 {
		t.Errorf("%d hits: nothing was shown", s.Hits)
	}
}

func TestIssuerOfCommunityProfiles(t *testing.T) {
	for _, c := range []struct {
		issuer  string
		profile claims.Profile
		ok      bool
	}{
		{"https://iam.example.org", claims.WLCG, true},
		{"http://127.0.0.1:8080", claims.WLCG, true},
		{"http://localhost/x", claims.SciTokens, true},
		{"http://[::1]:1", claims.SciTokens, true},
		{"http://iam.example.org", claims.WLCG, false},
		{"http://iam.example.org", claims.SciTokens, false},
		{"http://iam.example.org", claims.Generic, true},
		{"http://localhost.evil.example", claims.WLCG, false},
	} {
		t.Run(string(c.profile)+" "+c.issuer, func(t *testing.T) {
			v := verifier(t, func(cfg *Config) { cfg.Issuers[0].URL = c.issuer })
			_, err := v.Verify(t.Context(), sign(t, testKey(t, jose.ES256), "", base(c.profile).with("iss", c.issuer)))
			if (err == nil) != c.ok || err != nil && !isA[*claims.ValueError](err) {
				t.Error(err)
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
		{"skew_too_long", Config{
			Issuers:   []Issuer{{URL: testIssuer, Keys: keys, Skew: &long}},
			Audiences: []string{"a"},
		}},
		{"skew_negative", Config{
			Issuers:   []Issuer{{URL: testIssuer, Keys: keys, Skew: &negative}},
			Audiences: []string{"a"},
		}},
		{"algorithm", Config{
			Issuers:   []Issuer{{URL: testIssuer, Keys: keys, Algs: []jose.Alg{"HS256"}}},
			Audiences: []string{"a"},
		}},
		{"profile", Config{
			Issuers:   []Issuer{{URL: testIssuer, Keys: keys, Profiles: []claims.Profile{"x"}}},
			Audiences: []string{"a"},
		}},
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
	set   uint64
}

func (f *fakeKeys) Candidates(_ context.Context, issuer string, _ jose.Header) ([]*jose.PublicKey, error) {
	f.asked = append(f.asked, issuer)
	return f.keys, f.err
}

func (f *fakeKeys) Generation(string) uint64 { return f.set }

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
	if _, err := v.Verify(t.Context(), sign(t, k, "", base(claims.Generic).without("iss"))); !errors.Is(err,
		ErrUntrustedIssuer) {
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
		if err == nil && (id.Issuer != testIssuer || !now.Before(id.Claims.Expiry.Add(DefaultSkew)) ||
			len(id.Claims.Audience) == 0 &&
				id.Profile != claims.SciTokens) {
			t.Fatalf("accepted: %+v", id)
		}
	})
}
