package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// TestKill kills the worker, and the programs it has started, again and again while accounts are made. Whoever comes
// back finds, or gets, a whole account.
func TestKill(t *testing.T) {
	b := newBed(t, nil)
	const users, rounds = 24, 12
	want := func(i int) backend.Wanted {
		w := b.wanted(fmt.Sprintf("user%d", i), "shared", fmt.Sprintf("group%d", i%5))
		w.Keys = []backend.Key{{Value: testKey}}
		return w
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range users / 2 {
			wg.Go(func() { _, _ = b.client.Deploy(t.Context(), want((round*users/4+i)%users)) })
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		if round%2 == 0 {
			b.killTools()
		}
		b.kill()
		if round%3 == 0 {
			b.killTools()
		}
		wg.Wait()
		b.start()
	}
	for i := range users {
		b.deploy(want(i))
	}
	b.consistent(users, func(a backend.Account) {
		var i int
		_, _ = fmt.Sscanf(a.Name, "user%d", &i)
		if fmt.Sprint(a.Groups) != fmt.Sprintf("[group%d shared]", i%5) {
			t.Errorf("groups of %s: %v", a.Name, a.Groups)
		}
		if keys := b.Read(a.Home + "/.ssh/authorized_keys"); strings.Count(keys, testKey) != 1 {
			t.Errorf("keys of %s: %q", a.Name, keys)
		}
	})
}

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGoixIxNYUtMJoNzdeaNFRSYrU+7hNvMBjIOh9rV4hpO"

// killTools kills the programs of shadow-utils that run in this host, and in no other.
func (b *bed) killTools() {
	mine := strings.TrimSpace(b.Run("readlink", "/proc/self/ns/mnt"))
	all, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, comm := range all {
		name, err := os.ReadFile(comm)
		if err != nil {
			continue
		}
		switch strings.TrimSpace(string(name)) {
		case "useradd", "usermod", "groupadd", "chage", "userdel":
		default:
			continue
		}
		dir := filepath.Dir(comm)
		theirs, err := os.Readlink(dir + "/ns/mnt")
		if err != nil || theirs != mine {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestKillAtEachStep lets a program of shadow-utils die at a time of its own, by a program of that name that does what
// the real one does and cuts it off: after every file that useradd writes.
func TestKillAtEachStep(t *testing.T) {
	b := newBed(t, nil)
	b.deploy(b.wanted("before", "physics"))
	for i, files := range [][]string{
		{"/etc/passwd"},
		{"/etc/passwd", "/etc/shadow"},
		{"/etc/passwd", "/etc/shadow", "/etc/group"},
		{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"},
	} {
		t.Run(fmt.Sprintf("after_%d_files", len(files)), func(t *testing.T) {
			name := fmt.Sprintf("half%d", i)
			w := b.wanted(name, "physics", "chess")
			all := []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"}
			before := map[string]string{}
			b.Run("groupadd", "-f", "chess")
			for _, f := range all {
				before[f] = b.Read(f)
			}
			done, err := b.client.Deploy(t.Context(), w)
			if i > 0 && err != nil || i == 0 && !errors.Is(err, backend.ErrRefused) {
				t.Fatal(err)
			}
			if i == 0 { // chess was not made by the worker; let it
				b.Run("groupdel", "chess")
				done = b.deploy(w)
			}
			for _, f := range all[len(files):] {
				b.Write(f, before[f], 0o640)
			}
			if err := os.RemoveAll(b.File("/home/" + name)); err != nil {
				t.Fatal(err)
			}
			again := b.deploy(w)
			if again.Account.UID != done.Account.UID || fmt.Sprint(again.Account.Groups) != "[chess physics]" {
				t.Errorf("mended: %+v", again)
			}
			b.whole(again.Account)
		})
	}
}

// TestLockedByOthers holds the lock of passwd as vipw would: nothing is made, it is said that one should try again, and
// afterwards it goes on. A lock whose holder is dead is none.
func TestLockedByOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("shadow-utils wait for a lock for 15 s")
	}
	b := newBed(t, nil)
	b.Write("/etc/passwd.lock", strconv.Itoa(os.Getpid()), 0o600)
	begin := time.Now()
	if _, err := b.client.Deploy(t.Context(), b.wanted("alice")); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("while passwd is locked: %v", err)
	}
	if took := time.Since(begin); took > DefaultTimeout {
		t.Errorf("it took %v", took)
	}
	if _, err := b.client.Find(t.Context(), identity(t, "alice")); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("afterwards: %v", err)
	}
	b.Write("/etc/passwd.lock", "999999999", 0o600)
	b.deploy(b.wanted("alice"))
}

// TestNumbersAreNotGivenTwice takes accounts away and makes others.
func TestNumbersAreNotGivenTwice(t *testing.T) {
	b := newBed(t, nil)
	seen := map[uint32]string{}
	for i := range 6 {
		name := fmt.Sprintf("u%d", i)
		a := b.deploy(b.wanted(name)).Account
		if other := seen[a.UID]; other != "" {
			t.Errorf("uid %d was %s's", a.UID, other)
		}
		seen[a.UID] = name
		if err := b.client.Undeploy(t.Context(), b.ref(name)); err != nil {
			t.Fatal(err)
		}
	}
	b.stop()
	b.start()
	w := b.wanted("u2")
	if a := b.deploy(w).Account; seen[a.UID] != "u2" {
		t.Errorf("u2 came back as uid %d: %v", a.UID, seen)
	}
	w = b.wanted("newcomer")
	w.Name = "u3"
	if _, err := b.client.Deploy(t.Context(), w); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("a former name: %v", err)
	}
}

