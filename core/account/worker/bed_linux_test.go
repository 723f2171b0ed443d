package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/account/unixdir"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	workerSocket = "/run/oidcbox/worker.sock"
	workerState  = "/var/lib/oidcbox/worker"
	envPlay      = "OIDCBOX_TEST_PLAY_WORKER"
)

// play is what a worker in a host of a test is told.
type play struct {
	Low, High  uint32
	Allow      []string
	Given      []string
	Rate       Rate
	PostCreate []string
	Adopt      bool // run Adopt and end
}

// TestMain lets the test binary be the worker of a host.
func TestMain(m *testing.M) {
	if told := os.Getenv(envPlay); told != "" {
		if err := playWorker(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func playWorker(told string) error {
	var p play
	if err := json.Unmarshal([]byte(told), &p); err != nil {
		return err
	}
	if err := vault.HardenProcess(); err != nil { // as the real one does: it changes what /proc shows of us
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	limits := names.Limits{MinUID: p.Low, MaxUID: p.High, MinGID: p.Low, MaxGID: p.High}
	system, err := unixdir.New(unixdir.Options{
		Limits: limits, Given: p.Given, Shells: map[backend.Tier]string{backend.Full: "/bin/bash", backend.Limited: "/bin/rbash"},
	})
	if err != nil {
		return err
	}
	engine, err := boltstore.Open(ctx, filepath.Join(workerState, "ledger.db"), boltstore.Options{
		Role: "worker", Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer engine.Close()
	o := Options{
		System: system, Ledger: engine, Limits: limits, Groups: Groups{Allow: p.Allow, Given: p.Given}, Rate: p.Rate,
		Peers: []uint32{0}, Marks: filepath.Join(workerState, "marks"), PostCreate: p.PostCreate, Numbers: true,
		Audit: func(e Event) { _ = json.NewEncoder(os.Stdout).Encode(e) },
	}
	if p.Adopt {
		report, err := Adopt(ctx, o)
		fmt.Printf("adopted %d, known %d, refused %v\n", len(report.Adopted), report.Known, report.Refused)
		return err
	}
	ln, err := sock.Listen(workerSocket, sock.ListenOptions{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return Serve(ctx, ln, o)
}

// bed is a host with a worker.
type bed struct {
	*services.Host
	t      *testing.T
	play   play
	client *Client
	cmd    *exec.Cmd
	out    *lines
}

// lines is what a process says.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBed(t *testing.T, change func(*play)) *bed {
	t.Helper()
	b := &bed{Host: services.NewHost(t), t: t, out: &lines{}}
	b.play = play{Low: uint32(b.FirstUID), High: uint32(b.LastUID), Given: []string{"users"}}
	if change != nil {
		change(&b.play)
	}
	for _, dir := range []string{"/run/oidcbox", workerState} {
		if err := os.MkdirAll(b.File(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.client = Dial(b.File(workerSocket), DialOptions{})
	b.start()
	t.Cleanup(b.stop)
	return b
}

// program is this test binary, where commands of a host find it: the temporary directory is the real machine's.
func (b *bed) command(p play) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	told, err := json.Marshal(p)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := b.Command(self)
	cmd.Env = append(cmd.Environ(), envPlay+"="+string(told))
	return cmd
}

func (b *bed) start() {
	b.t.Helper()
	b.cmd = b.command(b.play)
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	for begin := time.Now(); ; {
		if _, err := os.Stat(b.File(workerSocket)); err == nil {
			if _, err := b.client.Holder(b.t.Context(), "nobody-yet"); err == nil {
				return
			}
		}
		if time.Since(begin) > 30*time.Second {
			b.t.Fatalf("worker does not answer: %s", b.out)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *bed) stop() {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

// kill ends the worker as a crash would. What it had started goes on.
func (b *bed) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.cmd = nil
}

func identity(t testing.TB, sub string) string {
	t.Helper()
	id, err := names.Encode(sub, "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *bed) wanted(name string, groups ...string) backend.Wanted {
	return backend.Wanted{
		ID: identity(b.t, name), Name: name, Primary: "users", Groups: groups, Tier: backend.Full,
	}
}

func (b *bed) deploy(w backend.Wanted) backend.Done {
	b.t.Helper()
	done, err := b.client.Deploy(b.t.Context(), w)
	if err != nil {
		b.t.Fatalf("deploy %s: %v\n%s", w.Name, err, b.out)
	}
	return done
}

func (b *bed) ref(name string) backend.Ref { return backend.Ref{ID: identity(b.t, name), Name: name} }

func (b *bed) db() sysuser.DB { return sysuser.DB{Root: b.Root()} }

func TestWorkerLife(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice", "physics", "chess")
	w.Keys = []backend.Key{{Value: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGoixIxNYUtMJoNzdeaNFRSYrU+7hNvMBjIOh9rV4hpO"}}
	done := b.deploy(w)
	a := done.Account
	if !done.Created || a.Name != "alice" || a.UID < b.play.Low || a.Primary != "users" ||
		!slices.Equal(a.Groups, []string{"chess", "physics"}) || a.Suspended || len(done.Keys) != 1 {
		t.Errorf("made %+v", done)
	}
	if again := b.deploy(w); again.Created || len(again.Added)+len(again.Removed) > 0 || again.Account.UID != a.UID {
		t.Errorf("deployed again: %+v", again)
	}
	w.Groups = []string{"chess", "tennis"}
	if d := b.deploy(w); !slices.Equal(d.Added, []string{"tennis"}) || !slices.Equal(d.Removed, []string{"physics"}) {
		t.Errorf("other groups: %+v", d)
	}
	if out := b.Run("su", "alice", "-c", "id -un; pwd; cat .ssh/authorized_keys; ls -a"); !strings.Contains(out, "alice") {
		t.Errorf("su: %s", out)
	}
	if err := b.client.SetTier(t.Context(), b.ref("alice"), backend.Restricted); err != nil {
		t.Error(err)
	}
	if found, err := b.client.Find(t.Context(), w.ID); err != nil || !found.NoLogin {
		t.Errorf("without a shell for the tier: %+v, %v", found, err)
	}
	if err := b.client.Undeploy(t.Context(), b.ref("alice")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Find(t.Context(), w.ID); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("after undeploying: %v", err)
	}
	if h, err := b.client.Holder(t.Context(), "alice"); err != nil || h.ID != w.ID {
		t.Errorf("holder of the name: %+v, %v", h, err)
	}
	back := b.deploy(w)
	if !back.Created || back.Account.UID != a.UID {
		t.Errorf("back again: %+v", back)
	}
	info, err := os.Stat(b.File("/home/alice"))
	if err != nil || ownerOf(info) != a.UID {
		t.Errorf("home: %v, %v", info, err)
	}
}

func ownerOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// TestPrimaryGroup loses a person's primary group with the claim it came from: a number in passwd would keep it.
func TestPrimaryGroup(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice", "physics", "chess")
	w.Primary = "physics"
	if a := b.deploy(w).Account; a.Primary != "physics" {
		t.Fatalf("%+v", a)
	}
	w.Primary, w.Groups = "users", []string{"chess", "physics"}
	if d := b.deploy(w); d.Account.Primary != "physics" || len(d.Added)+len(d.Removed) != 0 {
		t.Errorf("still in it: %+v", d)
	}
	w.Groups = []string{"chess"}
	if d := b.deploy(w); d.Account.Primary != "users" || !slices.Contains(d.Removed, "physics") {
		t.Errorf("no longer in it: %+v", d)
	}
	if out := b.Run("su", "alice", "-c", "id -Gn"); strings.Contains(out, "physics") {
		t.Errorf("groups of a session: %s", out)
	}
	if out := b.Run("stat", "-c", "%G", "/home/alice"); strings.TrimSpace(out) != "users" {
		t.Errorf("home is the group's: %s", out)
	}
}
