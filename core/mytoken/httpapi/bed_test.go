package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

const provIssuer = "https://op.example.org"

// clock can be moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) move(d time.Duration) { c.ahead.Add(int64(d)) }

// op is a provider: everybody is alice, and each call gives another access token.
type op struct {
	mu      sync.Mutex
	subject string
	calls   int
	err     error
	revoked []string
	// approved says that the person has typed the code of a device.
	approved atomic.Bool
}

func (o *op) Info() desk.ProviderInfo {
	return desk.ProviderInfo{Issuer: provIssuer, Name: "op", Scopes: []string{"openid", "profile", "storage.read:/"}}
}

func (o *op) Accepts(mytoken.Restrictions) error { return nil }

func (o *op) Provider(issuer string) (desk.Provider, bool) {
	return o, mytoken.SameIssuer(issuer, provIssuer)
}

func (o *op) Providers() []desk.ProviderInfo { return []desk.ProviderInfo{o.Info()} }

func (o *op) Start(_ context.Context, s desk.Start) (string, error) {
	return provIssuer + "/authorize?" + url.Values{"state": {s.State.Expose()}}.Encode(), nil
}

func (o *op) Finish(_ context.Context, f desk.Finish) (desk.Authenticated, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.Query.Get("error") != "" {
		return desk.Authenticated{}, &flow.Error{
			Op: "login", Issuer: provIssuer, Code: f.Query.Get("error"),
			Description: "no",
		}
	}
	return desk.Authenticated{
		Refresh: secret.FromString("refresh-token-of-" + o.subject + "-0123456789"), Subject: o.subject,
	}, nil
}

func (o *op) StartDevice(context.Context, desk.Start) (desk.Device, error) {
	return desk.Device{
		Code:       secret.FromString("the-device-code-0123456789"),
		DeviceInfo: desk.DeviceInfo{UserCode: "ABCD-EFGH", URI: provIssuer + "/device"},
	}, nil
}

func (o *op) PollDevice(ctx context.Context, d desk.Device, _ desk.Origin) (desk.Authenticated, error) {
	if d.Code.Expose() != "the-device-code-0123456789" {
		return desk.Authenticated{}, flow.ErrExpiredCode
	}
	if !o.approved.Load() {
		return desk.Authenticated{}, desk.ErrPending
	}
	return o.Finish(ctx, desk.Finish{})
}

func (o *op) Ask(c rules.Candidate) (flow.Request, error) {
	return flow.Request{Scope: c.Scopes, Audience: c.Audience}, nil
}

func (o *op) Refresh(_ context.Context, _ secret.Text, r flow.Request) (flow.Tokens, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	if o.err != nil {
		return flow.Tokens{}, o.err
	}
	return flow.Tokens{
		Access: secret.FromString(fmt.Sprintf("access-%d", o.calls)), Type: "Bearer", Scope: strings.Join(r.Scope, " "),
		Expires: time.Now().Add(time.Hour),
	}, nil
}

func (o *op) Check(c rules.Candidate, _ flow.Tokens) (rules.Granted, error) {
	return rules.Granted{Scopes: c.Scopes, Audience: c.Audience}, nil
}

func (o *op) Revoke(_ context.Context, rt secret.Text) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.revoked = append(o.revoked, rt.Expose())
	return nil
}

// bed is a mytoken server on loopback.
type bed struct {
	t      testing.TB
	url    string
	api    *API
	desk   *desk.Desk
	ledger *ledger.Ledger
	op     *op
	clock  *clock
	log    *bytes.Buffer
	gate   *Gate
	hc     *http.Client
}

type change func(*desk.Options, *Options)

func allFeatures() Features {
	return Features{
		Features:   desk.Features{Polling: true, Web: true, Subtokens: true, Transfer: true, Short: true},
		Introspect: true, History: true, Tree: true, List: true, Revocation: true, Templates: true,
	}
}

func start(t testing.TB, changes ...change) *bed {
	t.Helper()
	b := &bed{t: t, op: &op{subject: "alice"}, clock: &clock{}, log: new(bytes.Buffer)}
	srv := httptest.NewUnstartedServer(nil)
	b.url = "http://" + srv.Listener.Addr().String()
	key, err := jose.GenerateKey(jose.ES384, "")
	must(t, err)
	minter, err := mint.New(b.url, key)
	must(t, err)
	keys := jose.NewKeySet(key.Public())
	b.ledger = ledger.New(sealed.New(memstore.New(), newSealer(t)), ledger.Options{
		Minter: minter, Verify: mint.NewChecker(b.url, keys).Genuine, Now: b.clock.now,
	})
	t.Cleanup(func() { must(t, b.ledger.Close(context.Background())) })
	proofs, err := dpop.New(dpop.Options{})
	must(t, err)
	do := desk.Options{
		Issuer: b.url, Ledger: b.ledger, Minter: minter, Upstream: b.op, Features: allFeatures().Features, Now: b.clock.now,
		DPoP: proofs,
	}
	log := &lockedWriter{w: b.log}
	ho := Options{
		Issuer: b.url, Keys: func() *jose.KeySet { return keys }, Alg: jose.ES384, Features: allFeatures(), Version: "1.2.3",
		Now: b.clock.now, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), DPoP: true,
		Gate: NewGate(Limits{}, b.clock.now),
	}
	for _, c := range changes {
		c(&do, &ho)
	}
	b.gate = ho.Gate
	b.desk, err = desk.New(do)
	must(t, err)
	ho.Desk = b.desk
	b.api, err = New(ho)
	must(t, err)
	srv.Config.Handler = b.api.Handler()
	srv.Start()
	t.Cleanup(srv.Close)
	b.hc = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return b
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func newSealer(t testing.TB) store.Sealer {
	t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	must(t, err)
	t.Cleanup(v.Close)
	s, err := v.Sealer(secret.New(make([]byte, 32)))
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// obj is the body as JSON.
func (r reply) obj(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("status %d: body %q is no JSON object: %v", r.status, r.body, err)
	}
	return m
}

