package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// pageSize is the same on every machine, since a home may be shared between machines of several kinds.
	pageSize = 4096
	// growBy keeps the file small: bbolt's own 16 MiB would be copied to and fro in network mode.
	growBy = 64 << 10
	// mapSize is reserved as addresses only. A file that outgrows its map makes writers wait for readers.
	mapSize = 32 << 20
	// fullCheckSize is up to which size the whole tree is checked before a file is mapped: some milliseconds.
	fullCheckSize = 16 << 20
)

// file is an open bbolt file that outlives its last reader: in network mode newer copies replace it while it is read.
type file struct {
	db     *bolt.DB
	raw    *os.File
	path   string
	broken atomic.Bool // bbolt panicked; its locks may be held for ever

	// disposable files are removed when they are closed, if that was not possible before. Set before first use.
	disposable bool

	mu       sync.Mutex // guards what follows
	refs     int
	retired  bool
	gone     chan struct{} // closed when the file is closed
	closeErr error         // to be read after gone
}

// openFile opens an existing file after it has looked at every part of it that bbolt trusts blindly.
func openFile(ctx context.Context, path string, o Options) (*file, error) {
	// Whoever writes to it holds the lock, so that errMoved becomes an error of the lock below.
	if err := inspectFile(path); err != nil && !errors.Is(err, errMoved) {
		return nil, err
	}
	f, err := openBolt(path, o.ReadOnly, lockTimeout(ctx, o.Timeout), false)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, &store.InUseError{Path: path, Holder: readHolder(path)}
	}
	if err != nil {
		return nil, err
	}
	if err := f.checkAfterOpen(path, o.Role); err != nil {
		f.retire()
		<-f.gone
		return nil, err
	}
	return f, nil
}

func (f *file) checkAfterOpen(path, role string) error {
	at, err := os.Lstat(path)
	if err != nil {
		return err
	}
	opened, err := f.raw.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(at, opened) {
		return fmt.Errorf("it was replaced while it was opened: %w", store.ErrConflict)
	}
	return f.checkMeta(role)
}

// openBolt opens or, when the file is empty, initialises a bbolt file.
func openBolt(path string, readOnly bool, timeout time.Duration, noSync bool) (*file, error) {
	f := &file{path: path, gone: make(chan struct{})}
	options := &bolt.Options{
		Timeout:      timeout,
		ReadOnly:     readOnly,
		PageSize:     pageSize,
		NoSync:       noSync,
		NoGrowSync:   noSync,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (raw *os.File, err error) {
			raw, err = os.OpenFile(name, flag, mode)
			f.raw = raw
			return raw, err
		},
	}
	if runtime.GOOS != "windows" { // there the file would be extended to the size of its map
		options.InitialMmapSize = mapSize
	}
	err := f.guard("open", func() (err error) {
		f.db, err = bolt.Open(path, 0o600, options)
		return err
	})
	if err != nil {
		if f.raw != nil {
			_ = f.raw.Close() // bbolt has closed it, unless it panicked
		}
		return nil, translate(err)
	}
	f.db.AllocSize = growBy
	return f, nil
}

// guard runs fn, which calls bbolt and nothing of the caller's. bbolt panics when it meets a damaged page, and the
// kernel faults when a page of the map is not in the file; both become store.ErrCorrupt and the file is used no more.
func (f *file) guard(doing string, fn func() error) (err error) {
	if f.broken.Load() {
		return fmt.Errorf("%s: an earlier access failed: %w", doing, store.ErrCorrupt)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			f.broken.Store(true)
			err = fmt.Errorf("%s: %v: %w", doing, r, store.ErrCorrupt)
		}
	}()
	return fn()
}

func (f *file) begin(writable bool) (t *bolt.Tx, err error) {
	err = f.guard("begin a transaction", func() error {
		t, err = f.db.Begin(writable)
		return err
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return nil, store.ErrClosed
	}
	return t, err
}

// acquire keeps the file open until release. It is false when the file is retired.
func (f *file) acquire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired {
		return false
	}
	f.refs++
	return true
}

func (f *file) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs--
	f.closeIfIdle()
}

// retire closes the file as soon as nobody uses it.
func (f *file) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.retired {
		f.retired = true
		f.closeIfIdle()
	}
}

func (f *file) closeIfIdle() {
	if !f.retired || f.refs > 0 {
		return
	}
	defer close(f.gone)
	if f.disposable {
		defer func() { _ = os.Remove(f.path) }()
	}
	if f.broken.Load() {
		// bbolt could wait for its own lock. Closing the descriptor is enough to give the file free.
		f.closeErr = f.raw.Close()
		return
	}
	f.closeErr = f.guard("close", f.db.Close)
}

// createLocal makes the file complete under another name first, so that nobody ever sees half of it.
func createLocal(path string, o Options) error {
	tmp, err := buildNew(filepath.Dir(path), o)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := publish(tmp, path); err != nil {
		return fmt.Errorf("create: %w", translate(err))
	}
	return syncDir(filepath.Dir(path))
}

// publish gives tmp the name path unless there is such a file already.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	if _, statErr := os.Lstat(path); statErr == nil {
		return nil
	}
	return os.Rename(tmp, path) // a file system without hard links
}

// buildNew writes a new, empty store into dir and returns its temporary name.
func buildNew(dir string, o Options) (string, error) {
	raw, err := os.CreateTemp(dir, ".keystore-*.tmp")
	if err != nil {
		return "", translate(err)
	}
	name := raw.Name()
	if err := raw.Close(); err != nil {
		return "", err
	}
	f, err := openBolt(name, false, DefaultTimeout, false)
	if err != nil {
		_ = os.Remove(name)
		return "", err
	}
	err = f.writeMeta(o.Role, o.Now())
	f.retire()
	<-f.gone
	if err = errors.Join(err, f.closeErr); err != nil {
		_ = os.Remove(name)
		return "", translate(err)
	}
	return name, nil
}

func lockTimeout(ctx context.Context, d time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(deadline))
	}
	return max(d, time.Millisecond) // 0 would wait for ever
}
