package applets

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// node is the same house seen from another login node: the same home, another runtime directory, another mount of the
// home directory.
func (h *house) node(name, keystore string) (n *house, start func()) {
	h.tb.Helper()
	c := *h
	n = &c
	n.runDir = filepath.Join(h.dir, name)
	if err := os.Mkdir(n.runDir, 0o700); err != nil {
		h.tb.Fatal(err)
	}
	return n, func() { n.startAgent("--keystore", keystore) }
}

// mountHome mounts dir below once more, in user space, as a login node mounts the home directories.
func mountHome(t *testing.T, below string) string {
	t.Helper()
	services.Need(t, "unionfs-fuse", "fusermount3")
	at := t.TempDir()
	if out, err := exec.Command("unionfs-fuse", below+"=RW", at).CombinedOutput(); err != nil {
		services.Missing(t, "no file system in user space can be mounted here: "+string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("fusermount3", "-u", "-z", at).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v %s", err, out)
		}
	})
	return at
}

// TestTwoAgentsOneHome: two agents on two login nodes, one home on a network file system, a provider that rotates
// strictly and ends a login at the first reuse: 100 refreshes each, and the login lives.
func TestTwoAgentsOneHome(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	first := newHouse(t, "--rotation", "strict")
	nodes := make([]*house, 2)
	for i, name := range []string{"node-a", "node-b"} {
		n, start := first.node(name, filepath.Join(mountHome(t, home), "private", "keystore"))
		start()
		if i == 0 {
			n.gen("a")
		}
		nodes[i] = n
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for round := range 100 {
				if err := refresh(n, "a"); err != nil {
					t.Errorf("node %d, refresh %d: %v", i, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("200 refreshes in %v", time.Since(begin).Round(time.Millisecond))
}
