package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// TestHostileHome lets a user put all kinds of things where keys are written. Nothing outside of the home is read,
// written or waited for, and a login that comes after it works again once the user has tidied up.
func TestHostileHome(t *testing.T) {
	b := newBed(t, nil)
	b.Write("/srv/secret", "root's own\n", 0o600)
	b.Write("/srv/public", "root's own\n", 0o666)
	if err := os.Chmod(b.File("/srv/public"), 0o666); err != nil {
		t.Fatal(err)
	}
	b.Run("mkdir", "-p", "/srv/elsewhere/.ssh")
	b.Run("chmod", "-R", "777", "/srv/elsewhere")
	plain := b.wanted("alice")
	b.deploy(plain)
	keyed := plain
	keyed.Keys = []backend.Key{{Value: testKey}}
	for name, c := range map[string]struct {
		trick string
		works bool
	}{
		"ssh_is_link_to_root":              {"ln -s /root/.ssh .ssh", false},
		"ssh_is_link_to_open_directory":    {"ln -s /srv/elsewhere/.ssh .ssh", false},
		"ssh_is_link_to_own_directory":     {"mkdir d; ln -s d .ssh", false},
		"ssh_is_file":                      {"touch .ssh", false},
		"ssh_is_pipe":                      {"mkfifo .ssh", false},
		"ssh_is_closed":                    {"mkdir -m 0 .ssh", false},
		"keys_are_link_to_secret":          {"mkdir .ssh; ln -s /srv/secret .ssh/authorized_keys", false},
		"keys_are_link_to_shadow":          {"mkdir .ssh; ln -s /etc/shadow .ssh/authorized_keys", false},
		"keys_are_link_to_public":          {"mkdir .ssh; ln -s /srv/public .ssh/authorized_keys", false},
		"keys_are_dangling_link":           {"mkdir .ssh; ln -s /srv/new .ssh/authorized_keys", false},
		"keys_are_pipe":                    {"mkdir .ssh; mkfifo .ssh/authorized_keys", false},
		"keys_are_directory":               {"mkdir -p .ssh/authorized_keys", false},
		"keys_are_huge":                    {"mkdir .ssh; truncate -s 1G .ssh/authorized_keys", false},
		"keys_are_hard_link_to_own_file":   {"echo mine >f; mkdir .ssh; ln f .ssh/authorized_keys", true},
		"keys_of_the_user_without_newline": {"mkdir .ssh; printf 'ssh-rsa mine' >.ssh/authorized_keys", true},
		"keys_are_read_only":               {"mkdir .ssh; touch .ssh/authorized_keys; chmod 400 .ssh/authorized_keys", true},
		"begin_without_end": {"mkdir .ssh; (printf '%s\\n' '" +
			"# oidcbox: keys of the federated identity, written anew at each deployment' 'ssh-rsa old' '# mine' 'ssh-rsa mine'" +
			") >.ssh/authorized_keys", true},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run("su", "alice", "-c", "cd && chmod -fR u+rwx .ssh; rm -rf .ssh d f; "+c.trick)
			begin := time.Now()
			done, err := b.client.Deploy(t.Context(), keyed)
			if took := time.Since(begin); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
			if err != nil || c.works != (len(done.Keys) == 1) {
				t.Fatalf("%+v, %v", done, err) // a home that is out of order is no reason to lock its user out
			}
			if !c.works {
				return
			}
			path := b.File("/home/alice/.ssh/authorized_keys")
			text, err := os.ReadFile(path)
			info, err2 := os.Stat(path)
			if err != nil || err2 != nil || !strings.Contains(string(text), "\n"+testKey+"\n") {
				t.Fatalf("keys %q: %v", text, err)
			}
			if info.Mode() != 0o600 || ownerOf(info) != done.Account.UID || info.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Errorf("keys are %v of %d", info.Mode(), ownerOf(info))
			}
			if strings.Contains(c.trick, "mine") && strings.Count(string(text), "mine\n") == 0 {
				t.Errorf("the user's own lines are gone: %q", text)
			}
		})
	}
	for path, want := range map[string]string{"/srv/secret": "root's own\n", "/srv/public": "root's own\n"} {
		if got := b.Read(path); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	if left, _ := filepath.Glob(b.File("/srv/elsewhere/.ssh/*")); len(left) > 0 {
		t.Errorf("written elsewhere: %v", left)
	}
	if _, err := os.Lstat(b.File("/srv/new")); err == nil {
		t.Error("a dangling link was followed")
	}
	b.Run("su", "alice", "-c", "rm -rf ~/.ssh")
	b.deploy(keyed)
	b.Run("su", "alice", "-c", "mv ~/.ssh ~/d; mkfifo ~/.ssh")
	if err := b.client.Undeploy(t.Context(), b.ref("alice")); err != nil {
		t.Errorf("undeploying with a pipe in the home: %v", err)
	}
	b.deploy(plain)
	b.Run("su", "alice", "-c", "rm ~/.ssh; mv ~/d ~/.ssh")
	if err := b.client.Undeploy(t.Context(), b.ref("alice")); err != nil {
		t.Error(err)
	}
	if keys := b.Read("/home/alice/.ssh/authorized_keys"); strings.Contains(keys, "ssh-") {
		t.Errorf("keys after undeploying: %q", keys)
	}
}

