package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const testIssuer = "https://op.example"

var errBroken = errors.New("broken on purpose")

// host is an account system in memory that can be made to fail at every point of what it does, and that notices what a
// desk must never do.
type host struct {
	mu       sync.Mutex
	accounts map[string]*backend.Account // by identity
	former   map[string]string           // names that identities had
	locals   map[string]bool             // users and groups of the host itself
	working  map[string]int              // calls under way, by identity
	faults   []string                    // what must not have happened
	nextUID  uint32
	calls    map[string]int
	killed   []string // identities whose sessions were ended

	// fault is asked at every point; what it returns is the outcome of the call there.
	fault func(point string, id string) error
	trust error
	keys  map[string][]backend.Key
}

func newHost() *host {
	return &host{
		accounts: map[string]*backend.Account{}, former: map[string]string{}, locals: map[string]bool{},
		working: map[string]int{}, nextUID: 2000, calls: map[string]int{}, keys: map[string][]backend.Key{},
		fault: func(string, string) error { return nil },
	}
}

// enter notes a call, and that two at once for one identity are two.
func (h *host) enter(call, id string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[call]++
	if h.working[id]++; h.working[id] > 1 {
		h.faults = append(h.faults, "two operations at once for "+id)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.working[id]--
	}
}

func (h *host) at(point, id string) error {
	h.mu.Lock()
	fault := h.fault
	h.mu.Unlock()
	return fault(point, id)
}

func (h *host) Find(_ context.Context, id string) (backend.Account, error) {
	h.mu.Lock()
	h.calls["find"]++
	a, ok := h.accounts[id]
	var out backend.Account
	if ok {
		out = *a
		out.Groups = slices.Clone(a.Groups)
	}
	h.mu.Unlock()
	if err := h.at("find", id); err != nil {
		return backend.Account{}, err
	}
	if !ok {
		return backend.Account{}, backend.ErrNoAccount
	}
	return out, nil
}

func (h *host) holder(name string) backend.Holder {
	if h.locals[name] {
		return backend.Holder{Taken: true}
	}
	if id, ok := h.former[name]; ok {
		return backend.Holder{Taken: true, ID: id}
	}
	return backend.Holder{}
}

