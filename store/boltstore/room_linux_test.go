package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// smallDisk returns a directory on a file system of 2 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	services.NeedRoot(t)
	dir := mountPoint(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		services.Missing(t, "no tmpfs can be mounted here: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no page free and returns how to make room again.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	name := filepath.Join(disk, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, pageSize)
	for err == nil {
		_, err = f.Write(b)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// onSmallDisk runs a test on a store in place and on one in network mode.
func onSmallDisk(t *testing.T, test func(t *testing.T, e *Engine, disk string)) {
	for name, local := range map[string]bool{"local": true, "network": false} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			path := filepath.Join(disk, "home", "keystore")
			o := Options{CacheDir: newCache(t)}
			if !local {
				o.FSType = network(disk)
			}
			e := mustOpen(t, path, o)
			t.Cleanup(func() { _ = e.Close() }) // before the disk is taken away
			if err := putText(t.Context(), e, "k", "old"); err != nil {
				t.Fatal(err)
			}
			test(t, e, disk)
		})
	}
}

func TestDiskFull(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, e *Engine, disk string) {
		free := fill(t, disk)
		big := strings.Repeat("x", store.MaxValue)
		var err error
		for i := 0; i < 8 && err == nil; i++ { // bbolt may have free pages left
			err = putText(t.Context(), e, "k", big[:len(big)-i])
			if err == nil {
				big = big[:len(big)-i]
			}
		}
		if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnknown) {
			t.Fatalf("update on a full disk: %v, want ErrNoSpace", err)
		}
		if v, err := getText(t.Context(), e, "k"); err != nil || (v != "old" && v != big) {
			t.Errorf("value of %d bytes, %v; want the last acknowledged one", len(v), err)
		}
		if err := e.Check(t.Context()); err != nil {
			t.Error(err)
		}
		free()
		if err := putText(t.Context(), e, "k", "new"); err != nil {
			t.Errorf("update when there is room again: %v", err)
		}
		for _, name := range listDir(t, filepath.Join(disk, "home")) {
			if strings.Contains(name, newSuffix) || strings.HasSuffix(name, lockSuffix) {
				t.Errorf("left behind: %s", name)
			}
		}
	})
}

func TestReserveOnFullDisk(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, e *Engine, disk string) {
		free := fill(t, disk)
		if err := e.Reserve(t.Context(), 1000); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("reserve: %v, want ErrNoSpace", err)
		}
		for _, name := range listDir(t, filepath.Join(disk, "home")) {
			if strings.Contains(name, ".room") {
				t.Errorf("left behind: %s", name)
			}
		}
		free()
		if err := e.Reserve(t.Context(), 1000); err != nil {
			t.Errorf("reserve when there is room again: %v", err)
		}
	})
}

// What was reserved is there when the disk fills up in between, which is while the provider is asked.
func TestReservedUpdateSucceedsOnFullDisk(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, e *Engine, disk string) {
		value := strings.Repeat("x", store.MaxValue)
		if err := e.Reserve(t.Context(), len(value)); err != nil {
			t.Fatal(err)
		}
		fill(t, disk)
		if err := putText(t.Context(), e, "k", value); err != nil {
			t.Fatalf("reserved update: %v", err)
		}
		if v, err := getText(t.Context(), e, "k"); err != nil || v != value {
			t.Errorf("value of %d bytes, %v", len(v), err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range listDir(t, filepath.Join(disk, "home")) {
			if strings.Contains(name, ".room") {
				t.Errorf("left behind: %s", name)
			}
		}
	})
}

// Whoever shares a commit with a reserved update does not take its room away.
func TestReservedUpdateSharesACommitOnFullDisk(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, e *Engine, disk string) {
		value := strings.Repeat("x", store.MaxValue)
		if err := e.Reserve(t.Context(), len(value)); err != nil {
			t.Fatal(err)
		}
		release := blocked(t, e)
		fill(t, disk)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if err := putText(t.Context(), e, "small"+strconv.Itoa(i), "s"); err != nil {
					t.Errorf("update beside: %v", err)
				}
			})
		}
		wg.Go(func() {
			if err := putText(t.Context(), e, "k", value); err != nil {
				t.Errorf("reserved update: %v", err)
			}
		})
		time.Sleep(20 * time.Millisecond) // let them queue
		release()
		wg.Wait()
	})
}

// The room is still good after an update that did not need it.
func TestReservationOutlivesOtherUpdates(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, e *Engine, disk string) {
		value := strings.Repeat("x", store.MaxValue)
		if err := e.Reserve(t.Context(), len(value)); err != nil {
			t.Fatal(err)
		}
		if err := putText(t.Context(), e, "other", "small"); err != nil {
			t.Fatal(err)
		}
		fill(t, disk)
		if err := putText(t.Context(), e, "k", value); err != nil {
			t.Fatalf("reserved update: %v", err)
		}
	})
}
