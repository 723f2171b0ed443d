package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	testIssuer   = "https://op.example.org"
	testAudience = "https://api.example.org"
)

var now = time.Unix(1_800_000_000, 0)

// testKey makes one key for all tests.
var testKey = sync.OnceValue(func() *jose.PrivateKey {
	k, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		panic(err)
	}
	return k
})

type set map[string]any

func (s set) with(name string, value any) set {
	c := maps.Clone(s)
	c[name] = value
	return c
}

func good() set {
	return set{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(),
		"scope": "read other",
	}
}

func sign(t testing.TB, s set) secret.Text {
	t.Helper()
	payload, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	token, err := testKey().Sign("at+jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustPolicy(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const testPolicy = `
version: 1
services:
  api:
    rules:
      - {paths: [/write], require: {scope: write}}
      - {paths: [/bob], require: {subject: {issuer: "https://op.example.org", sub: bob}}}
    require: ANYONE
  other: {require: ANYONE}
`

func testConfig(t testing.TB) Config {
	return Config{
		Issuers:   []Issuer{{Issuer: verify.Issuer{URL: testIssuer, Keys: jose.NewKeySet(testKey().Public())}}},
		Audiences: []string{testAudience},
		Services:  map[string]Service{"other": {Audiences: []string{"https://other.example.org"}}, "api": {}},
		Policy:    mustPolicy(t, testPolicy),
	}
}

func newGate(t testing.TB, c Config, o Options) *Gate {
	t.Helper()
	o.Now = func() time.Time { return now }
	g, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// claimsOf is good with what differs, as client_id and jti of RFC 9068 need to be there.
func claimsOf(edit set) set {
	s := good().with("client_id", "c").with("jti", "j1")
	maps.Copy(s, edit)
	return s
}

func TestDecide(t *testing.T) {
	g := newGate(t, testConfig(t), Options{})
	for _, c := range []struct {
		name    string
		token   func() secret.Text
		request policy.Request
		status  int // 0: yes
		code    string
		scope   []string
		err     error
	}{
		{
			name: "a good token", token: func() secret.Text { return sign(t, claimsOf(nil)) },
			request: policy.Request{Service: "api", Method: "GET", Path: "/"},
		},
		{
			name: "none is a 401 without a code", token: func() secret.Text { return secret.Text{} },
			request: policy.Request{Service: "api", Method: "GET", Path: "/"}, status: 401, err: ErrNoToken,
		},
		{
			name: "expired", token: func() secret.Text { return sign(t, claimsOf(set{"exp": now.Unix() - 61, "iat": now.Unix() - 99})) },
			request: policy.Request{Service: "api", Path: "/"}, status: 401, code: InvalidToken, err: verify.ErrExpired,
		},
		{
			name:    "a stranger's issuer",
			token:   func() secret.Text { return sign(t, claimsOf(set{"iss": "https://evil.example.org"})) },
			request: policy.Request{Service: "api", Path: "/"}, status: 401, code: InvalidToken, err: verify.ErrUntrustedIssuer,
		},
		{
			name: "characters no token has", token: func() secret.Text { return secret.FromString("a b\x00c") },
			request: policy.Request{Service: "api", Path: "/"}, status: 400, code: InvalidRequest, err: jose.ErrCharacters,
		},
		{
			name: "for another service", token: func() secret.Text { return sign(t, claimsOf(nil)) },
			request: policy.Request{Service: "other", Path: "/"}, status: 401, code: InvalidToken,
		},
		{
			name:    "for the service with an audience of its own",
			token:   func() secret.Text { return sign(t, claimsOf(set{"aud": "https://other.example.org"})) },
			request: policy.Request{Service: "other", Path: "/"},
		},
		{
			name: "a scope is missing", token: func() secret.Text { return sign(t, claimsOf(nil)) },
			request: policy.Request{Service: "api", Path: "/write/f"}, status: 403, code: InsufficientScope,
			scope: []string{"write"}, err: ErrNotAllowed,
		},
		{
			name: "more than a scope is missing", token: func() secret.Text { return sign(t, claimsOf(nil)) },
			request: policy.Request{Service: "api", Path: "/bob"}, status: 403, code: InsufficientScope, err: ErrNotAllowed,
		},
		{
			name: "a service nobody knows", token: func() secret.Text { return sign(t, claimsOf(nil)) },
			request: policy.Request{Service: "nobody", Path: "/"}, status: 403, code: InsufficientScope, err: ErrNotAllowed,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := g.Decide(context.Background(), Presented{Token: c.token(), Scheme: Bearer}, c.request)
			if c.status == 0 {
				if err != nil || !out.Decision.Allowed || out.Identity.Subject != "alice" || out.Expires.IsZero() {
					t.Fatalf("got %+v, %v; want a yes", out, err)
				}
				return
			}
			var no *Refusal
			if !errors.As(err, &no) {
				t.Fatalf("got error %v, want a Refusal", err)
			}
			if no.Status != c.status || no.Code != c.code || !slices.Equal(no.Scope, c.scope) {
				t.Errorf("got %d %q %v, want %d %q %v", no.Status, no.Code, no.Scope, c.status, c.code, c.scope)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("got reason %v, want %v", err, c.err)
			}
			if out.Decision.Allowed {
				t.Error("the outcome of a refusal says allowed")
			}
			if no.Status == 403 && out.Identity.Subject != "alice" {
				t.Error("a 403 does not say who it was")
			}
			if no.Status != 403 && out.Identity.Subject != "" {
				t.Error("a refused token has an identity")
			}
		})
	}
}

func TestCheck_knows_no_policy(t *testing.T) {
	c := testConfig(t)
	c.Policy = nil
	g := newGate(t, c, Options{})
	p := Presented{Token: sign(t, claimsOf(nil))}
	if out, err := g.Check(context.Background(), p, "api"); err != nil || out.Service != "api" {
		t.Errorf("Check: %+v, %v", out, err)
	}
	_, err := g.Decide(context.Background(), p, policy.Request{Service: "api", Path: "/"})
	if no := RefusalOf(err); no == nil || no.Status != http.StatusForbidden {
		t.Errorf("Decide without a policy: %v, want 403", err)
	}
}

// TestRefusal_tells_nothing: what a client is told has no word of the token and none of who is trusted.
func TestRefusal_tells_nothing(t *testing.T) {
	g := newGate(t, testConfig(t), Options{})
	for _, token := range []secret.Text{
		sign(t, claimsOf(set{"iss": "https://evil.example.org"})),
		sign(t, claimsOf(set{"aud": "https://elsewhere.example.org"})),
		sign(t, claimsOf(set{"exp": now.Unix() - 1000, "iat": now.Unix() - 2000})),
		secret.FromString("opaque"), secret.FromString("a.b.c"),
	} {
		_, err := g.Decide(context.Background(), Presented{Token: token}, policy.Request{Service: "api", Path: "/"})
		no := RefusalOf(err)
		if no == nil {
			t.Fatal("accepted")
		}
		for _, word := range []string{"example.org", "kid", "k1", "issuer"} {
			if strings.Contains(no.Description, word) {
				t.Errorf("description %q has %q", no.Description, word)
			}
		}
		for _, c := range no.Description {
			if c < 0x20 || c == '"' || c == '\\' || c > 0x7e {
				t.Errorf("description %q has %q, which RFC 6750 does not allow", no.Description, c)
			}
		}
	}
}

// TestDecide_keys_not_at_hand: an issuer that is down is not the user's fault.
func TestDecide_keys_not_at_hand(t *testing.T) {
	c := testConfig(t)
	c.Issuers = []Issuer{{Issuer: verify.Issuer{URL: "http://127.0.0.1:1"}}}
	hc, err := httpc.New(httpc.Options{Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, c, Options{HTTP: hc})
	token := sign(t, claimsOf(set{"iss": "http://127.0.0.1:1"}))
	_, err = g.Decide(context.Background(), Presented{Token: token}, policy.Request{Service: "api", Path: "/"})
	no := RefusalOf(err)
	if no == nil || no.Status != http.StatusServiceUnavailable || no.Code != "" || no.RetryAfter < time.Second {
		t.Errorf("got %+v, want 503 with a time", no)
	}
	if no.RetryAfter%time.Second != 0 {
		t.Errorf("%v is not whole seconds", no.RetryAfter)
	}
}

func TestObserve_has_every_judgement_and_no_token(t *testing.T) {
	var events []Event
	g := newGate(t, testConfig(t), Options{Observe: func(e Event) { events = append(events, e) }})
	token := sign(t, claimsOf(nil))
	ctx, r := context.Background(), policy.Request{Service: "api", Method: "PUT", Path: "/write"}
	_, _ = g.Decide(ctx, Presented{Token: token}, r)
	_, _ = g.Check(ctx, Presented{Token: token}, "api")
	g.Refused(r, &Refusal{Status: 400, Code: InvalidRequest})
	if len(events) != 3 {
		t.Fatalf("%d events, want 3", len(events))
	}
	if e := events[0]; e.Allowed() || e.Refusal.Status != 403 || e.TokenID != token.ID() || e.Request != r {
		t.Errorf("first event %+v", e)
	}
	if e := events[1]; !e.Allowed() || e.Outcome.Identity.Claims.ID != "j1" {
		t.Errorf("second event %+v", e)
	}
	if e := events[2]; e.Allowed() || e.Refusal.Status != 400 || e.TokenID != "" {
		t.Errorf("third event %+v", e)
	}
}

func TestNew_says_all_faults(t *testing.T) {
	_, err := New(Config{
		Issuers: []Issuer{
			{Issuer: verify.Issuer{URL: "https://a.example.org"}, Check: []Mode{"sometimes"}},
			{Issuer: verify.Issuer{URL: "https://b.example.org"}, Opaque: true},
			{Issuer: verify.Issuer{URL: "https://c.example.org"}, Prefixes: []string{"c-"}},
		},
	}, Options{})
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"sometimes", "b.example.org: opaque", "c.example.org: opaque"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if _, err := New(Config{Issuers: testConfig(t).Issuers}, Options{}); !errors.Is(err, ErrConfig) ||
		!strings.Contains(err.Error(), "audience") {
		t.Errorf("without an audience: %v", err)
	}
}

func TestRefusalOf(t *testing.T) {
	if RefusalOf(nil) != nil {
		t.Error("nil became a refusal")
	}
	if r := RefusalOf(errors.New("disk on fire")); r.Status != 500 || strings.Contains(r.Description, "fire") {
		t.Errorf("got %+v", r)
	}
}

// rawKey signs what the writer of package jose does not write.
type rawKey struct {
	key  *ecdsa.PrivateKey
	keys *jose.KeySet
}

func newRawKey(t *testing.T) rawKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	set, _, err := jose.ParseKeySet(fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q}]}`,
		text(point[1:33]), text(point[33:])))
	if err != nil || set.Len() != 1 {
		t.Fatal(set.Len(), err)
	}
	return rawKey{key, set}
}

