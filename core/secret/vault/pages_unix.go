//go:build unix

package vault

import (
	"os"

	"golang.org/x/sys/unix"
)

// preflight maps, locks, unlocks and unmaps as many pages as a vault needs.
func preflight() error {
	b, err := unix.Mmap(-1, 0, preflightPages*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return limitError(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	if err := unix.Mlock(b); err != nil {
		return limitError(err)
	}
	if err := unix.Munlock(b); err != nil {
		return limitError(err)
	}
	return nil
}

// lockLimit is the soft limit for locked memory in KiB, -1 when there is none or it is not known.
func lockLimit() int64 {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r); err != nil || uint64(r.Cur) > 1<<60 {
		return -1
	}
	return int64(r.Cur / 1024)
}

// mappedArea is memory of its own mapping, so that advice about it touches nothing else.
type mappedArea struct {
	mapped []byte
	size   int
}

func newPlainArea(size int) area {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return &heapArea{b: make([]byte, size)}
	}
	keepOutOfCore(b)
	return &mappedArea{mapped: b, size: size}
}

func (a *mappedArea) bytes() []byte {
	if a.mapped == nil {
		return nil
	}
	return a.mapped[:a.size:a.size]
}

func (a *mappedArea) free() {
	if a.mapped == nil {
		return
	}
	clear(a.mapped)
	_ = unix.Munmap(a.mapped)
	a.mapped = nil
}
