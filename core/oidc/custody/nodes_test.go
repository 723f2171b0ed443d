package custody

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// mountFUSE mounts a file system in user space and returns n paths to it. Each is a mount of its own, as on so many
// machines: what the kernel caches of one is not told to the other.
func mountFUSE(t *testing.T, n int) []string {
	t.Helper()
	services.Need(t, "unionfs-fuse", "fusermount3")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		services.Missing(t, "/dev/fuse: "+err.Error())
	}
	back := t.TempDir()
	var mounts []string
	for range n {
		m := t.TempDir()
		if out, err := exec.Command("unionfs-fuse", back+"=RW", m).CombinedOutput(); err != nil {
			services.Missing(t, "no FUSE mount possible here: "+string(out))
		}
		t.Cleanup(func() {
			if out, err := exec.Command("fusermount3", "-u", "-z", m).CombinedOutput(); err != nil {
				t.Errorf("unmount: %v %s", err, out)
			}
		})
		mounts = append(mounts, m)
	}
	return mounts
}

// Two agents on two machines with one home directory, and a provider that rotates strictly: 100 refreshes each.
func TestTwoNodesOneHome(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("FUSE as Linux has it")
	}
	for name, n := range map[string]int{"same_mount": 1, "own_mounts": 2} {
		t.Run(name, func(t *testing.T) {
			mounts := mountFUSE(t, n)
			if err := os.Mkdir(filepath.Join(mounts[0], "private"), 0o700); err != nil {
				t.Fatal(err)
			}
			g := &gallows{t: t, op: newOP(strict)}
			g.op.delay = time.Millisecond
			srv := httptest.NewServer(g.op)
			defer srv.Close()
			g.url, g.first = srv.URL+"/token", g.op.first().Expose()

			g.path = filepath.Join(mounts[0], "private", "keystore")
			g.run(1, 1) // sets the login up
			g.first = ""
			began := time.Now()
			g.run(2, 100, mounts...)
			calls, reused, widest := g.op.seen()
			t.Logf("200 refreshes in %v", time.Since(began).Round(time.Millisecond))
			if reused != 0 || g.op.newestSerial() != 202 {
				t.Errorf("%d calls, %d superseded tokens sent, %d at a time, generation %d", calls, reused, widest,
					g.op.newestSerial())
			}
		})
	}
}

// run lets n children refresh count times each, at the same time.
func (g *gallows) run(n, count int, mounts ...string) {
	g.t.Helper()
	wait := make([]func(), n)
	for i := range n {
		if len(mounts) > 0 {
			g.path = filepath.Join(mounts[i%len(mounts)], "private", "keystore")
		}
		cmd, _, said := g.start(count, filepath.Join(g.t.TempDir(), "cache"))
		wait[i] = func() {
			s := said()
			if err := cmd.Wait(); err != nil || s.fault != "" || s.again || s.acks != count {
				g.t.Errorf("node %d: %+v, %v", i, s, err)
			}
		}
	}
	for _, w := range wait {
		w()
	}
}