func (k rawKey) sign(t testing.TB, s set) secret.Text {
	t.Helper()
	payload, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	token := text([]byte(`{"alg":"ES256","typ":"at+jwt"}`)) + "." + text(payload)
	hash := sha256.Sum256([]byte(token))
	r, sig, err := ecdsa.Sign(rand.Reader, k.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	r.FillBytes(b[:32])
	sig.FillBytes(b[32:])
	return secret.FromString(token + "." + text(b[:]))
}

// TestDecide_bound: a token that is bound to a certificate is good with it and with nothing else.
func TestDecide_bound(t *testing.T) {
	by := newRawKey(t)
	c := testConfig(t)
	c.Issuers[0].Keys = by.keys
	g := newGate(t, c, Options{})
	certificate := []byte("DER")
	hash := sha256.Sum256(certificate)
	sign := by.sign
	token := sign(t, claimsOf(set{"cnf": set{"x5t#S256": base64.RawURLEncoding.EncodeToString(hash[:])}}))
	dpopBound := sign(t, claimsOf(set{"cnf": set{"jkt": base64.RawURLEncoding.EncodeToString(hash[:])}}))
	for _, c := range []struct {
		name  string
		shown Presented
		code  string
	}{
		{"with its certificate", Presented{Token: token, Certificate: certificate}, ""},
		{"with another", Presented{Token: token, Certificate: []byte("other")}, InvalidToken},
		{"alone", Presented{Token: token, Scheme: Bearer}, InvalidToken},
		{"bound to a key, as Bearer", Presented{Token: dpopBound, Scheme: Bearer}, InvalidToken},
		{"bound to a key, without a proof", Presented{Token: dpopBound, Scheme: DPoP}, InvalidDPoPProof},
		{"bound to nothing, as DPoP", Presented{Token: sign(t, claimsOf(nil)), Scheme: DPoP, DPoP: []string{"x"}}, InvalidToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := g.Check(context.Background(), c.shown, "")
			no := RefusalOf(err)
			if (no == nil) != (c.code == "") || no != nil && (no.Code != c.code || no.Status != 401) {
				t.Errorf("got %v, want %q", err, c.code)
			}
		})
	}
}

