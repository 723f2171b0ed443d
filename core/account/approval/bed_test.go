package approval

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	must(t, err)
	return a
}

// desk is one in memory: what waits, and what was decided.
type desk struct {
	mu      sync.Mutex
	waiting map[string]provision.Request
	states  map[string]state.State
	by      []provision.By
	tell    func(provision.Event)
}

func (d *desk) Pending(context.Context) ([]provision.Request, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []provision.Request
	for _, r := range d.waiting {
		out = append(out, r)
	}
	return out, nil
}

func (d *desk) Decide(_ context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error) {
	d.mu.Lock()
	r, ok := d.waiting[id]
	if !ok {
		d.mu.Unlock()
		return provision.Answer{}, provision.ErrNotPending
	}
	if revision != "" && r.Revision != revision {
		d.mu.Unlock()
		return provision.Answer{}, provision.ErrChanged
	}
	delete(d.waiting, id)
	d.by = append(d.by, by)
	e := provision.Event{Kind: provision.Rejected, ID: id, Request: r}
	d.states[id] = state.Rejected
	if accept {
		e.Kind, d.states[id] = provision.Accepted, state.Deployed
	}
	d.mu.Unlock()
	if d.tell != nil {
		d.tell(e)
	}
	return provision.Answer{State: d.states[id]}, nil
}

func (d *desk) ByName(_ context.Context, name string) (provision.Verdict, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, s := range d.states {
		if nameOf(id) == name {
			return provision.Verdict{ID: id, Name: name, State: s}, nil
		}
	}
	return provision.Verdict{}, nil
}

func nameOf(id string) string { name, _, _ := strings.Cut(id, "@"); return name }

// ask has somebody ask for an account, or for something else than before.
func (d *desk) ask(sub, revision string, edit ...func(*provision.Request)) provision.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, _ := names.Encode(sub, "https://op.example.org")
	r := provision.Request{
		ID: id, Sub: sub, Iss: "https://op.example.org", Name: sub, Primary: "people", Groups: []string{"vo_a", "vo_b"},
		Person: names.Person{Name: "Person " + sub}, Email: sub + "@people.example.org", Revision: revision,
		At: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
	}
	for _, e := range edit {
		e(&r)
	}
	d.waiting[id] = r
	return r
}

// post is a mail server in memory.
type post struct {
	mu    sync.Mutex
	mails []mail.Message
	fail  func(mail.Message) error
	down  bool
}

func (p *post) open(context.Context) (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errors.New("connection refused")
	}
	return p, nil
}

func (p *post) Close() error { return nil }

func (p *post) Send(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := m.Check(); err != nil {
		return err
	}
	if p.fail != nil {
		if err := p.fail(m); err != nil {
			return err
		}
	}
	p.mails = append(p.mails, m)
	return nil
}

// to returns the subjects of the mails to somebody.
func (p *post) to(who string) (subjects []string) {
	for _, m := range p.mails {
		if m.To.String() == who {
			subjects = append(subjects, m.Subject)
		}
	}
	return subjects
}

type bed struct {
	*Office
	t      *testing.T
	desk   *desk
	post   *post
	engine store.Engine
	now    time.Time
}

const admin, second = "root@example.org", "deputy@example.org"

func newBed(t *testing.T, edit ...func(*Options)) *bed {
	t.Helper()
	b := &bed{
		t: t, desk: &desk{waiting: map[string]provision.Request{}, states: map[string]state.State{}}, post: &post{},
		engine: memstore.New(), now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	o := Options{
		Engine: b.engine, Desk: b.desk, Open: b.post.open, From: address(t, "ssh@example.org"),
		Admins: []mail.Address{address(t, admin), address(t, second)}, Hostname: "login.example.org",
		Link: func(l string) string { return "https://login.example.org/login/decide/" + l },
		Now:  func() time.Time { return b.now },
	}
	for _, e := range edit {
		e(&o)
	}
	var err error
	b.Office, err = New(o)
	must(t, err)
	b.desk.tell = b.Notify
	return b
}

// turn is one turn of the sender.
func (b *bed) turn() {
	b.t.Helper()
	held, err := b.engine.Lease(b.t.Context(), leaseName, leaseTTL)
	must(b.t, err)
	must(b.t, b.round(b.t.Context(), held))
	must(b.t, b.send(b.t.Context(), held))
	must(b.t, held.Release(b.t.Context()))
}

// links are those in the mails to somebody, the oldest first.
func (b *bed) links(who string) (out []string) {
	find := regexp.MustCompile(`/decide/([\w-]+)`)
	for _, m := range b.post.mails {
		if m.To.String() != who {
			continue
		}
		for _, l := range find.FindAllStringSubmatch(m.Text, -1) {
			out = append(out, l[1])
		}
	}
	return out
}

func (b *bed) wantMails(who string, subjects ...string) {
	b.t.Helper()
	if got := b.post.to(who); !slices.Equal(got, subjects) {
		b.t.Errorf("mails to %s: %q, want %q", who, got, subjects)
	}
}

func (b *bed) outbox() int {
	b.t.Helper()
	n := 0
	must(b.t, b.engine.View(b.t.Context(), func(tx store.Tx) error {
		n = 0
		for _, err := range tx.Scan(table(), store.Key{kindMail}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

func asksFor(sub string) string {
	return fmt.Sprintf("login.example.org: Person %s asks for an account", sub)
}
