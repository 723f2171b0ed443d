package boltstore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/storetest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const sftpServer = "/usr/lib/openssh/sftp-server"

// isMounted reports whether dir is the root of a file system.
func isMounted(dir string) bool {
	var in, above syscall.Stat_t
	return syscall.Stat(dir, &in) == nil && syscall.Stat(filepath.Dir(dir), &above) == nil && in.Dev != above.Dev
}

// unmount takes dir away whatever state it is in.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if !isMounted(dir) && !errors.Is(syscall.Access(dir, 0), syscall.ENOTCONN) {
		return
	}
	for _, args := range [][]string{{"fusermount3", "-u", dir}, {"fusermount3", "-uz", dir}, {"umount", "-l", dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err == nil {
			return
		} else if args[0] == "umount" {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	}
}

func needFUSE(t *testing.T, programs ...string) {
	t.Helper()
	services.Need(t, append(programs, "fusermount3")...)
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		services.Missing(t, "no file system in user space can be mounted here: "+err.Error())
	}
	_ = dev.Close()
}

// unionMount returns a directory of a file system in user space.
func unionMount(t *testing.T) string {
	t.Helper()
	needFUSE(t, "unionfs-fuse")
	dir, below := mountPoint(t), t.TempDir()
	if out, err := exec.Command("unionfs-fuse", "-o", "cow", below+"=RW", dir).CombinedOutput(); err != nil {
		services.Missing(t, "no file system in user space can be mounted here: "+string(out))
	}
	t.Cleanup(func() { unmount(t, dir) })
	waitForMount(t, dir)
	return dir
}

func mountPoint(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sftpMount mounts remote by SFTP without a network: a server of its own is at the other end of two pipes.
func sftpMount(t *testing.T, remote string) string {
	t.Helper()
	needFUSE(t, "sshfs", sftpServer)
	dir := mountPoint(t)
	server, client := exec.Command(sftpServer), exec.Command("sshfs", "-f", "-o", "passive", ":"+remote, dir)
	toClient, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	toServer, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	client.Stdin, server.Stdin = toClient, toServer
	for _, cmd := range []*exec.Cmd{server, client} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		unmount(t, dir)
		_ = client.Process.Kill()
		_ = server.Process.Kill()
		_ = client.Wait()
		_ = server.Wait()
	})
	waitForMount(t, dir)
	return dir
}

func waitForMount(t *testing.T, dir string) {
	t.Helper()
	for range 500 {
		if isMounted(dir) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	services.Missing(t, "no file system in user space appears at "+dir)
}

func TestFUSEContract(t *testing.T) {
	dir := unionMount(t)
	n := 0
	storetest.Run(t, func(t *testing.T) store.Engine {
		n++
		path := filepath.Join(dir, strconv.Itoa(n), "keystore")
		e := mustOpen(t, path, Options{CacheDir: newCache(t)})
		if !e.Network() || e.FS() != "fuse" {
			t.Fatalf("network %v, file system %s", e.Network(), e.FS())
		}
		return e
	})
}

func TestFUSETwoNodes(t *testing.T) {
	path := filepath.Join(unionMount(t), "home", "keystore")
	countOnTwoNodes(t, [2]string{path, path}, 30, nil)
}

// Two mounts of one directory, each with a cache of its own, as two login nodes have.
func TestSFTPTwoNodes(t *testing.T) {
	remote := t.TempDir()
	a, b := sftpMount(t, remote), sftpMount(t, remote)
	countOnTwoNodes(t, [2]string{filepath.Join(a, "home", "keystore"), filepath.Join(b, "home", "keystore")}, 30, nil)
}

// When home goes away nothing is acknowledged; when it is back nothing is lost.
func TestFUSEHomeGoesAway(t *testing.T) {
	remote := t.TempDir()
	dir := sftpMount(t, remote)
	e := mustOpen(t, filepath.Join(dir, "home", "keystore"), Options{CacheDir: newCache(t)})
	if err := putText(t.Context(), e, "k", "old"); err != nil {
		t.Fatal(err)
	}
	unmount(t, dir)
	if err := putText(t.Context(), e, "k", "new"); err == nil {
		t.Error("an update was acknowledged without a home")
	}
	if _, err := getText(t.Context(), e, "k"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("read without a home: %v", err)
	}
	again := mustOpen(t, filepath.Join(remote, "home", "keystore"), Options{
		FSType: network(remote), CacheDir: newCache(t), MustExist: true,
	})
	if v, err := getText(t.Context(), again, "k"); err != nil || v != "old" {
		t.Errorf("read %q, %v", v, err)
	}
}