// TestDecide_for_anybody: a service with names of its own is not touched by AcceptAnyAudience.
func TestDecide_for_anybody(t *testing.T) {
	c := testConfig(t)
	c.Audiences, c.AcceptAnyAudience = nil, true
	g := newGate(t, c, Options{})
	p := Presented{Token: sign(t, claimsOf(set{"aud": "https://elsewhere.example.org"}))}
	if _, err := g.Check(context.Background(), p, "api"); err != nil {
		t.Errorf("api: %v", err)
	}
	if _, err := g.Check(context.Background(), p, "other"); RefusalOf(err) == nil {
		t.Error("a service with an audience of its own took a token for another")
	}
}

// TestObserve_claimed: the log is told what a refused token says of itself, in bounds, and apart from what is believed.
func TestObserve_claimed(t *testing.T) {
	var got Event
	g := newGate(t, testConfig(t), Options{Observe: func(e Event) { got = e }})
	long := strings.Repeat("x", 10_000)
	many := []string{long, "b", "c", "d", "e", "f"}
	r := policy.Request{Service: "api", Path: "/write"}
	for _, c := range []struct {
		name  string
		token secret.Text
		want  *Claimed
	}{
		{"another issuer", sign(t, claimsOf(set{"iss": testIssuer + "/"})), &Claimed{
			Issuer: testIssuer + "/", Subject: "alice", Audience: []string{testAudience}, ID: "j1", KeyID: "k1",
		}},
		{"long and many", sign(t, claimsOf(set{"sub": long, "aud": many})), &Claimed{
			Issuer: testIssuer, Subject: long[:maxClaimed], Audience: []string{long[:maxClaimed], "b", "c", "d"}, ID: "j1", KeyID: "k1",
		}},
		{"not readable", secret.FromString("eyJ.e.x"), nil},
		{"none", secret.Text{}, nil},
		{"believed and refused by the policy", sign(t, claimsOf(nil)), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := g.Decide(context.Background(), Presented{Token: c.token}, r)
			if err == nil {
				t.Fatal("accepted")
			}
			if !reflect.DeepEqual(got.Claimed, c.want) {
				t.Errorf("got %+v, want %+v", got.Claimed, c.want)
			}
			if c.want != nil && got.Outcome.Identity.Issuer != "" {
				t.Error("what is claimed is taken for believed")
			}
		})
	}
}
