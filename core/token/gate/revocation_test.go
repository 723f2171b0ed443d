package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	home = "https://api.example.org" // our audience
	vo   = "urn:geant:example.org:group:cms"
)

// op is a provider on a loopback port that knows which tokens it has made.
type op struct {
	url, addr string
	now       func() time.Time
	server    *httptest.Server

	mu      sync.Mutex
	keys    []*jose.PrivateKey // published
	maxAge  string
	known   map[string]bool // tokens it made and did not revoke
	closed  bool            // the account
	members bool            // of the VO
	fetched int             // how often its keys were
}

func newOP(t *testing.T, now func() time.Time) *op {
	o := &op{now: now, known: map[string]bool{}, members: true, keys: []*jose.PrivateKey{newKey(t, "k1")}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = ln.Addr().String()
	o.url = "http://" + o.addr
	o.serve(ln)
	t.Cleanup(func() { o.server.Close() })
	return o
}

func newKey(t *testing.T, id string) *jose.PrivateKey {
	t.Helper()
	k, err := jose.GenerateKey(jose.ES256, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (o *op) serve(ln net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": o.url, "jwks_uri": o.url + "/keys",
			"introspection_endpoint": o.url + "/introspect", "userinfo_endpoint": o.url + "/userinfo",
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.fetched++
		var public []*jose.PublicKey
		for _, k := range o.keys {
			public = append(public, k.Public())
		}
		w.Header().Set("Cache-Control", o.maxAge)
		_ = json.NewEncoder(w).Encode(jose.NewKeySet(public...))
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"active": false}
		if o.knows(r.PostFormValue("token")) {
			answer = o.person()
			answer["active"] = true
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if !o.knows(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(o.person())
	})
	o.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: mux}}
	o.server.Start()
}

func (o *op) knows(token string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[token] && !o.closed
}

func (o *op) person() map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	groups := []string{}
	if o.members {
		groups = append(groups, vo)
	}
	return map[string]any{"sub": "alice", "entitlements": groups}
}

// token is one that lives for life; claims are added. One that the provider did not make is forged with its key.
func (o *op) token(t *testing.T, life time.Duration, made bool, claims map[string]any) secret.Text {
	t.Helper()
	all := map[string]any{
		"iss": o.url, "sub": "alice", "aud": home, "iat": o.now().Unix(), "exp": o.now().Add(life).Unix(),
		"jti": "1", "client_id": "c",
	}
	for name, v := range claims {
		all[name] = v
	}
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	token, err := o.keys[0].Sign("at+jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	o.known[token.Expose()] = made
	return token
}

func (o *op) change(edit func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	edit()
}

// down ends the server and all its connections: nobody listens any more.
func (o *op) down() { o.server.Close() }

func (o *op) up(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	o.serve(ln)
}

// site is a gate that trusts the provider, at a time of its own.
type site struct {
	*op
	gate *gate.Gate
	keys *provider.Keys

	mu    sync.Mutex
	clock time.Time
}

func (s *site) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

func newSite(t *testing.T, mode gate.Mode, rule string) *site {
	t.Helper()
	s := &site{clock: time.Unix(1_800_000_000, 0)}
	s.op = newOP(t, s.time)
	s.start(t, mode, rule, nil)
	return s
}

// start makes the gate, as a daemon that begins.
func (s *site) start(t *testing.T, mode gate.Mode, rule string, dir *provider.Dir) {
	t.Helper()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("policy.yaml", []byte(fmt.Sprintf(
		"{version: 1, issuers: {%q: {namespaces: [%q]}}, require: %s}", s.url, "urn:geant:example.org", rule)))
	if err != nil {
		t.Fatal(err)
	}
	c := gate.Config{Audiences: []string{home}, Policy: p, Issuers: []gate.Issuer{{
		Issuer: verify.Issuer{URL: s.url}, Check: []gate.Mode{mode}, Opaque: mode == gate.Introspection,
		ClientID: "c", ClientSecret: secret.FromString("s"),
	}}}
	s.keys = provider.NewKeys(hc, provider.KeysOptions{Now: s.time, Dir: dir})
	s.keys.Trust(c.Trusted())
	if s.gate, err = gate.New(c, gate.Options{HTTP: hc, Keys: s.keys, Now: s.time}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.gate.Close(); s.keys.Close(); hc.CloseIdle() })
}