func (h *host) Holder(_ context.Context, name string) (backend.Holder, error) {
	if err := h.at("holder", ""); err != nil {
		return backend.Holder{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.holder(name), nil
}

func (h *host) Deploy(_ context.Context, w backend.Wanted) (backend.Done, error) {
	defer h.enter("deploy", w.ID)()
	if err := h.at("deploy before", w.ID); err != nil {
		return backend.Done{}, err
	}
	created, err := h.create(w)
	if err != nil {
		return backend.Done{}, err
	}
	if err := h.at("deploy half", w.ID); err != nil {
		return backend.Done{}, err
	}
	h.mu.Lock()
	a := h.accounts[w.ID]
	done := backend.Done{
		Created: created, Added: without(w.Groups, a.Groups), Removed: without(a.Groups, w.Groups), Keys: w.Keys,
	}
	a.Groups = slices.Clone(w.Groups)
	if !slices.Contains(w.Groups, a.Primary) {
		a.Primary = w.Primary
	}
	a.NoLogin = w.Tier == backend.NoShell
	a.Shell = "/shell/" + string(w.Tier)
	if w.Keys != nil {
		h.keys[w.ID] = w.Keys
	}
	done.Account = *a
	done.Account.Groups = slices.Clone(a.Groups)
	h.mu.Unlock()
	if err := h.at("deploy done", w.ID); err != nil {
		return backend.Done{}, err
	}
	return done, nil
}

// create makes the account without its groups, as a program that is killed leaves one.
func (h *host) create(w backend.Wanted) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range append([]string{w.Name, w.Primary}, w.Groups...) {
		if names.Check(name) != nil {
			h.faults = append(h.faults, fmt.Sprintf("name %q reached the account system", name))
		}
	}
	if _, ok := h.accounts[w.ID]; ok {
		return false, nil
	}
	if holder := h.holder(w.Name); holder.Taken && holder.ID != w.ID {
		return false, backend.ErrTaken
	}
	a := &backend.Account{ID: w.ID, Name: w.Name, UID: w.UID, GID: 1500, Primary: w.Primary}
	if a.UID == 0 {
		h.nextUID++
		a.UID = h.nextUID
	}
	h.accounts[w.ID], h.former[w.Name] = a, w.ID
	return true, nil
}

func (h *host) ours(r backend.Ref) (*backend.Account, error) {
	a, ok := h.accounts[r.ID]
	switch {
	case !ok:
		return nil, backend.ErrNoAccount
	case a.Name != r.Name:
		return nil, backend.ErrMismatch
	}
	return a, nil
}

func (h *host) change(call string, r backend.Ref, fn func(*backend.Account)) error {
	defer h.enter(call, r.ID)()
	if err := h.at(call+" before", r.ID); err != nil {
		return err
	}
	h.mu.Lock()
	a, err := h.ours(r)
	if err == nil {
		fn(a)
	}
	h.mu.Unlock()
	return cmp.Or(err, h.at(call+" done", r.ID))
}

func (h *host) SetTier(_ context.Context, r backend.Ref, t backend.Tier) error {
	return h.change("tier", r, func(a *backend.Account) {
		a.NoLogin, a.Shell = t == backend.NoShell, "/shell/"+string(t)
	})
}

func (h *host) Suspend(_ context.Context, r backend.Ref, kill bool) error {
	return h.change("suspend", r, func(a *backend.Account) {
		a.Suspended = true
		if kill {
			h.killed = append(h.killed, r.ID)
		}
	})
}

func (h *host) Resume(_ context.Context, r backend.Ref) error {
	return h.change("resume", r, func(a *backend.Account) { a.Suspended = false })
}

func (h *host) Undeploy(_ context.Context, r backend.Ref) error {
	return h.change("undeploy", r, func(*backend.Account) {
		delete(h.accounts, r.ID)
		delete(h.keys, r.ID)
	})
}

func (h *host) All(_ context.Context, each func(backend.Account) error) error {
	h.mu.Lock()
	all := slices.SortedFunc(maps.Values(h.accounts), func(a, b *backend.Account) int {
		return cmp.Compare(a.Name, b.Name)
	})
	h.mu.Unlock()
	for _, a := range all {
		if err := each(*a); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) Trust(context.Context) error { return h.trust }

// failAt makes the host fail at one point, until it is mended.
func (h *host) failAt(point string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = func(p, _ string) error {
		if p == point {
			return err
		}
		return nil
	}
}

func (h *host) mended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = func(string, string) error { return nil }
}

// account changes or shows an account behind the desk's back.
func (h *host) account(id string, fn func(*backend.Account)) backend.Account {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.accounts[id]
	if !ok {
		return backend.Account{}
	}
	if fn != nil {
		fn(a)
	}
	return *a
}

// burner counts what was burned.
type burner struct {
	mu     sync.Mutex
	burned []string
	err    error
}

func (b *burner) Burn(_ context.Context, id string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.burned = append(b.burned, id)
	return 1, b.err
}

// bed is a desk with all around it.
type bed struct {
	*testing.T
	desk   *Desk
	host   *host
	eng    store.Engine
	otp    *burner
	clock  time.Time
	mu     sync.Mutex
	events []Event
	mails  []Event
}

// anything is an assurance expression that asks for nothing.
func anything() assurance.Expr { return assurance.Expr{Op: assurance.Always} }

func testRules() Rules {
	return Rules{
		Fallback: "people", Default: IssuerRules{Assurance: anything()}, Limits: names.Limits{Reserved: []string{"boss"}},
	}
}

func newBed(t *testing.T, change func(*Rules)) *bed {
	t.Helper()
	b := &bed{T: t, host: newHost(), eng: memstore.New(), otp: &burner{}, clock: time.Unix(1_800_000_000, 0).UTC()}
	b.desk = b.another(change)
	t.Cleanup(func() {
		for _, f := range b.host.faults {
			t.Error(f)
		}
	})
	return b
}

// another returns a further desk on the same ledger and host, as that of another process is.
func (b *bed) another(change func(*Rules)) *Desk {
	b.Helper()
	rules := testRules()
	if change != nil {
		change(&rules)
	}
	d, err := New(Options{
		Store: b.eng, System: b.host, Rules: rules, OTP: b.otp, Patience: 20 * time.Second,
		LoginInfo: LoginInfo{Description: "Test", LoginHelp: "ask", SSHHost: "node.example"},
		Now:       func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.clock },
		Audit:     func(e Event) { b.mu.Lock(); defer b.mu.Unlock(); b.events = append(b.events, e) },
		Notify:    func(e Event) { b.mu.Lock(); defer b.mu.Unlock(); b.mails = append(b.mails, e) },
	})
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// pass lets time go on.
func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(d)
}

// event returns the last event of a kind.
func (b *bed) event(kind Kind) Event {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range slices.Backward(b.events) {
		if e.Kind == kind {
			return e
		}
	}
	b.Fatalf("no event %s", kind)
	return Event{}
}

// subject is somebody of the test issuer.
func subject(sub string, change ...func(*Subject)) Subject {
	s := Subject{Sub: sub, Iss: testIssuer, Person: names.Person{PreferredUsername: sub}, Email: sub + "@home.example"}
	for _, fn := range change {
		fn(&s)
	}
	id, err := names.Encode(s.Sub, s.Iss)
	if err != nil {
		panic(err)
	}
	s.ID = id
	return s
}

func inGroups(groups ...string) func(*Subject) { return func(s *Subject) { s.Groups = groups } }

func (b *bed) deploy(s Subject) Answer {
	b.Helper()
	answer, err := b.desk.Deploy(b.Context(), s)
	if err != nil {
		b.Fatalf("deploy %s: %v", s.Sub, err)
	}
	return answer
}

func (b *bed) verify(s Subject, name string) Verdict {
	b.Helper()
	v, err := b.desk.Verify(b.Context(), s.ID, name)
	if err != nil {
		b.Fatalf("verify %s: %v", s.Sub, err)
	}
	return v
}

func (b *bed) show(s Subject) Entry {
	b.Helper()
	e, err := b.desk.Show(b.Context(), s.ID)
	if err != nil {
		b.Fatalf("show %s: %v", s.Sub, err)
	}
	return e
}

func (b *bed) status(s Subject) Answer {
	b.Helper()
	answer, err := b.desk.Status(b.Context(), s)
	if err != nil {
		b.Fatalf("status of %s: %v", s.Sub, err)
	}
	return answer
}

func officer() By { return By{Who: "officer", Remote: "192.0.2.1", Reason: "incident"} }