// TestPostCreate runs a program for each new account: again when it failed, and not again when it went well.
func TestPostCreate(t *testing.T) {
	b := newBed(t, func(p *play) { p.PostCreate = []string{"/srv/hook", "--site", "x"} })
	b.Write("/srv/hook", "#!/bin/sh\necho \"$* $(id -u) $(env | wc -l)\" >>/srv/ran\n[ ! -e /srv/broken ]\n", 0o755)
	b.Write("/srv/broken", "", 0o600)
	w := b.wanted("alice")
	if _, err := b.client.Deploy(t.Context(), w); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("while the program fails: %v", err)
	}
	if err := os.Remove(b.File("/srv/broken")); err != nil {
		t.Fatal(err)
	}
	if d := b.deploy(w); !d.Created {
		t.Errorf("the account was finished now: %+v", d)
	}
	if d := b.deploy(w); d.Created {
		t.Errorf("the account was there: %+v", d)
	}
	ran := b.Read("/srv/ran")
	if lines := strings.Split(strings.TrimSpace(ran), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "--site x alice 0 ") {
		t.Errorf("the program ran: %q", ran)
	}
}

// TestAdopt takes over what was there before, once root says so.
func TestAdopt(t *testing.T) {
	b := newBed(t, nil)
	old := identity(t, "veteran")
	b.Run("useradd", "-m", "-c", old, "veteran")
	b.Run("useradd", "-m", "-c", "A. Local", "localuser")
	b.Run("useradd", "-r", "-c", identity(t, "low"), "low")
	if _, err := b.client.Find(t.Context(), old); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("before: %v", err)
	}
	b.stop()
	p := b.play
	p.Adopt = true
	out, err := b.command(p).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nadopted 1, known 0, refused []") {
		t.Fatalf("%v: %s", err, out)
	}
	b.start()
	a, err := b.client.Find(t.Context(), old)
	if err != nil || a.Name != "veteran" {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
	if m, err := mark.Read(b.File(workerState+"/marks"), "veteran"); err != nil || m.UID != a.UID {
		t.Errorf("mark: %+v, %v", m, err)
	}
	b.stop()
	b.Write("/etc/login.defs", "CHFN_RESTRICT frwh\n", 0o644)
	if out, err := b.command(p).CombinedOutput(); err == nil {
		t.Errorf("users can write the field: %s", out)
	}
	b.start()
}

