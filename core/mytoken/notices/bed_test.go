package notices

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

const issuer = "https://mytoken.example.org"

// clock can be moved.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

func (c *clock) move(d time.Duration) { c.at.Add(int64(d)) }

// people are mytokens and their owners.
type people struct {
	mu    sync.Mutex
	all   []ledger.Token
	users map[string]ledger.User
	now   func() time.Time
}

func (p *people) Find(_ context.Context, momID string) (ledger.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.all {
		if t.MOMID == momID {
			return p.aged(t), nil
		}
	}
	return ledger.Token{}, ledger.ErrUnknown
}

func (p *people) aged(t ledger.Token) ledger.Token {
	if t.Condition == ledger.Live && !t.Expires.IsZero() && !p.now().Before(t.Expires) {
		t.Condition = ledger.Expired
	}
	return t
}

func (p *people) List(_ context.Context, user string) (out []ledger.Token, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.all {
		if t.User == user {
			out = append(out, p.aged(t))
		}
	}
	return out, nil
}

func (p *people) User(_ context.Context, id string) (ledger.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[id]
	if !ok {
		return u, ledger.ErrUnknown
	}
	return u, nil
}

// postman takes mails, or does what he is told.
type postman struct {
	mu    sync.Mutex
	got   []mail.Message
	opens int
	open  error                    // of the next sessions
	fail  func(mail.Message) error // of messages
}

func (p *postman) Open(context.Context) (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	if p.open != nil {
		return nil, p.open
	}
	return p, nil
}

func (p *postman) Send(_ context.Context, m mail.Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(m); err != nil {
			return err
		}
	}
	p.got = append(p.got, m)
	return nil
}

func (p *postman) Close() error { return nil }

func (p *postman) take() []mail.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// caller is a visit of a test: whoever has a mytoken of people, with some capabilities.
type caller struct {
	t       ledger.Token
	events  []string
	notices []desk.Notice
	over    bool
}

func (v *caller) MOMID() string { return v.t.MOMID }
func (v *caller) User() string  { return v.t.User }
func (v *caller) Claims() mytoken.Claims {
	return mytoken.Claims{Capabilities: v.t.Capabilities, Name: v.t.Name}
}
func (v *caller) Notice(_ context.Context, n desk.Notice) { v.notices = append(v.notices, n) }
func (v *caller) Cancel(context.Context)                  { v.over = true }
func (v *caller) Done(_ context.Context, event, _ string) (*desk.Issued, error) {
	v.events, v.over = append(v.events, event), true
	return nil, nil
}

// bed is Notices with all around them.
type bed struct {
	*Notices
	t      *testing.T
	clock  *clock
	people *people
	post   *postman
	eng    store.Engine
	held   store.Lease
	counts map[string]int
	visits []*caller
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

func newBed(t *testing.T, edit ...func(*Options)) *bed {
	t.Helper()
	b := &bed{t: t, clock: &clock{}, post: &postman{}, counts: make(map[string]int)}
	b.clock.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	b.people = &people{now: b.clock.now, users: map[string]ledger.User{
		"alice": {ID: "alice", Issuer: "https://op.example.org", Subject: "a"},
		"bob":   {ID: "bob", Issuer: "https://op.example.org", Subject: "b"},
	}}
	b.eng = sealed.New(memstore.NewAt(b.clock.now), newSealer(t))
	o := Options{
		Issuer: issuer, Engine: b.eng, Tokens: b.people, Enter: b.letIn, Open: b.post.Open, From: addr(t, "mytoken@example.org"),
		Count: func(s string) { b.counts[s]++ }, Now: b.clock.now, Lease: 100 * 365 * day,
	}
	for _, e := range edit {
		e(&o)
	}
	n, err := New(o)
	must(t, err)
	b.Notices = n
	b.held, err = b.eng.Lease(t.Context(), leaseName, 100*365*day)
	must(t, err)
	return b
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	must(t, err)
	return a
}

// letIn lets in whoever names a mytoken of people.
func (b *bed) letIn(ctx context.Context, c desk.Caller, n desk.Need) (Visit, error) {
	t, err := b.people.Find(ctx, c.Mytoken.Expose())
	if err != nil {
		return nil, &desk.Error{Status: 401, Code: desk.CodeToken}
	}
	v := &caller{t: t}
	if n.Capability != "" && !rules.Allows(t.Capabilities, n.Capability) {
		return nil, &desk.Error{Status: 403, Code: desk.CodeCapabilities}
	}
	b.visits = append(b.visits, v)
	return v, nil
}

// mt makes a mytoken of somebody that lives for some time; 0 for ever.
func (b *bed) mt(user, momID string, life time.Duration, edit ...func(*ledger.Token)) ledger.Token {
	t := ledger.Token{
		MOMID: momID, Name: "job of " + user, User: user, Created: b.clock.now(), Condition: ledger.Live,
		Capabilities: mytoken.Capabilities{"AT", "tokeninfo", "manage_mytokens", "settings"},
	}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	for _, e := range edit {
		e(&t)
	}
	b.people.mu.Lock()
	defer b.people.mu.Unlock()
	b.people.all = append(b.people.all, t)
	return t
}

func (b *bed) by(momID string) desk.Caller {
	return desk.Caller{
		Mytoken: secret.FromString(momID), Origin: desk.Origin{Client: netip.MustParseAddr("192.0.2.1")},
	}
}

// verified gives somebody an address that is confirmed.
func (b *bed) verified(user, address string) {
	b.t.Helper()
	must(b.t, b.Learn(b.t.Context(), user, address, true))
}

// sends lets the sender have a turn, whatever it did shortly before, and returns the mails that went out.
func (b *bed) sends() []mail.Message {
	b.t.Helper()
	b.sender.scheduled = time.Time{}
	must(b.t, b.turn(b.t.Context(), b.held))
	return b.post.take()
}

// tell works off an event.
func (b *bed) tell(e desk.Notice) {
	b.t.Helper()
	if e.At.IsZero() {
		e.At = b.clock.now()
	}
	b.Notice(b.t.Context(), e)
	for {
		select {
		case e := <-b.queue:
			must(b.t, b.take(b.t.Context(), e))
		default:
			return
		}
	}
}

func (b *bed) rows() int {
	b.t.Helper()
	n := 0
	must(b.t, b.eng.View(b.t.Context(), func(tx store.Tx) error {
		for _, err := range tx.Scan(table(), nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

func subjects(all []mail.Message) (out []string) {
	for _, m := range all {
		out = append(out, m.To.String()+": "+m.Subject)
	}
	slices.Sort(out)
	return out
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var no *desk.Error
	if !errors.As(err, &no) || no.Status != status || no.Code != code {
		t.Errorf("%v, want %d %s", err, status, code)
	}
}

func asMytokenError(err error) (*mytoken.Error, bool) {
	var e *mytoken.Error
	ok := errors.As(err, &e)
	return e, ok
}