// TestForeignHome keeps a new account from a home that is somebody else's.
func TestForeignHome(t *testing.T) {
	b := newBed(t, nil)
	for name, make := range map[string][]string{
		"directory_of_root":   {"mkdir", "/home/alice"},
		"link":                {"ln", "-s", "/root", "/home/alice"},
		"dangling_link":       {"ln", "-s", "/srv/none", "/home/alice"},
		"file":                {"touch", "/home/alice"},
		"of_a_user_long_gone": {"install", "-d", "-o", "54321", "/home/alice"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(make[0], make[1:]...)
			if h, err := b.client.Holder(t.Context(), "alice"); err != nil || !h.Taken {
				t.Errorf("holder: %+v, %v", h, err)
			}
			if done, err := b.client.Deploy(t.Context(), b.wanted("alice")); !errors.Is(err, backend.ErrTaken) {
				t.Errorf("%+v, %v", done, err)
			}
			b.Run("rm", "-rf", "/home/alice")
		})
	}
	b.deploy(b.wanted("alice"))
}

// TestSuspend ends what runs as the user, however it tries to stay, in less than two seconds, and keeps the user out.
func TestSuspend(t *testing.T) {
	b := newBed(t, nil)
	a := b.deploy(b.wanted("alice")).Account
	other := b.deploy(b.wanted("other")).Account
	b.Background("daemon", b.Command("setsid", "su", "alice", "-c", "trap '' TERM HUP INT; while :; do sleep 1 & wait; done"))
	b.Background("forks", b.Command("su", "alice", "-c", "while :; do (sleep 0.05 &) ; sleep 0.01; done"))
	b.Background("bystander", b.Command("su", "other", "-c", "sleep 600"))
	if out, err := b.Command("su", "alice", "-c", "unshare -U true").CombinedOutput(); err != nil {
		t.Logf("without containers: %s", out)
	} else {
		b.contain(a)
	}
	for runs(a.UID) < 4 || runs(other.UID) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	begin := time.Now()
	if err := b.client.Suspend(t.Context(), b.ref("alice"), true); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	t.Logf("suspended in %v", took)
	if took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := runs(a.UID); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if first, ok := b.subordinate(a.Name); ok && runs(first) != 0 {
		t.Errorf("%d processes of a container are left", runs(first))
	}
	if runs(other.UID) == 0 {
		t.Error("another user's process is gone")
	}
	if got, err := b.client.Find(t.Context(), a.ID); err != nil || !got.Suspended {
		t.Errorf("%+v, %v", got, err)
	}
	if out, err := b.Command("su", "alice", "-c", "true").CombinedOutput(); err == nil {
		t.Errorf("a suspended user works: %s", out)
	}
	if d := b.deploy(b.wanted("alice")); !d.Account.Suspended {
		t.Error("deploying woke the account up")
	}
	if err := b.client.Suspend(t.Context(), b.ref("alice"), true); err != nil {
		t.Errorf("twice: %v", err)
	}
	if err := b.client.Resume(t.Context(), b.ref("alice")); err != nil {
		t.Fatal(err)
	}
	b.Run("su", "alice", "-c", "true")
}

// subordinate is the first of the uids that a user may have in containers.
func (b *bed) subordinate(name string) (uint32, bool) {
	_, after, found := strings.Cut("\n"+b.Read("/etc/subuid"), "\n"+name+":")
	first, _, _ := strings.Cut(after, ":")
	n, err := strconv.ParseUint(first, 10, 32)
	return uint32(n), found && err == nil
}

