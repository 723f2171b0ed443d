package gate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// issuer is one that answers questions about tokens as a test wants.
type issuer struct {
	*httptest.Server
	mu       sync.Mutex
	active   set // introspection of any token
	userinfo set // nil: 401
	asked    int
}

func startIssuer(t *testing.T) *issuer {
	i := &issuer{active: set{"active": false}}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		answer := set{}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			answer = set{
				"issuer": i.URL, "introspection_endpoint": i.URL + "/introspect", "userinfo_endpoint": i.URL + "/userinfo",
				"jwks_uri": i.URL + "/keys",
			}
		case "/introspect":
			i.asked++
			answer = i.active
		case "/userinfo":
			i.asked++
			if answer = i.userinfo; answer == nil {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		case "/keys":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) says(active, userinfo set) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active, i.userinfo = active, userinfo
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *issuer) gate(t *testing.T, edit func(*Issuer)) *Gate {
	t.Helper()
	hc, err := httpc.New(httpc.Options{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	iss := Issuer{
		Issuer: verify.Issuer{URL: i.URL, Keys: jose.NewKeySet(testKey().Public())},
		Check:  []Mode{Introspection}, ClientID: "c", ClientSecret: secret.FromString("s"),
	}
	edit(&iss)
	c.Issuers = append(c.Issuers, iss)
	c.Policy = mustPolicy(t, "{version: 1, require: {claim: {claim: group, required: staff}}}")
	return newGate(t, c, Options{HTTP: hc})
}

func TestDecide_asks_the_issuer(t *testing.T) {
	ask := policy.Request{Method: "GET", Path: "/"}
	for _, c := range []struct {
		name             string
		active, userinfo set
		edit             func(*Issuer)
		status           int
		err              error
	}{
		{
			name:   "introspection says active, and its claims count",
			active: set{"active": true, "group": "staff"}, edit: func(*Issuer) {},
		},
		{
			name: "introspection says inactive", active: set{"active": false}, edit: func(*Issuer) {},
			status: 401, err: remote.ErrInactive,
		},
		{
			name: "userinfo counts", userinfo: set{"sub": "alice", "group": "staff"},
			edit: func(i *Issuer) { i.Check = []Mode{Userinfo} },
		},
		{
			name: "userinfo refuses the token", edit: func(i *Issuer) { i.Check = []Mode{Userinfo} },
			status: 401, err: remote.ErrInactive,
		},
		{
			name: "userinfo of somebody else", userinfo: set{"sub": "bob", "group": "staff"},
			edit: func(i *Issuer) { i.Check = []Mode{Userinfo} }, status: 401, err: remote.ErrContradiction,
		},
		{
			name: "active and no member", active: set{"active": true}, edit: func(*Issuer) {}, status: 403, err: ErrNotAllowed,
		},
		{
			name:   "an answer without sense is no fault of the bearer",
			active: set{"active": "yes"}, edit: func(*Issuer) {}, status: 503, err: remote.ErrUnavailable,
		},
		{
			name: "offline asks nobody", active: set{"active": false}, edit: func(i *Issuer) { i.Check = nil },
			status: 403, err: ErrNotAllowed,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := startIssuer(t)
			i.says(c.active, c.userinfo)
			g := i.gate(t, c.edit)
			_, err := g.Decide(context.Background(), Presented{Token: sign(t, claimsOf(set{"iss": i.URL}))}, ask)
			wantRefusal(t, err, c.status, c.err)
			if i.count() > 0 == (c.name == "offline asks nobody") {
				t.Errorf("the issuer was asked %d times", i.count())
			}
		})
	}
}

func wantRefusal(t *testing.T, err error, status int, reason error) {
	t.Helper()
	switch no := RefusalOf(err); {
	case status == 0 && no != nil:
		t.Errorf("refused: %v", no)
	case status != 0 && no == nil:
		t.Errorf("accepted, want %d", status)
	case status != 0 && (no.Status != status || !errors.Is(err, reason)):
		t.Errorf("got %d (%v), want %d (%v)", no.Status, no, status, reason)
	case status == 503 && no.RetryAfter < time.Second:
		t.Errorf("503 with Retry-After %v", no.RetryAfter)
	}
}

func TestDecide_opaque(t *testing.T) {
	token := Presented{Token: secret.FromString("opq-0123456789abcdef")}
	good := set{"active": true, "token_type": "Bearer", "sub": "alice", "aud": testAudience, "group": "staff", "exp": now.Unix() + 60}
	with := func(name string, value any) set { return good.with(name, value) }
	opaque := func(i *Issuer) { i.Opaque = true }
	for _, c := range []struct {
		name   string
		shown  Presented
		active set
		edit   func(*Issuer)
		status int
		asked  bool
	}{
		{"active and for us", token, good, opaque, 0, true},
		{"by its prefix alone", token, good, func(i *Issuer) { i.Prefixes = []string{"opq-"} }, 0, true},
		{"for somebody else", token, with("aud", "https://elsewhere.example.org"), opaque, 401, true},
		{"for nobody", token, with("aud", nil), opaque, 401, true},
		{"for nobody, where that is taken", token, with("aud", nil), func(i *Issuer) { i.Opaque, i.OpaqueAnyAudience = true, true }, 0, true},
		{"for somebody else all the same", token, with("aud", "x"), func(i *Issuer) { i.Opaque, i.OpaqueAnyAudience = true, true }, 401, true},
		{"expired", token, with("exp", now.Unix()-1), opaque, 401, true},
		{"inactive", token, set{"active": false}, opaque, 401, true},
		{"bound to a key", token, with("cnf", set{"jkt": "x"}), opaque, 401, true},
		{"with DPoP and bound to nothing", Presented{Token: token.Token, Scheme: DPoP}, good, opaque, 401, true},
		{"of an issuer without opaque tokens", token, good, func(*Issuer) {}, 401, false},
		{"a hint at a stranger", Presented{Token: token.Token, Issuer: "https://evil.example.org"}, good, opaque, 401, false},
		{"a JWT of a stranger", Presented{Token: sign(t, claimsOf(set{"iss": "https://evil.example.org"}))}, good, opaque, 401, false},
		{"an unsigned JWT", Presented{Token: secret.FromString("eyJhbGciOiJub25lIn0.e30.")}, good, opaque, 401, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := startIssuer(t)
			i.says(c.active, nil)
			g := i.gate(t, c.edit)
			out, err := g.Decide(context.Background(), c.shown, policy.Request{Method: "GET", Path: "/"})
			if c.status != 0 {
				if no := RefusalOf(err); no == nil || no.Status != c.status || no.Code != InvalidToken {
					t.Errorf("got %v, want %d", err, c.status)
				}
			} else if err != nil || !out.Opaque || out.Identity.Subject != "alice" || out.Identity.Issuer != i.URL ||
				!out.Expires.Equal(now.Add(time.Minute)) {
				t.Errorf("got %+v, %v", out, err)
			}
			if i.count() > 0 != c.asked {
				t.Errorf("the issuer was asked %d times, want %v", i.count(), c.asked)
			}
		})
	}
}
