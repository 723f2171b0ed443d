package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
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
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// server is the issuer of the mytokens: a loopback address, so that the provider's sample clients may go back to it.
const server = "http://127.0.0.1:4711"

// clock can be moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) move(d time.Duration) { c.ahead.Add(int64(d)) }

// bed is a desk with all that a server has around it, and a real provider behind it.
type bed struct {
	*desk.Desk
	t             testing.TB
	clock         *clock
	op            *issuertest.Server
	ledger        *ledger.Ledger
	minter        *mint.Minter
	o             desk.Options
	ledgerOptions ledger.Options
	eng           store.Engine

	mu      sync.Mutex
	notices []desk.Notice
	audits  []desk.AuditEvent
}

type setup struct {
	op     []func(*issuer.Options)
	up     func(*upstream.Config)
	desk   func(*desk.Options)
	ledger ledger.Options
	eng    store.Engine // nil: in memory
}

func newBed(t testing.TB, s setup) *bed {
	t.Helper()
	b := &bed{t: t, clock: &clock{}, op: issuertest.Start(t, s.op...)}
	conf := upstream.Config{
		Issuer: b.op.URL, Name: "test", ClientID: "web", Secret: secret.FromString("web-secret"), Audience: upstream.Audience,
		Scopes: []string{"openid", "profile", "storage.read:/", "storage.modify:/", "compute.read"},
	}
	if s.up != nil {
		s.up(&conf)
	}
	reg, err := upstream.New([]upstream.Config{conf}, upstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	if err := reg.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.eng == nil {
		s.eng = memstore.NewAt(b.clock.now)
	}
	b.keep(s.eng, s.ledger)
	b.o = desk.Options{
		Issuer: server, Ledger: b.ledger, Minter: b.minter, Upstream: reg, Now: b.clock.now,
		Features: desk.Features{Polling: true, Web: true, Device: true, Subtokens: true, Transfer: true, Short: true},
		Notify: func(_ context.Context, n desk.Notice) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.notices = append(b.notices, n)
		},
		Audit: func(_ context.Context, e desk.AuditEvent) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.audits = append(b.audits, e)
		},
	}
	if b.o.DPoP, err = dpop.New(dpop.Options{}); err != nil {
		t.Fatal(err)
	}
	if s.desk != nil {
		s.desk(&b.o)
	}
	b.Desk = b.another()
	return b
}