// contain starts a process of the user under a subordinate uid, as a container without root has them.
func (b *bed) contain(a backend.Account) {
	b.t.Helper()
	first, ok := b.subordinate(a.Name)
	if !ok {
		b.t.Log("without subordinate uids")
		return
	}
	cmd := b.Command("sleep", "601")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, GidMappingsEnableSetgroups: true,
		UidMappings: []syscall.SysProcIDMap{
			{ContainerID: 0, HostID: int(a.UID), Size: 1}, {ContainerID: 1, HostID: int(first), Size: 1000},
		},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(a.GID), Size: 1000}},
		Credential:  &syscall.Credential{Uid: 1, Gid: 0, NoSetGroups: true},
	}
	cmd.Path, cmd.Args = "/usr/bin/sleep", []string{"sleep", "601"}
	b.Background("container", cmd)
	for runs(first) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// runs counts the living processes of a uid.
func runs(uid uint32) int {
	n := 0
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		info, err := os.Stat(dir)
		state, err2 := os.ReadFile(dir + "/stat")
		if err != nil || err2 != nil || ownerOf(info) != uid {
			continue
		}
		if _, tail, _ := strings.Cut(string(state), ") "); !strings.HasPrefix(tail, "Z") {
			n++
		}
	}
	return n
}

// TestEditedGecos lets a user change what chfn lets users change: the identity stands before it, and stays.
func TestEditedGecos(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice")
	b.deploy(w)
	b.Run("chfn", "-r", "room 1", "alice")
	if a, err := b.client.Find(t.Context(), w.ID); err != nil || a.Name != "alice" {
		t.Errorf("%+v, %v", a, err)
	}
	b.deploy(w)
	if passwd := b.Read("/etc/passwd"); !strings.Contains(passwd, ":"+w.ID+":/home/alice:") {
		t.Errorf("passwd: %s", passwd)
	}
	b.Run("usermod", "-c", identity(t, "bob"), "alice")
	if _, err := b.client.Deploy(t.Context(), w); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("alice's account says it is bob's: %v", err)
	}
	if _, err := b.client.Find(t.Context(), identity(t, "bob")); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("bob has got alice's account: %v", err)
	}
	b.Run("usermod", "-c", w.ID, "alice")
	b.Run("useradd", "-M", "-c", w.ID, "twin")
	if _, err := b.client.Find(t.Context(), w.ID); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("two accounts with one identity: %v", err)
	}
}

// TestMountedHome has a home that is a file system of its own, a full one, and one in which something else is mounted
// where the keys are.
func TestMountedHome(t *testing.T) {
	b := newBed(t, nil)
	w := b.wanted("alice")
	a := b.deploy(w).Account
	w.Keys = []backend.Key{{Value: testKey}}
	b.Run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=64k,mode=700,uid=%d,gid=%d", a.UID, a.GID), "none", "/home/alice")
	if done := b.deploy(w); len(done.Keys) != 1 {
		t.Errorf("a file system of its own: %+v", done)
	}
	path := "/home/alice/.ssh/authorized_keys"
	cat := func() string { return b.Run("cat", path) }
	before := cat()
	b.Run("su", "alice", "-c", "cat /dev/zero >~/full 2>/dev/null || true")
	other := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	w.Keys = []backend.Key{{Value: other}}
	done, err := b.client.Deploy(t.Context(), w)
	if err != nil || len(done.Keys) != 0 || cat() != before {
		t.Errorf("a full disk: %+v, %v, %q", done, err, cat())
	}
	b.Run("su", "alice", "-c", "rm ~/full")
	if done := b.deploy(w); len(done.Keys) != 1 || !strings.Contains(cat(), other) || strings.Contains(cat(), testKey) {
		t.Errorf("with room again: %+v, %q", done, cat())
	}
	b.Run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("mode=700,uid=%d,gid=%d", a.UID, a.GID), "none", "/home/alice/.ssh")
	if done := b.deploy(w); len(done.Keys) != 0 {
		t.Errorf("something is mounted there: %+v", done)
	}
	if out := b.Run("ls", "-A", "/home/alice/.ssh"); out != "" {
		t.Errorf("written into it: %s", out)
	}
}
