package provision

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// dirHost is an account system in files, shared by processes that are killed: every step is one file, and half of them
// may be there.
type dirHost struct {
	dir string
	mu  *sync.Mutex // uids are counted by one process at a time; several meet at O_EXCL
	backend.System
}

func newDirHost(dir string) (dirHost, error) {
	for _, sub := range []string{"names", "uids", "accounts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return dirHost{}, err
		}
	}
	return dirHost{dir: dir, mu: new(sync.Mutex)}, nil
}

func (h dirHost) file(id string) string { return filepath.Join(h.dir, "accounts", digest(id)) }

func (h dirHost) Find(_ context.Context, id string) (a backend.Account, err error) {
	raw, err := os.ReadFile(h.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return a, backend.ErrNoAccount
	}
	return a, cmp.Or(err, json.Unmarshal(raw, &a))
}

func (h dirHost) Holder(_ context.Context, name string) (backend.Holder, error) {
	id, err := os.ReadFile(filepath.Join(h.dir, "names", name))
	if errors.Is(err, fs.ErrNotExist) {
		return backend.Holder{}, nil
	}
	return backend.Holder{Taken: true, ID: string(id)}, err
}

// own takes a file for id: with ErrTaken when it is somebody else's.
func (h dirHost) own(id string, parts ...string) error {
	name := filepath.Join(append([]string{h.dir}, parts...)...)
	tmp, err := os.CreateTemp(h.dir, "new")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(id)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err = os.Link(tmp.Name(), name); !errors.Is(err, fs.ErrExist) {
		return err
	}
	if has, err := os.ReadFile(name); err != nil || string(has) != id {
		return errors.Join(backend.ErrTaken, err)
	}
	return nil
}

func (h dirHost) save(a backend.Account) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tmp := filepath.Join(h.dir, fmt.Sprintf("save%d", rand.Uint64()))
	return cmp.Or(os.WriteFile(tmp, raw, 0o600), os.Rename(tmp, h.file(a.ID)))
}

func (h dirHost) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	a, err := h.Find(ctx, w.ID)
	created := errors.Is(err, backend.ErrNoAccount)
	if created {
		if err := h.own(w.ID, "names", w.Name); err != nil {
			return backend.Done{}, err
		}
		a = backend.Account{ID: w.ID, Name: w.Name, Primary: w.Primary, GID: 1500, UID: w.UID}
		h.mu.Lock()
		for n := uint32(2001); a.UID == 0; n++ {
			if h.own(w.ID, "uids", strconv.Itoa(int(n))) == nil {
				a.UID = n
			}
		}
		h.mu.Unlock()
		if err := h.save(a); err != nil {
			return backend.Done{}, err
		}
	} else if err != nil {
		return backend.Done{}, err
	}
	done := backend.Done{Created: created, Added: without(w.Groups, a.Groups), Removed: without(a.Groups, w.Groups)}
	a.Groups = w.Groups
	done.Account = a
	return done, h.save(a)
}

const childRole = "oidcbox-provision-test"

// openLedger opens a PostgreSQL address or a file.
func openLedger(ctx context.Context, at string) (store.Engine, error) {
	if strings.HasPrefix(at, "postgres") {
		return pgstore.Open(ctx, func() (string, error) { return at, nil }, pgstore.Options{Role: childRole})
	}
	return boltstore.Open(ctx, at, boltstore.Options{Role: childRole, Timeout: 10 * time.Second})
}

func childDesk(eng store.Engine, dir string) (*Desk, error) {
	h, err := newDirHost(dir)
	if err != nil {
		return nil, err
	}
	return New(Options{Store: eng, System: h, Rules: testRules(), Patience: time.Minute})
}

