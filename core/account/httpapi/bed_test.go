package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/dryrun"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const (
	opURL    = "https://op.example.org/oauth2"
	otherURL = "https://other.example.org/"
	quietURL = "https://quiet.example.org"
	audience = "https://login.example.org"
	memberOf = "urn:geant:example.org:group:users"
)

var keyOf = sync.OnceValue(func() *jose.PrivateKey {
	k, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		panic(err)
	}
	return k
})

type set map[string]any

func (s set) with(name string, value any) set {
	c := maps.Clone(s)
	if value == nil {
		delete(c, name)
		return c
	}
	c[name] = value
	return c
}

// bed is an API over a real desk, with accounts that are in memory alone.
type bed struct {
	*API
	t      testing.TB
	desk   *provision.Desk
	system *dryrun.System
	book   *otp.Book
	url    string
	mu     sync.Mutex
	events []Event
	jobs   []string
	now    time.Time
}

func (b *bed) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// seen returns and forgets what the audit was told.
func (b *bed) seen() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.events
	b.events = nil
	return out
}

func mustPolicy(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte("{version: 1, require: "+text+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func issuersOf(t testing.TB) []Issuer {
	return []Issuer{
		{
			URL: opURL, Scopes: []string{"openid", "profile"}, Audiences: []string{audience},
			Users:  mustPolicy(t, `{vo: {required: "`+memberOf+`", issuer: "`+opURL+`"}}`),
			Admins: mustPolicy(t, `{subject: {issuer: "`+opURL+`", sub: [officer]}}`), VOs: []string{memberOf},
		},
		{
			URL: otherURL, Scopes: []string{"openid"}, Audiences: []string{audience, "second"}, Users: mustPolicy(t, "ANYONE"),
			Admins: mustPolicy(t, `{subject: {issuer: "`+otherURL+`", sub: [chief]}}`), AdminsForAll: true, Everybody: true,
		},
		{URL: quietURL, Audiences: []string{audience}},
	}
}

type edit func(*Options, *provision.Options)

func newBed(t testing.TB, edits ...edit) *bed {
	t.Helper()
	return newBedOn(t, memstore.New(), edits...)
}

func newBedOn(t testing.TB, engine store.Engine, edits ...edit) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Now().Round(time.Second), system: dryrun.New(dryrun.Options{})}
	keys := jose.NewKeySet(keyOf().Public())
	c := gate.Config{AcceptAnyAudience: false, Audiences: []string{audience}, Services: map[string]gate.Service{}}
	o := Options{Issuers: issuersOf(t), HostKeys: func() []string { return []string{"ssh-ed25519 AAAAC3Nz"} }}
	for _, iss := range o.Issuers {
		c.Issuers = append(c.Issuers, gate.Issuer{Issuer: verify.Issuer{URL: iss.URL, Keys: keys}})
		c.Services[iss.URL] = gate.Service{Audiences: iss.Audiences}
	}
	g, err := gate.New(c, gate.Options{Now: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	b.book = otp.New(engine, otp.Options{Now: b.clock})
	any, err := assurance.Parse("*")
	if err != nil {
		t.Fatal(err)
	}
	po := provision.Options{
		Store: engine, System: b.system, OTP: b.book, Now: b.clock, Fresh: -1,
		Rules:     provision.Rules{Primary: "federated", Default: provision.IssuerRules{Assurance: any}},
		LoginInfo: provision.LoginInfo{Description: "Test", LoginHelp: "ask", SSHHost: "login.example.org"},
	}
	o.Login, o.Gate, o.Book, o.Now, o.Release = po.LoginInfo, g, b.book, b.clock, "0.0"
	o.Audit = func(_ context.Context, e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	o.Work = func(job string) { b.jobs = append(b.jobs, job) }
	o.Limiter = NewLimiter(Rates{Guesses: Rate{10_000, time.Minute}, Changes: Rate{10_000, time.Minute}}, b.clock)
	for _, edit := range edits {
		edit(&o, &po)
	}
	if b.desk, err = provision.New(po); err != nil {
		t.Fatal(err)
	}
	if o.Desk == nil {
		o.Desk, o.Officer = b.desk, b.desk
	}
	if b.API, err = New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// claims are those of somebody who may have an account.
func (b *bed) claims(sub string) set {
	now := b.clock()
	return set{
		"iss": opURL, "sub": sub, "aud": audience, "exp": now.Unix() + 600, "iat": now.Unix(), "preferred_username": sub,
		"eduperson_entitlement": []string{memberOf},
	}
}

func (b *bed) sign(s set) string {
	b.t.Helper()
	payload, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := keyOf().Sign("JWT", payload)
	if err != nil {
		b.t.Fatal(err)
	}
	return token.Expose()
}

func (b *bed) user(sub string) string { return b.sign(b.claims(sub)) }

func (b *bed) chief() string { return b.sign(b.claims("chief").with("iss", otherURL)) }

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// object reads the body of a reply.
func (r reply) object(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return out
}

// send sends a request with a token, "" for none.
func (b *bed) send(method, path, token string, form ...string) reply {
	b.t.Helper()
	var body io.Reader
	if len(form) > 0 {
		values := url.Values{}
		for i := 0; i+1 < len(form); i += 2 {
			values.Add(form[i], form[i+1])
		}
		body = strings.NewReader(values.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(r)
}

func (b *bed) do(r *http.Request) reply {
	b.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

func (b *bed) get(path, token string) reply { return b.send(http.MethodGet, path, token) }

func (b *bed) post(path, token string, form ...string) reply {
	return b.send(http.MethodPost, path, token, form...)
}

// want compares an answer byte for byte.
func (b *bed) want(r reply, status int, body string) {
	b.t.Helper()
	if r.status != status || r.body != body {
		b.t.Errorf("got  %d %s\nwant %d %s", r.status, r.body, status, body)
	}
}

// deployed makes an account and returns its local name.
func (b *bed) deployed(token string) string {
	b.t.Helper()
	r := b.get("/user/deploy", token)
	credentials, _ := r.object(b.t)["credentials"].(map[string]any)
	name, _ := credentials["ssh_user"].(string)
	if r.status != http.StatusOK || name == "" {
		b.t.Fatalf("deploy: %d %s, audit %+v", r.status, r.body, b.seen())
	}
	return name
}

func (b *bed) wantVerified(secret, username string, state string, verified bool) {
	b.t.Helper()
	body := `{"state":"` + state + `","verified":false}`
	if verified {
		body = strings.Replace(body, "false", "true", 1)
	}
	b.want(b.get("/verify_user?username="+url.QueryEscape(username), secret), http.StatusOK, body)
}

func identity(t testing.TB, sub, iss string) string {
	t.Helper()
	id, err := names.Encode(sub, iss)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func compat(token string) string { return otp.CompatSecret(secret.FromString(token)).Expose() }

func kinds(events []Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Kind)
	}
	slices.Sort(out)
	return out
}

func offBook() *otp.Book { return otp.New(memstore.New(), otp.Options{Off: true}) }
