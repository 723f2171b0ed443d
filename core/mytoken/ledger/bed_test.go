package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/store/sealed"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	issuer   = "https://mytoken.example.org"
	provider = "https://op.example.org"
	firstRT  = "the-refresh-token-of-alice-0123456789"
)

// op is a provider: each call gives another access token.
type op struct {
	mu     sync.Mutex
	calls  int
	seen   []string
	err    error
	rotate bool
	during func()
}

func (o *op) Refresh(_ context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	if o.during != nil {
		o.during()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	o.seen = append(o.seen, rt.Expose())
	if o.err != nil {
		return flow.Tokens{}, o.err
	}
	t := flow.Tokens{Access: secret.FromString(fmt.Sprintf("access-%d", o.calls)), Type: "Bearer"}
	if o.rotate {
		t.Refresh = secret.FromString(fmt.Sprintf("the-refresh-token-of-alice-rotated-%d", o.calls))
	}
	return t, nil
}

// clock can be moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) move(d time.Duration) { c.ahead.Add(int64(d)) }

// bed is a ledger with all that a server has around it.
type bed struct {
	*Ledger
	t       testing.TB
	clock   *clock
	minter  *mint.Minter
	checker *mint.Checker
	inner   store.Engine // below the sealing with the server's key
	sealer  store.Sealer
	eng     store.Engine
	op      *op
}

func newSealer(t testing.TB) store.Sealer {
	t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	s, err := v.Sealer(secret.New(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newBed(t testing.TB, inner store.Engine, o Options) *bed {
	t.Helper()
	return newBedWith(t, inner, newSigner(t), o)
}

func newSigner(t testing.TB) *jose.PrivateKey {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES384, "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newBedWith(t testing.TB, inner store.Engine, key *jose.PrivateKey, o Options) *bed {
	t.Helper()
	m, err := mint.New(issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		t: t, clock: &clock{}, minter: m, checker: mint.NewChecker(issuer, jose.NewKeySet(key.Public())), inner: inner,
		sealer: newSealer(t), op: &op{},
	}
	b.eng = sealed.New(inner, b.sealer)
	b.Ledger = New(b.eng, b.options(o))
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bed) options(o Options) Options {
	o.Minter, o.Verify, o.Now = b.minter, b.checker.Genuine, b.clock.now
	return o
}

func origin() Origin { return Origin{Client: netip.MustParseAddr("192.0.2.7"), UserAgent: "test"} }

func order(now time.Time, rs mytoken.Restrictions, rot *mytoken.Rotation) mint.Order {
	return mint.Order{
		Name: "job", OIDCIssuer: provider, OIDCSubject: "alice", Restrictions: rs, Rotation: rot, Now: now, AuthTime: now,
		Capabilities: mytoken.Capabilities{"AT", "create_mytoken", "tokeninfo"},
	}
}

func (b *bed) issue(rs mytoken.Restrictions, rot *mytoken.Rotation) (secret.Text, mytoken.Claims) {
	b.t.Helper()
	jwt, c, err := b.minter.Issue(order(b.clock.now(), rs, rot))
	if err != nil {
		b.t.Fatal(err)
	}
	return jwt, c
}

// begin logs alice in and returns her first mytoken.
func (b *bed) begin(rs mytoken.Restrictions, rot *mytoken.Rotation) (secret.Text, Token) {
	b.t.Helper()
	jwt, c := b.issue(rs, rot)
	t, err := b.Begin(b.t.Context(), Login{Refresh: secret.FromString(firstRT), Habit: custody.HabitKeeps},
		Grant{JWT: jwt, Claims: c, Event: Event{From: origin()}})
	if err != nil {
		b.t.Fatal(err)
	}
	return jwt, t
}

// sub makes a mytoken from one, as a server does.
func sub(ctx context.Context, l *Ledger, m *mint.Minter, jwt secret.Text, wanted mytoken.Restrictions) (
	secret.Text, Token, error,
) {
	p, err := l.Present(ctx, jwt, origin())
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	defer p.Close()
	r, err := p.Reserve(ctx, rules.Use{Kind: rules.Other}, rules.World{})
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	counters, err := p.CountersNow(ctx)
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	tight, err := rules.Tighten(rules.Parent{Restrictions: p.Claims.Restrictions, Counters: counters, Now: l.now()}, wanted)
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	child, c, err := m.Issue(order(l.now(), tight.Restrictions, nil))
	if err != nil {
		return secret.Text{}, Token{}, err
	}
	t, _, err := r.Sub(ctx, Grant{
		JWT: child, Claims: c, Charges: tight.Charges, From: tight.From, Event: Event{From: origin()},
	})
	return child, t, err
}

func (b *bed) sub(jwt secret.Text, wanted mytoken.Restrictions) (secret.Text, Token) {
	b.t.Helper()
	child, t, err := sub(b.t.Context(), b.Ledger, b.minter, jwt, wanted)
	if err != nil {
		b.t.Fatal(err)
	}
	return child, t
}

// access is one access token, as a server gives it.
func access(ctx context.Context, l *Ledger, o custody.Refresher, jwt secret.Text) (string, *Newest, error) {
	p, err := l.Present(ctx, jwt, origin())
	if err != nil {
		return "", nil, err
	}
	defer p.Close()
	r, err := p.Reserve(ctx, rules.Use{Kind: rules.Access}, rules.World{})
	if err != nil {
		return "", nil, err
	}
	t, err := r.Refresh(ctx, o, flow.Request{Scope: r.Candidate.Scopes})
	if err != nil {
		if undo := r.GiveBack(ctx); undo != nil {
			return "", nil, fmt.Errorf("%w, then %w", err, r.Burn(ctx, "the provider gave none", origin()))
		}
		return "", nil, err
	}
	n, err := r.Commit(ctx, Event{Name: "AT_created", Comment: "Used grant_type mytoken", From: origin()})
	if err != nil {
		return "", nil, err
	}
	return t.Access.Expose(), n, nil
}

func (b *bed) access(jwt secret.Text) (string, *Newest, error) {
	return access(b.t.Context(), b.Ledger, b.op, jwt)
}

// engines runs a test on each engine.
func engines(t *testing.T, test func(t *testing.T, inner store.Engine)) {
	t.Run("memstore", func(t *testing.T) { test(t, memstore.New()) })
	t.Run("boltstore", func(t *testing.T) { test(t, openBolt(t, boltPath(t))) })
	t.Run("pgstore", func(t *testing.T) { test(t, openPostgres(t, postgres(t), newSchema())) })
}

// cluster is the one PostgreSQL of this package's tests; each test has a schema of its own in it.
var cluster struct {
	once sync.Once
	pg   *services.Postgres
	err  error
}

// postgres returns the address of the cluster.
func postgres(t testing.TB) string {
	t.Helper()
	cluster.once.Do(func() { cluster.pg, cluster.err = services.StartPostgreSQL() })
	if errors.Is(cluster.err, services.ErrNoPostgres) {
		services.Missing(t, cluster.err.Error())
	}
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	return cluster.pg.URL("")
}

func newSchema() string { return "t" + strings.ToLower(rand.Text()) }

// patient are limits for a machine with other work.
func patient(schema string) pgstore.Options {
	return pgstore.Options{
		Role: "mytoken-server", Schema: schema, Connect: time.Minute, Statement: time.Minute, Patience: 2 * time.Minute,
	}
}

func openPostgres(t testing.TB, url, schema string) *pgstore.Engine {
	t.Helper()
	e, err := pgstore.Open(context.Background(), func() (string, error) { return url, nil }, patient(schema))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// deadlocks is how many the cluster had to end.
func deadlocks(t testing.TB) (n int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	err = conn.QueryRow(context.Background(), "select sum(deadlocks)::int from pg_stat_database").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func boltPath(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "state.keys")
}

func openBolt(t testing.TB, path string) *boltstore.Engine {
	t.Helper()
	e, err := boltstore.Open(context.Background(), path, boltstore.Options{Role: "mytoken-server", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func limit(n int64) mytoken.Restrictions { return mytoken.Restrictions{{UsagesAT: &n}} }

// onlyKey is the counter of the access tokens of a mytoken with one clause.
func onlyKey(t Token) rules.CounterKey {
	return rules.CounterKey{Clause: rules.KeyOf(t.Restrictions[0]), Kind: rules.Access}
}