// ask returns the status a service would answer with.
func (s *site) ask(t *testing.T, token secret.Text) int {
	t.Helper()
	_, err := s.gate.Decide(t.Context(), gate.Presented{Token: token, Scheme: gate.Bearer}, policy.Request{Method: "GET"})
	var no *gate.Refusal
	switch {
	case err == nil:
		return http.StatusOK
	case !errors.As(err, &no):
		t.Fatalf("not a refusal: %v", err)
	case no.Status == http.StatusServiceUnavailable && no.RetryAfter <= 0:
		t.Errorf("503 without Retry-After: %v", no)
	}
	return no.Status
}

// settle waits for a refresh that is under way.
func (s *site) settle(t *testing.T, fetchedAfter time.Time) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.keys.Status()[0].Fetched.After(fetchedAfter) {
			return
		}
	}
	t.Fatal("no refresh within 20 s")
}

// cell is one of the table in docs/revocation.md.
type cell struct {
	says   string
	late   time.Duration // until then accepted; 0: refused at once
	status int           // from then on
}

// row is an event, with a cell for each mode.
type row struct {
	what   string
	rule   string         // of the policy
	claims map[string]any // of the token
	life   time.Duration  // of the token
	forged bool           // the token is made with the stolen key, unknown to the issuer
	maxAge string
	event  func(*testing.T, *site)
	cells  map[gate.Mode]cell
}

const (
	cache    = time.Minute
	lifetime = 90 * time.Minute
	skew     = verify.DefaultSkew
)

func table() []row {
	atExpiry := cell{"when it expires", lifetime + skew, 401}
	minute := cell{"after 1 minute", cache, 401}
	atOnce := cell{"at once", 0, 401}
	lost := func(late time.Duration, says string) cell { return cell{says + ", then 503", late, 503} }
	withdraw := func(t *testing.T, s *site) {
		k := newKey(t, "k2")
		s.change(func() { s.op.keys = []*jose.PrivateKey{k} })
	}
	cells := func(offline, userinfo, introspection cell) map[gate.Mode]cell {
		return map[gate.Mode]cell{gate.Offline: offline, gate.Userinfo: userinfo, gate.Introspection: introspection}
	}
	return []row{
		{
			what: "a token is revoked", rule: "ANYONE", life: lifetime,
			event: func(_ *testing.T, s *site) { s.change(func() { clear(s.known) }) },
			cells: cells(atExpiry, minute, minute),
		},
		{
			what: "an account is closed", rule: "ANYONE", life: lifetime,
			event: func(_ *testing.T, s *site) { s.change(func() { s.closed = true }) },
			cells: cells(cell{"when its tokens expire", lifetime + skew, 401}, minute, minute),
		},
		{
			what: "somebody leaves a VO that stands in the token", life: lifetime,
			rule: "{vo: {required: /cms, claim: wlcg.groups}}",
			// The issuer's answers do not speak of wlcg.groups; if they did, the token would win.
			claims: map[string]any{"wlcg.groups": []string{"/cms"}},
			event:  func(_ *testing.T, s *site) { s.change(func() { s.members = false }) },
			cells:  cells(atExpiry, atExpiry, atExpiry),
		},
		{
			what: "somebody leaves a VO that the issuer's answer names", life: lifetime,
			rule:  "{vo: {required: \"" + vo + "\"}}",
			event: func(_ *testing.T, s *site) { s.change(func() { s.members = false }) },
			cells: cells(cell{"never asked", 0, 403}, cell{"after 1 minute", cache, 403}, cell{"after 1 minute", cache, 403}),
		},
		{
			what: "a key is stolen, and the issuer withdraws it", rule: "ANYONE", life: 30 * 24 * time.Hour, forged: true,
			event: withdraw,
			cells: cells(cell{"at the next refresh: after 1 hour", provider.MinRefresh, 401}, atOnce, atOnce),
		},
		{
			what: "the same, and the issuer lets keys be kept for a day", rule: "ANYONE", life: 30 * 24 * time.Hour,
			forged: true, maxAge: "max-age=86400", event: withdraw,
			cells: cells(cell{"at the next refresh: after 6 hours", provider.MaxRefresh, 401}, atOnce, atOnce),
		},
		{
			what: "the same, and somebody says `issuers drop`", rule: "ANYONE", life: 30 * 24 * time.Hour, forged: true,
			event: func(t *testing.T, s *site) {
				withdraw(t, s)
				if err := s.keys.Drop(t.Context(), s.url); err != nil {
					t.Error(err)
				}
			},
			cells: cells(atOnce, atOnce, atOnce),
		},
		{
			what: "a key is stolen, and the issuer cannot be reached", rule: "ANYONE", life: 30 * 24 * time.Hour, forged: true,
			event: func(_ *testing.T, s *site) { s.down() },
			cells: cells(lost(provider.DefaultExpiry, "after 2 days"), cell{"at once, with 503", 0, 503},
				cell{"at once, with 503", 0, 503}),
		},
		{
			what: "the issuer cannot be reached", rule: "ANYONE", life: 30 * 24 * time.Hour,
			event: func(_ *testing.T, s *site) { s.down() },
			cells: cells(lost(provider.DefaultExpiry, "after 2 days"), lost(cache, "after 1 minute"),
				lost(cache, "after 1 minute")),
		},
	}
}