// TestSuspendInACrowd stops somebody while many are being let in: that does not wait for its turn behind them.
func TestSuspendInACrowd(t *testing.T) {
	b := newBed(t, nil)
	b.deploy(b.wanted("mallory"))
	const crowd = 40
	var wg sync.WaitGroup
	var made atomic.Int32
	for i := range crowd {
		wg.Go(func() {
			if _, err := b.client.Deploy(t.Context(), b.wanted(fmt.Sprintf("user%d", i))); err != nil {
				t.Error(err)
			}
			made.Add(1)
		})
	}
	for made.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := b.client.Suspend(t.Context(), b.ref("mallory"), true); err != nil {
		t.Fatal(err)
	}
	if n := made.Load(); n > crowd/2 {
		t.Errorf("%d of %d were let in before", n, crowd)
	}
	wg.Wait()
}

// TestLongestIdentity makes an account for the longest sub and iss there can be: its line in passwd is read by all.
func TestLongestIdentity(t *testing.T) {
	b := newBed(t, nil)
	id, err := names.Encode(strings.Repeat("ä", names.MaxSub/2), "https://"+strings.Repeat("/", names.MaxIss-8))
	if err != nil {
		t.Fatal(err)
	}
	w := b.wanted("long")
	w.ID = id
	a := b.deploy(w).Account
	if found, err := b.client.Find(t.Context(), id); err != nil || found.UID != a.UID {
		t.Errorf("%+v, %v", found, err)
	}
	if out := b.Run("su", "long", "-c", "id -un"); strings.TrimSpace(out) != "long" {
		t.Errorf("id: %s", out)
	}
	if err := b.client.Undeploy(t.Context(), backend.Ref{ID: id, Name: "long"}); err != nil {
		t.Error(err)
	}
}

// TestUnchangedIsCheap deploys what is there already: no program is run, and nothing is written.
func TestUnchangedIsCheap(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice", "physics")
	w.Keys = []backend.Key{{Value: testKey}}
	b.deploy(w)
	before := b.files()
	info, err := os.Stat(b.File("/etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	begin := time.Now()
	for range n {
		b.deploy(w)
	}
	t.Logf("%v each", time.Since(begin)/n)
	after, err := os.Stat(b.File("/etc/passwd"))
	if err != nil || !os.SameFile(info, after) || b.files() != before {
		t.Errorf("files were written: %v", err)
	}
}

// TestUserdelWasKilled has an account whose entry in passwd is gone, and whose other entries are not.
func TestUserdelWasKilled(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice", "physics", "chess")
	a := b.deploy(w).Account
	var rest []string
	for line := range strings.Lines(b.Read("/etc/passwd")) {
		if !strings.HasPrefix(line, "alice:") {
			rest = append(rest, line)
		}
	}
	b.Write("/etc/passwd", strings.Join(rest, ""), 0o644)
	w.Groups = []string{"physics"}
	again := b.deploy(w)
	if again.Account.UID != a.UID || fmt.Sprint(again.Account.Groups) != "[physics]" || again.Account.Suspended {
		t.Errorf("%+v", again)
	}
	b.consistent(1, func(backend.Account) {})
	if err := b.client.Suspend(t.Context(), b.ref("alice"), false); err != nil {
		t.Fatal(err)
	}
	b.Write("/etc/passwd", strings.Join(rest, ""), 0o644) // undeploying had suspended it first
	if d := b.deploy(w); d.Account.Suspended {
		t.Errorf("a new account that is suspended: %+v", d)
	}
}

// TestGroupaddWasKilled finds a group that group(5) has and gshadow(5) has not, and mends it with the next deployment.
func TestGroupaddWasKilled(t *testing.T) {
	b := newBed(t, nil)
	b.deploy(b.wanted("alice", "physics"))
	var rest []string
	for line := range strings.Lines(b.Read("/etc/gshadow")) {
		if !strings.HasPrefix(line, "physics:") {
			rest = append(rest, line)
		}
	}
	b.Write("/etc/gshadow", strings.Join(rest, ""), 0o640)
	b.deploy(b.wanted("alice", "physics"))
	if !strings.Contains(b.Read("/etc/gshadow"), "\nphysics:") {
		t.Error("gshadow still has no entry")
	}
	b.Run("grpck", "-r")
}