// child deploys a crowd, eight at a time, and says on a line whom it has deployed.
func child() error {
	ctx := context.Background()
	eng, err := openLedger(ctx, os.Getenv("PROVISION_LEDGER"))
	if err != nil {
		return err
	}
	d, err := childDesk(eng, os.Getenv("PROVISION_HOST"))
	if err != nil {
		return err
	}
	people := crowd(50)
	rand.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	var all sync.WaitGroup
	var mu sync.Mutex
	var problems []error
	places := make(chan struct{}, 8)
	for _, s := range people {
		places <- struct{}{}
		all.Go(func() {
			answer, err := d.Deploy(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			<-places
			if err != nil {
				problems = append(problems, err)
				return
			}
			fmt.Println(s.Sub, answer.Credentials["ssh_user"])
		})
	}
	all.Wait()
	return errors.Join(append(problems, eng.Close())...)
}

func TestMain(m *testing.M) {
	if os.Getenv("PROVISION_LEDGER") == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// running is a child process.
type running struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr *strings.Builder
	said   map[string]string // local names, by sub
}

func startChild(t *testing.T, ledger, dir string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(os.Args[0], "-test.run=^$"), stderr: new(strings.Builder), said: map[string]string{}}
	r.cmd.Env = append(os.Environ(), "PROVISION_LEDGER="+ledger, "PROVISION_HOST="+dir)
	r.cmd.Stderr = r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines = bufio.NewScanner(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// read takes lines until there are n, or all.
func (r *running) read(n int) {
	for len(r.said) < n && r.lines.Scan() {
		if f := strings.Fields(r.lines.Text()); len(f) == 2 {
			r.said[f[0]] = f[1]
		}
	}
}

// kill ends the process at once and reads what it had said.
func (r *running) kill() {
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	r.read(1 << 30)
	_ = r.cmd.Wait()
}

// settled asserts that everybody whom a child said it deployed can log in as whom it said, then has everybody log in
// once more, and asserts that nobody shares anything and nothing is half made.
func settled(t *testing.T, d *Desk, said map[string]string) {
	t.Helper()
	uids, taken := map[uint32]string{}, map[string]string{}
	for _, s := range crowd(50) {
		if name, ok := said[s.Sub]; ok {
			if v, err := d.Verify(t.Context(), s.ID, name); err != nil || !v.Allowed {
				t.Errorf("%s was deployed as %s and is not let in: %+v, %v", s.Sub, name, v, err)
			}
		}
		answer, err := d.Deploy(t.Context(), s)
		if err != nil {
			t.Errorf("%s cannot log in any more: %v", s.Sub, err)
			continue
		}
		name := answer.Credentials["ssh_user"]
		a, err := d.o.System.Find(t.Context(), s.ID)
		if err != nil || a.Name != name || !slices.Equal(a.Groups, slices.Sorted(slices.Values(s.Groups))) {
			t.Errorf("%s: %+v, %v", s.Sub, a, err)
		}
		if other := uids[a.UID] + taken[name]; other != "" || a.UID == 0 {
			t.Errorf("%s shares uid %d or name %s with %s", s.Sub, a.UID, name, other)
		}
		uids[a.UID], taken[name] = s.Sub, s.Sub
		if v, err := d.Verify(t.Context(), s.ID, name); err != nil || !v.Allowed {
			t.Errorf("%s is not let in: %+v, %v", s.Sub, v, err)
		}
	}
}

// TestKilled: a process that is killed anywhere in fifty first logins leaves nothing that the next login does not mend.
func TestKilled(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	for round := range 6 {
		base := t.TempDir()
		ledger, dir := filepath.Join(base, "ledger", "file"), filepath.Join(base, "host")
		said := map[string]string{}
		for range 3 { // killed twice more while it mends what the last one left
			c := startChild(t, ledger, dir)
			c.read(random.IntN(25))
			time.Sleep(time.Duration(random.IntN(8)) * time.Millisecond) // chance, not a wait for something
			c.kill()
			for sub, name := range c.said {
				if was, ok := said[sub]; ok && was != name {
					t.Fatalf("round %d: %s was %s and became %s", round, sub, was, name)
				}
				said[sub] = name
			}
		}
		eng, err := openLedger(t.Context(), ledger)
		if err != nil {
			t.Fatal(err)
		}
		d, err := childDesk(eng, dir)
		if err != nil {
			t.Fatal(err)
		}
		settled(t, d, said)
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
}

// TestNodes: three processes on one PostgreSQL deploy the same fifty people at once, and one of them is killed.
func TestNodes(t *testing.T) {
	pg := services.PostgreSQL(t)
	ledger, dir := pg.URL(""), t.TempDir()
	eng, err := openLedger(t.Context(), ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close() })
	d, err := childDesk(eng, dir)
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*running{startChild(t, ledger, dir), startChild(t, ledger, dir), startChild(t, ledger, dir)}
	nodes[2].read(5)
	nodes[2].kill()
	said := nodes[2].said
	for _, c := range nodes[:2] {
		c.read(1 << 30)
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, c.stderr)
		}
		if len(c.said) != 50 {
			t.Errorf("%d of 50", len(c.said))
		}
		for sub, name := range c.said {
			if was, ok := said[sub]; ok && was != name {
				t.Errorf("%s is %s on one node and %s on another", sub, was, name)
			}
			said[sub] = name
		}
	}
	settled(t, d, said)
}
