package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// trap is an account system in memory that reports whatever should never have come through the checks.
type trap struct {
	mu       sync.Mutex
	wrong    []string
	accounts map[string]backend.Account
	next     uint32
	fail     error // of Deploy, once the account was made
	trust    error
}

func (t *trap) complain(format string, args ...any) {
	t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
}

func (t *trap) checkRef(r backend.Ref) {
	if a, ok := t.accounts[r.ID]; !ok || a.Name != r.Name {
		t.complain("change of %+v", r)
	}
}

func (t *trap) Find(_ context.Context, id string) (backend.Account, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.accounts[id]; ok {
		return a, nil
	}
	return backend.Account{}, backend.ErrNoAccount
}

func (t *trap) Holder(_ context.Context, name string) (backend.Holder, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := (names.Limits{}).CheckName(name); err != nil {
		t.complain("holder of %q", name)
	}
	return backend.Holder{}, nil
}

func (t *trap) Deploy(_ context.Context, w backend.Wanted) (backend.Done, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, _, err := names.Decode(w.ID); err != nil {
		t.complain("identity %q", w.ID)
	}
	for _, name := range append([]string{w.Name, w.Primary}, w.Groups...) {
		if err := (names.Limits{}).CheckName(name); err != nil && name != "users" {
			t.complain("name %q", name)
		}
	}
	for _, text := range []string{w.Person.Given, w.Person.Family, w.Person.Full, w.Person.Email} {
		if strings.ContainsAny(text, "\n\r\x00\x1b\u202e") {
			t.complain("text %q", text)
		}
	}
	a, there := t.accounts[w.ID]
	if !there {
		t.next++
		a = backend.Account{ID: w.ID, Name: w.Name, UID: 20000 + t.next, Primary: w.Primary}
		if w.UID != 0 {
			a.UID = w.UID
		}
	} else if a.Name != w.Name {
		t.complain("%s is called %s", a.Name, w.Name)
	}
	a.Groups = w.Groups
	t.accounts[w.ID] = a
	return backend.Done{Account: a, Created: !there}, t.fail
}

func (t *trap) SetTier(_ context.Context, r backend.Ref, tier backend.Tier) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkRef(r)
	if !slices.Contains([]backend.Tier{backend.Full, backend.Limited, backend.Restricted, backend.NoShell}, tier) {
		t.complain("tier %q", tier)
	}
	return nil
}

func (t *trap) Suspend(_ context.Context, r backend.Ref, _ bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkRef(r)
	return nil
}

func (t *trap) Resume(ctx context.Context, r backend.Ref) error { return t.Suspend(ctx, r, false) }

func (t *trap) Undeploy(_ context.Context, r backend.Ref) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkRef(r)
	delete(t.accounts, r.ID)
	return nil
}