func (r reply) members(t testing.TB) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.body))
	var names []string
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		must(t, err)
		var skip json.RawMessage
		must(t, d.Decode(&skip))
		names = append(names, name.(string))
	}
	return strings.Join(names, " ")
}

// send makes a request with a body and headers.
func (b *bed) send(method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	must(b.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := b.hc.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(b.t, err)
	return reply{resp.StatusCode, resp.Header, string(raw)}
}

func (b *bed) post(path string, body any, headers ...string) reply {
	b.t.Helper()
	text, ok := body.(string)
	if !ok {
		raw, err := json.Marshal(body)
		must(b.t, err)
		text = string(raw)
	}
	return b.send(http.MethodPost, path, text, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (b *bed) form(path string, form url.Values, headers ...string) reply {
	b.t.Helper()
	return b.send(http.MethodPost, path, form.Encode(),
		append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

type m = map[string]any

// login gets a mytoken over the wire: begun, agreed to, landed, polled.
func (b *bed) login(request m) m {
	b.t.Helper()
	q := m{"grant_type": "oidc_flow", "oidc_flow": "authorization_code", "oidc_issuer": provIssuer}
	maps.Copy(q, request)
	begun := b.want(http.StatusOK, b.post(pathMytoken, q)).obj(b.t)
	b.consent(begun["consent_uri"].(string), q)
	return b.want(http.StatusOK, b.post(pathMytoken, m{
		"grant_type": "polling_code", "polling_code": begun["polling_code"],
	})).obj(b.t)
}

// consent agrees to a request and logs in.
func (b *bed) consent(uri string, q m) reply {
	b.t.Helper()
	capabilities := q["capabilities"]
	if capabilities == nil {
		capabilities = rules.DefaultCapabilities()
	}
	terms := m{
		"oidc_issuer": provIssuer, "restrictions": q["restrictions"], "capabilities": capabilities, "name": q["name"],
		"rotation": q["rotation"],
	}
	r := b.want(StatusForward, b.post(strings.TrimPrefix(uri, b.url), terms))
	return b.land(r, "code=abc")
}

// land comes back from the provider in the browser that agreed.
func (b *bed) land(agreed reply, query string) reply {
	b.t.Helper()
	to, err := url.Parse(agreed.obj(b.t)["authorization_uri"].(string))
	must(b.t, err)
	cookies := (&http.Response{Header: agreed.header}).Cookies()
	var headers []string
	for _, k := range cookies {
		headers = append(headers, "Cookie", k.Name+"="+k.Value)
	}
	return b.send(http.MethodGet, pathRedirect+"?state="+to.Query().Get("state")+"&"+query, "", headers...)
}

func (b *bed) want(status int, r reply) reply {
	b.t.Helper()
	if r.status != status {
		b.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// refused checks an error answer.
func (b *bed) refused(r reply, status int, code, description string) {
	b.t.Helper()
	want := m{"error": code}
	if description != "" {
		want["error_description"] = description
	}
	if description == "*" { // whatever it says
		want["error_description"] = r.obj(b.t)["error_description"]
	}
	if got := r.obj(b.t); r.status != status || fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("got %d %v, want %d %v", r.status, got, status, want)
	}
}

// token is a mytoken of alice with these capabilities, all of them when there is none.
func (b *bed) token(request m, capabilities ...string) string {
	b.t.Helper()
	if len(capabilities) == 0 {
		capabilities = all()
	}
	q := m{"capabilities": capabilities}
	maps.Copy(q, request)
	return b.login(q)["mytoken"].(string)
}

func all() []string {
	return []string{"AT", "create_mytoken", "tokeninfo", "manage_mytokens", "settings"}
}

// client is our own client of this server.
func (b *bed) client() *mytoken.Client {
	b.t.Helper()
	hc, err := httpc.New(httpc.Options{})
	must(b.t, err)
	s, err := mytoken.Discover(b.t.Context(), hc, b.url)
	must(b.t, err)
	return mytoken.New(hc, s, mytoken.Options{})
}
