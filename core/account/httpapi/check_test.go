package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// provider is an issuer that is asked about tokens.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	person  set // what userinfo says; nil: the token is revoked
	opaque  set // what introspection says
	asked   int
	offline bool
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		var answer set
		switch {
		case p.offline:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case r.URL.Path == "/.well-known/openid-configuration":
			answer = set{
				"issuer": p.URL, "jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo",
				"introspection_endpoint": p.URL + "/introspect",
			}
		case r.URL.Path == "/introspect":
			p.asked++
			answer = p.opaque
		case r.URL.Path == "/userinfo" && p.person != nil:
			p.asked++
			answer = p.person
		default:
			p.asked++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// bed makes an API whose only issuer is p, asked for userinfo.
func (p *provider) bed(t *testing.T, edit func(*gate.Issuer)) *bed {
	t.Helper()
	hc, err := httpc.New(httpc.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return newBed(t, func(o *Options, _ *provision.Options) {
		iss := gate.Issuer{
			Issuer: verify.Issuer{URL: p.URL, Keys: jose.NewKeySet(keyOf().Public())}, Check: []gate.Mode{gate.Userinfo},
			ClientID: "c", ClientSecret: secret.FromString("s"),
		}
		if edit != nil {
			edit(&iss)
		}
		g, err := gate.New(gate.Config{Issuers: []gate.Issuer{iss}, Audiences: []string{audience}},
			gate.Options{HTTP: hc, Now: o.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		o.Gate = g
		o.Issuers = []Issuer{{URL: p.URL, Audiences: []string{audience}, Users: mustPolicy(t, "IDENTIFIED")}}
	})
}

func (p *provider) token(b *bed, sub string) string { return b.sign(b.claims(sub).with("iss", p.URL)) }

// TestRevoked: a token that its owner has revoked opens nothing a minute later, nor do passwords that were made with
// it.
func TestRevoked(t *testing.T) {
	p := startProvider(t)
	p.person = set{"sub": "alice", "preferred_username": "ally"}
	b := p.bed(t, nil)
	token := p.token(b, "alice")
	if name := b.deployed(token); name != "ally" {
		t.Fatalf("the account is called %s: userinfo did not count", name)
	}
	password, _ := b.post("/user/generate_otp?form=oxp", token).object(t)["password"].(string)
	b.post("/user/generate_otp", token)
	for range 10 {
		b.wantVerified(token, "ally", "deployed", true)
	}
	if n := p.count(); n != 1 {
		t.Errorf("the issuer was asked %d times within a minute", n)
	}
	p.set(func() { p.person = nil })
	b.pass(61 * time.Second)
	for _, secret := range []string{token, password, compat(token)} {
		b.want(b.get("/verify_user?username=ally", secret), 401, unauthenticatedBody(noIdentity))
	}
	for _, path := range []string{
		"/user/get_status", "/user/deploy", "/user/suspend", "/user/generate_otp",
		"/info/authorisation",
	} {
		b.want(b.get(path, token), 401, unauthenticatedBody(noIdentity))
	}
}

// TestIssuer_down: clients are told what motley-cue tells them, the log the truth, and nothing is counted as a guess.
func TestIssuer_down(t *testing.T) {
	p := startProvider(t)
	p.person = set{"sub": "alice"}
	b := p.bed(t, nil)
	token := p.token(b, "alice")
	name := b.deployed(token)
	b.get("/user/generate_otp", token)
	p.set(func() { p.offline = true })
	b.pass(61 * time.Second)
	b.seen()
	for range 3 {
		r := b.get("/verify_user?username="+name, token)
		b.want(r, 401, unauthenticatedBody(noIssuer))
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	a := b.Login(t.Context(), login.Question{
		Phase: login.Auth, User: name,
		Secret: secret.FromString(compat(token)), Remote: "192.0.2.1",
	})
	if a.Allowed || !strings.Contains(a.Reason, "could not be asked") {
		t.Errorf("%+v", a)
	}
	for _, e := range b.seen() {
		if e.Kind != "refused" || !strings.Contains(e.Reason, "could not be asked") {
			t.Errorf("%+v", e)
		}
	}
	p.set(func() { p.offline = false })
	b.pass(5 * time.Minute)
	a = b.Login(t.Context(), login.Question{
		Phase: login.Auth, User: name,
		Secret: secret.FromString(compat(token)), Remote: "192.0.2.1",
	})
	if !a.Allowed {
		t.Errorf("afterwards, with the password that was not burnt: %+v", a)
	}
}

// TestOpaque: a token that only its issuer can read.
func TestOpaque(t *testing.T) {
	p := startProvider(t)
	b := p.bed(t, func(i *gate.Issuer) { i.Check, i.Opaque = []gate.Mode{gate.Introspection}, true })
	p.set(func() {
		p.opaque = set{
			"active": true, "sub": "alice", "iss": p.URL, "aud": audience, "exp": b.clock().Unix() + 600,
			"token_type": "Bearer", "given_name": "Alice",
		}
	})
	name := b.deployed("opaque-token")
	b.wantVerified("opaque-token", name, "deployed", true)
	b.get("/user/generate_otp", "opaque-token")
	b.wantVerified(compat("opaque-token"), name, "deployed", true)
	p.set(func() { p.opaque = set{"active": false} })
	b.want(b.get("/user/get_status", "another-token"), 401, unauthenticatedBody(noIdentity))
	p.set(func() {
		p.opaque = set{
			"active": true, "sub": "alice", "iss": p.URL, "aud": "https://elsewhere",
			"exp": b.clock().Unix() + 600, "token_type": "Bearer", "given_name": "Alice",
		}
	})
	if r := b.get("/user/get_status", "third-token"); r.status != 403 || !strings.Contains(r.body, "Forbidden") {
		t.Errorf("a token for somebody else: %d %s", r.status, r.body)
	}
}

// TestCrowd: more people at once than the issuer may be asked about wait for their turn.
func TestCrowd(t *testing.T) {
	p := startProvider(t)
	p.person = set{"sub": "alice"}
	b := p.bed(t, func(i *gate.Issuer) { i.Rate = 20 })
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { // the bed's clock goes with the real one
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				b.pass(10 * time.Millisecond)
			}
		}
	})
	var all sync.WaitGroup
	for i := range 70 { // 40 may be asked about at once
		token := b.sign(b.claims("alice").with("iss", p.URL).with("jti", strconv.Itoa(i)))
		all.Go(func() {
			if _, err := b.Judge(t.Context(), secret.FromString(token)); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	all.Wait()
	close(stop)
	ticking.Wait()
	if n := p.count(); n != 70 {
		t.Errorf("the issuer was asked %d times", n)
	}
}