func (t *trap) All(_ context.Context, each func(backend.Account) error) error {
	t.mu.Lock()
	var all []backend.Account
	for _, a := range t.accounts {
		all = append(all, a)
	}
	t.mu.Unlock()
	for _, a := range all {
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

func (t *trap) Trust(context.Context) error { return t.trust }

// newFake is a server in this process, with a host of two files.
func newFake(t testing.TB, change func(*Options)) (*server, *trap) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\nlocal:x:1500:1500::/home/local:/bin/sh\n",
		"group":  "root:x:0:\nusers:x:100:\nlocal:x:1500:\nproject:x:1600:\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tr := &trap{accounts: map[string]backend.Account{}}
	o := Options{
		System: tr, Ledger: memstore.New(), Groups: Groups{Given: []string{"users"}}, Peers: []uint32{0},
		Users: sysuser.DB{Root: dir}, Marks: filepath.Join(dir, "marks"), Rate: Rate{Creates: 1 << 30, Changes: 1 << 30},
	}
	if change != nil {
		change(&o)
	}
	s, err := newServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, tr
}

func wantedFor(t testing.TB, sub string) backend.Wanted {
	id, err := names.Encode(sub, "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return backend.Wanted{ID: id, Name: sub, Primary: "users", Tier: backend.Full}
}

func (s *server) do(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	return s.deploy(ctx, w, &Event{})
}

// FuzzRequest says anything to the worker. Whatever reaches the account system is checked there again by trap.
func FuzzRequest(f *testing.F) {
	w := wantedFor(f, "alice")
	w.Groups, w.Keys, w.Person = []string{"physics"}, []backend.Key{{Value: "ssh-ed25519 AAAA"}}, backend.Person{Full: "A"}
	for _, q := range []request{
		{Op: opFind, ID: w.ID},
		{Op: opHolder, Name: "alice"},
		{Op: opDeploy, Wanted: &w},
		{Op: opAll},
		{Op: opTrust},
		{Op: opTier, Ref: &backend.Ref{ID: w.ID, Name: "alice"}, Tier: backend.NoShell},
		{Op: opSuspend, Ref: &backend.Ref{ID: w.ID, Name: "alice"}, Kill: true},
		{Op: opResume, Ref: &backend.Ref{ID: w.ID, Name: "alice"}},
		{Op: opUndeploy, Ref: &backend.Ref{ID: w.ID, Name: "alice"}},
	} {
		q.Version = version
		b, err := json.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, tr := newFake(f, func(o *Options) { o.Marks = "" })
	f.Fuzz(func(t *testing.T, line []byte) {
		if _, err := s.do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		q, err := parseRequest(line)
		if err != nil {
			return
		}
		here, there := net.Pipe()
		defer there.Close()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		r, err := s.handle(t.Context(), here, caller{request: q})
		_ = here.Close()
		if err != nil {
			r = reply{Error: faultOf(err)}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if len(tr.wrong) > 0 {
			t.Errorf("%q: %v", line, tr.wrong)
		}
		delete(tr.accounts, "")
	})
}

// FuzzReply reads what a worker that was replaced might say.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"account":{"id":"x","name":"y","uid":1,"gid":2}}`))
	f.Add([]byte(`{"error":{"code":"taken","text":"x"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var a reply
		if err := decode(line, &a); err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
			return
		}
		if a.Error != nil && (a.Error.err() == nil || len(a.Error.err().Error()) > maxText) {
			t.Errorf("%q: %v", line, a.Error.err())
		}
	})
}

func TestErrorsCrossTheSocket(t *testing.T) {
	for _, c := range codes() {
		err := faultOf(fmt.Errorf("make user: %w", c.err)).err()
		if !errors.Is(err, c.err) || err.Error() != "make user: "+c.err.Error() {
			t.Errorf("%s: %v", c.code, err)
		}
	}
	err := faultOf(errors.New("disk is full")).err()
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			t.Errorf("a failure is %v", c.err)
		}
	}
}

// TestLedgerIsTheAuthority changes the account behind the worker's back.
func TestLedgerIsTheAuthority(t *testing.T) {
	for name, spoil := range map[string]func(*backend.Account){
		"other_name":     func(a *backend.Account) { a.Name = "bob" },
		"other_uid":      func(a *backend.Account) { a.UID++ },
		"uid_of_root":    func(a *backend.Account) { a.UID = 0 },
		"other_identity": func(a *backend.Account) { a.ID = "bob@https%3A%2F%2Fop.example%2F" },
		"name_of_system": func(a *backend.Account) { a.Name = "root" },
	} {
		t.Run(name, func(t *testing.T) {
			s, tr := newFake(t, nil)
			w := wantedFor(t, "alice")
			if _, err := s.do(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			a := tr.accounts[w.ID]
			spoil(&a)
			tr.accounts[w.ID] = a
			for what, err := range map[string]error{
				"find":    second(s.find(t.Context(), w.ID)),
				"deploy":  second(s.do(t.Context(), w)),
				"suspend": s.changeAccount(t.Context(), request{Op: opSuspend, Ref: &backend.Ref{ID: w.ID, Name: "alice"}}, &Event{}),
			} {
				if !errors.Is(err, backend.ErrMismatch) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestHalfMade fails after the account was made: the next deployment ends what this one began.
func TestHalfMade(t *testing.T) {
	s, tr := newFake(t, nil)
	w := wantedFor(t, "alice")
	tr.fail = backend.ErrUnavailable
	if _, err := s.do(t.Context(), w); !errors.Is(err, backend.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := mark.Read(s.Marks, "alice"); !errors.Is(err, mark.ErrNone) {
		t.Errorf("mark of an account that is not finished: %v", err)
	}
	tr.fail = nil
	done, err := s.do(t.Context(), w)
	if err != nil || !done.Created {
		t.Errorf("%+v, %v", done, err)
	}
	if m, err := mark.Read(s.Marks, "alice"); err != nil || m.ID != w.ID {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestNameThatWasOnlyReserved may be given up as long as there was no account.
func TestNameThatWasOnlyReserved(t *testing.T) {
	s, tr := newFake(t, nil)
	w := wantedFor(t, "alice")
	if _, err := s.ledger.reserve(t.Context(), w.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	w.Name = "alice2"
	if _, err := s.do(t.Context(), w); err != nil {
		t.Errorf("another name: %v", err)
	}
	if h, err := s.holder(t.Context(), "alice"); err != nil || h.Taken {
		t.Errorf("the first name: %+v, %v", h, err)
	}
	delete(tr.accounts, w.ID) // by somebody else
	w.Name = "alice3"
	if _, err := s.do(t.Context(), w); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("another name after there was an account: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	s, _ := newFake(t, func(o *Options) {
		o.Numbers = true
		o.Limits = names.Limits{MinUID: 1498, MaxUID: 1503}
	})
	var got []uint32
	for i := range 6 {
		done, err := s.do(t.Context(), wantedFor(t, fmt.Sprintf("u%d", i)))
		if err != nil {
			if i < 5 || !errors.Is(err, backend.ErrRefused) {
				t.Errorf("number %d: %v", i, err)
			}
			continue
		}
		got = append(got, done.Account.UID)
	}
	if want := []uint32{1501, 1502, 1503, 1498, 1499}; !slices.Equal(got, want) {
		t.Errorf("uids %v, want %v: after the highest of the host, then from the beginning, and never a local user's", got, want)
	}
}

func TestAdoptPolicy(t *testing.T) {
	id := wantedFor(t, "alice").ID
	for name, c := range map[string]struct {
		change func(*Options)
		trust  error
		want   error
	}{
		"not_allowed":         {nil, nil, backend.ErrMismatch},
		"allowed":             {func(o *Options) { o.Adopt = true }, nil, nil},
		"users_can_edit":      {func(o *Options) { o.Adopt = true }, backend.ErrEditable, backend.ErrEditable},
		"uid_out_of_range":    {func(o *Options) { o.Adopt = true; o.Limits.MinUID = 40000 }, nil, backend.ErrRefused},
		"name_is_not_allowed": {func(o *Options) { o.Adopt = true; o.Limits.Reserved = []string{"alice"} }, nil, backend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			s, tr := newFake(t, c.change)
			tr.accounts[id] = backend.Account{ID: id, Name: "alice", UID: 20001}
			tr.trust = c.trust
			if a, err := s.find(t.Context(), id); !errors.Is(err, c.want) || err == nil && a.UID != 20001 {
				t.Errorf("%+v, %v", a, err)
			}
			if _, err := mark.Read(s.Marks, "alice"); (err == nil) != (c.want == nil) {
				t.Errorf("mark: %v", err)
			}
		})
	}
	s, tr := newFake(t, func(o *Options) { o.Adopt = true })
	if _, err := s.do(t.Context(), wantedFor(t, "bob")); err != nil {
		t.Fatal(err)
	}
	uid := tr.accounts[wantedFor(t, "bob").ID].UID
	tr.accounts[id] = backend.Account{ID: id, Name: "alice", UID: uid}
	if _, err := s.find(t.Context(), id); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("adopted with another identity's uid: %v", err)
	}
}

func TestGroupLists(t *testing.T) {
	for name, c := range map[string]struct {
		groups  Groups
		primary string
		list    []string
		want    error
	}{
		"new_group":                    {Groups{Given: []string{"users"}}, "users", []string{"chess"}, nil},
		"given_below_floor":            {Groups{Given: []string{"users"}}, "users", []string{"users"}, nil},
		"not_given_below_floor":        {Groups{}, "users", nil, backend.ErrRefused},
		"there_and_not_listed":         {Groups{Given: []string{"users"}}, "users", []string{"project"}, backend.ErrRefused},
		"there_and_listed":             {Groups{Given: []string{"users"}, Allow: []string{"proj*"}}, "users", []string{"project"}, nil},
		"new_and_not_on_list":          {Groups{Given: []string{"users"}, Allow: []string{"proj*"}}, "users", []string{"chess"}, backend.ErrRefused},
		"named_like_a_local_user":      {Groups{Given: []string{"users"}}, "users", []string{"local"}, backend.ErrRefused},
		"named_like_an_account":        {Groups{Given: []string{"users"}}, "users", []string{"zoe"}, backend.ErrRefused},
		"system_group_on_allowed_list": {Groups{Given: []string{"users"}, Allow: []string{"*"}}, "users", []string{"sudo"}, backend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			s, tr := newFake(t, func(o *Options) { o.Groups = c.groups })
			if c.primary == "users" && len(c.groups.Given) > 0 {
				if _, err := s.do(t.Context(), wantedFor(t, "zoe")); err != nil {
					t.Fatal(err)
				}
			}
			w := wantedFor(t, "alice")
			w.Primary, w.Groups = c.primary, c.list
			if _, err := s.do(t.Context(), w); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if len(tr.wrong) > 0 {
				t.Error(tr.wrong)
			}
		})
	}
	for _, g := range []Groups{{Given: []string{"sudo"}}, {Given: []string{"docker"}}, {Given: []string{"-x"}}, {Allow: []string{"["}}, {Allow: []string{""}}} {
		o := Options{System: &trap{}, Ledger: memstore.New(), Peers: []uint32{1}, Groups: g}
		if err := o.Check(); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", g, err)
		}
	}
}

// TestMarksAreWrittenAgain loses the directory, and finds a mark for an account that is gone.
func TestMarksAreWrittenAgain(t *testing.T) {
	s, _ := newFake(t, nil)
	for _, name := range []string{"alice", "bob"} {
		if _, err := s.do(t.Context(), wantedFor(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	bob, err := mark.Read(s.Marks, "bob")
	if err != nil {
		t.Fatal(err)
	}
	q := request{Op: opUndeploy, Ref: &backend.Ref{ID: bob.ID, Name: "bob"}}
	if err := s.changeAccount(t.Context(), q, &Event{}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.Marks); err != nil {
		t.Fatal(err)
	}
	if err := mark.Write(s.Marks, bob); err != nil {
		t.Fatal(err)
	}
	if err := s.writeMarks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := mark.Read(s.Marks, "alice"); err != nil || m.UID == 0 {
		t.Errorf("alice: %+v, %v", m, err)
	}
	if _, err := mark.Read(s.Marks, "bob"); !errors.Is(err, mark.ErrNone) {
		t.Errorf("bob: %v", err)
	}
}

// TestAuditSaysWho has a line for each change and each refusal, with nothing in it that was not checked.
func TestAuditSaysWho(t *testing.T) {
	var events []Event
	s, _ := newFake(t, func(o *Options) { o.Audit = func(e Event) { events = append(events, e) } })
	w := wantedFor(t, "alice")
	bad := w
	bad.ID, bad.Name = "x\ny", "\x1b[2J"
	for _, q := range []request{{Op: opDeploy, Wanted: &w}, {Op: opDeploy, Wanted: &bad}, {Op: opResume, Ref: &backend.Ref{ID: w.ID, Name: "bob"}}} {
		c := caller{request: q}
		c.peer.UID, c.peer.PID = 77, 4711
		_, _ = s.handle(t.Context(), nil, c)
	}
	if len(events) != 3 {
		t.Fatalf("%+v", events)
	}
	if e := events[0]; e.Event != "deploy" || e.ID != w.ID || e.Name != "alice" || !e.Created || e.PeerUID != 77 || e.PeerPID != 4711 {
		t.Errorf("%+v", e)
	}
	if e := events[1]; e.Event != "refused" || e.Op != "deploy" || e.ID+e.Name != "" || e.Reason == "" ||
		strings.ContainsAny(e.Reason, "\n\x1b") {
		t.Errorf("%+v", e)
	}
	if e := events[2]; e.Event != "refused" || e.ID != w.ID || e.Name != "bob" {
		t.Errorf("%+v", e)
	}
}

// TestSameIdentityAtOnce makes one account of many requests, also when the account system is slow.
func TestSameIdentityAtOnce(t *testing.T) {
	s, tr := newFake(t, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for range 100 {
		wg.Go(func() {
			done, err := s.do(t.Context(), wantedFor(t, "alice"))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if done.Created {
				created++
			}
		})
	}
	wg.Wait()
	if created != 1 || len(tr.accounts) != 1 || len(s.busy.held) != 0 {
		t.Errorf("%d created, %d accounts, %d locks", created, len(tr.accounts), len(s.busy.held))
	}
}

func TestClientWithoutWorker(t *testing.T) {
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "worker.sock")
	if _, err := Dial(path, DialOptions{}).Find(t.Context(), "x"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("no socket: %v", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := Dial(path, DialOptions{Timeout: 50 * time.Millisecond}).Trust(t.Context()); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a worker that says nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := Dial(path, DialOptions{}).Trust(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if err := Dial(path, DialOptions{Trust: func(uint32) bool { return false }}).Trust(t.Context()); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a worker that is not trusted: %v", err)
	}
}