// TestRevocation shows each cell: the token is accepted until a second before, and refused from then on.
func TestRevocation(t *testing.T) {
	for _, r := range table() {
		for _, mode := range gate.Modes() {
			t.Run(strings.NewReplacer(" ", "_", ",", "", "`", "").Replace(r.what)+"/"+string(mode), func(t *testing.T) {
				r.show(t, mode)
			})
		}
	}
}

func (r row) show(t *testing.T, mode gate.Mode) {
	c := r.cells[mode]
	s := newSite(t, mode, r.rule)
	s.maxAge = r.maxAge
	token := s.token(t, r.life, !r.forged || mode == gate.Offline, r.claims)
	if r.forged && mode == gate.Offline || !r.forged && c.late > 0 {
		if got := s.ask(t, token); got != http.StatusOK {
			t.Fatalf("status %d before it happened", got)
		}
	}
	begin := s.time()
	r.event(t, s)
	s.live(t, token, begin.Add(c.late-time.Second))
	if c.late > 0 {
		s.pass(begin.Add(c.late).Sub(s.time()))
	}
	if mode == gate.Offline && r.forged && c.late > 0 && c.status != http.StatusServiceUnavailable {
		s.ask(t, token) // begins the refresh that is due, and does not wait for it
		s.settle(t, begin)
	}
	for _, later := range []time.Duration{0, time.Second, time.Hour} {
		s.pass(later)
		if got := s.ask(t, token); got != c.status {
			t.Errorf("status %d %v after it happened, want %d", got, s.time().Sub(begin), c.status)
		}
	}
}

// live is a service with a request now and then, all of them accepted, until the time has come.
func (s *site) live(t *testing.T, token secret.Text, until time.Time) {
	t.Helper()
	step := max(until.Sub(s.time())/50, time.Second)
	for begin := s.time(); s.time().Before(until); s.pass(min(step, until.Sub(s.time()))) {
		if got := s.ask(t, token); got != http.StatusOK {
			t.Fatalf("status %d after %v", got, s.time().Sub(begin))
		}
	}
}

// TestRevocationTable holds the table in the documentation to what the test shows, both ways.
func TestRevocationTable(t *testing.T) {
	b, err := os.ReadFile("../../../docs/revocation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "| what happens |")
	if !ok {
		t.Fatal("there is no table")
	}
	lines := strings.Split(rest, "\n")[2:]
	rows := table()
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") {
			if i != len(rows) {
				t.Errorf("the table has %d rows, the test %d", i, len(rows))
			}
			break
		}
		if i == len(rows) {
			t.Fatalf("nothing shows %q", line)
		}
		r := rows[i]
		want := []string{r.what, r.cells[gate.Offline].says, r.cells[gate.Userinfo].says, r.cells[gate.Introspection].says}
		if got := "| " + strings.Join(want, " | ") + " |"; line != got {
			t.Errorf("the document says\n%s\nthe test shows\n%s", line, got)
		}
	}
}