// another is the desk of another process on the same state.
func (b *bed) another() *desk.Desk {
	b.t.Helper()
	d, err := desk.New(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bed) keep(inner store.Engine, o ledger.Options) {
	b.t.Helper()
	key, err := jose.GenerateKey(jose.ES384, "")
	if err != nil {
		b.t.Fatal(err)
	}
	if b.minter, err = mint.New(server, key); err != nil {
		b.t.Fatal(err)
	}
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(v.Close)
	sealer, err := v.Sealer(secret.New(make([]byte, 32)))
	if err != nil {
		b.t.Fatal(err)
	}
	o.Minter, o.Verify, o.Now = b.minter, mint.NewChecker(server, jose.NewKeySet(key.Public())).Genuine, b.clock.now
	b.eng, b.ledgerOptions = sealed.New(inner, sealer), o
	b.ledger = ledger.New(b.eng, o)
	b.t.Cleanup(func() {
		if err := b.ledger.Close(context.Background()); err != nil {
			b.t.Error(err)
		}
	})
}

func home() desk.Origin {
	return desk.Origin{Client: netip.MustParseAddr("192.0.2.7"), UserAgent: "test"}
}

func from(addr string) desk.Origin {
	return desk.Origin{Client: netip.MustParseAddr(addr), UserAgent: "test"}
}

// ask is the JSON of a request.
func (b *bed) ask(more map[string]any) []byte {
	b.t.Helper()
	q := map[string]any{"grant_type": "oidc_flow", "oidc_issuer": b.op.URL, "name": "job"}
	for k, v := range more {
		q[k] = v
	}
	raw, err := json.Marshal(q)
	if err != nil {
		b.t.Fatal(err)
	}
	return raw
}

func codeOf(consentURI string) secret.Text {
	return secret.FromString(consentURI[strings.LastIndex(consentURI, "/")+1:])
}

// termsOf agrees to what was asked for.
func termsOf(a desk.Asked) desk.Terms {
	return desk.Terms{
		Issuer: a.Issuer, Name: a.Name, Capabilities: a.Capabilities, Restrictions: a.Restrictions, Rotation: a.Rotation,
	}
}

// agree opens the consent page and says yes, and returns where the browser logs in.
func (b *bed) agree(begun desk.Begun) desk.Redirect {
	b.t.Helper()
	code := codeOf(begun.ConsentURI)
	a, err := b.Asked(b.t.Context(), code)
	if err != nil {
		b.t.Fatal(err)
	}
	to, err := b.Accept(b.t.Context(), code, termsOf(a), home())
	if err != nil {
		b.t.Fatal(err)
	}
	return to
}

// query is what a browser comes back with from the provider.
func (b *bed) query(to, user string) url.Values {
	b.t.Helper()
	back, err := url.Parse(b.op.Login(to, user))
	if err != nil {
		b.t.Fatal(err)
	}
	if !strings.HasPrefix(back.String(), server+"/redirect?") {
		b.t.Fatalf("the browser is sent to %s", back)
	}
	return back.Query()
}

// back is a browser that logs in at the provider and comes back.
func (b *bed) back(to desk.Redirect, user string) desk.Arrival {
	b.t.Helper()
	return desk.Arrival{Query: b.query(to.URL, user), Binding: to.Binding, From: home()}
}

// land lets it come back to another process of the server.
func (b *bed) land(to desk.Redirect, user string) (desk.Landing, error) {
	b.t.Helper()
	return b.another().LandIn(b.t.Context(), b.back(to, user))
}

// login gets a mytoken as a program does.
func (b *bed) login(more map[string]any) *desk.Issued {
	b.t.Helper()
	ctx := b.t.Context()
	begun, err := b.Begin(ctx, b.ask(more), desk.Caller{Origin: home()})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.land(b.agree(begun), "alice"); err != nil {
		b.t.Fatal(err)
	}
	i, err := b.Poll(ctx, begun.PollingCode, home())
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

func (b *bed) caller(i *desk.Issued) desk.Caller {
	return desk.Caller{Mytoken: i.Token, Origin: home()}
}

func (b *bed) access(i *desk.Issued, r desk.AccessRequest) (desk.Access, error) {
	return b.Access(b.t.Context(), r, b.caller(i))
}

// refused checks that err is a refusal with this status and code.
func refused(t testing.TB, err error, status int, code string) *desk.Error {
	t.Helper()
	var no *desk.Error
	if !errors.As(err, &no) {
		t.Fatalf("no refusal, but %v", err)
	}
	if no.Status != status || no.Code != code {
		t.Fatalf("refused with %d %s (%s), not %d %s: %v", no.Status, no.Code, no.Description, status, code, no.Err)
	}
	return no
}

// pending reports whether err says that the person has not decided.
func pending(err error) bool {
	var no *desk.Error
	return errors.As(err, &no) && no.Code == desk.CodePending
}

// heard are the classes of the notices so far.
func (b *bed) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, n := range b.notices {
		all = append(all, n.Class)
	}
	return all
}

// events are the names in the history of a mytoken, newest first.
func (b *bed) events(momID string) []string {
	b.t.Helper()
	list, err := b.ledger.Events(b.t.Context(), momID, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Event)
	}
	return names
}

func (b *bed) find(momID string) ledger.Token {
	b.t.Helper()
	t, err := b.ledger.Find(b.t.Context(), momID)
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

// posted counts requests to a path of the provider with a parameter of this value.
func (b *bed) posted(path, name, value string) (n int) {
	for _, r := range b.op.Requests() {
		if r.Path == path && (name == "" || r.Form.Get(name) == value) {
			n++
		}
	}
	return n
}

func clauses(rs ...mytoken.Restriction) mytoken.Restrictions { return rs }
