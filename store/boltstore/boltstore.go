package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/filesystem"
)

// DefaultTimeout is how long Open waits for a file that somebody else holds.
const DefaultTimeout = 500 * time.Millisecond

// Options say how to open a file. The zero value opens or creates one for no particular role.
type Options struct {
	// Role is kept in the file; opening a file of another role fails with store.ErrWrongRole.
	Role string
	// Holder is what others are told when they find the file in use, such as "oidc-agent".
	Holder string
	// Timeout bounds the wait for the file: 2 s suits a daemon, 0 is DefaultTimeout. It is never endless.
	Timeout time.Duration
	// ReadOnly opens beside other readers, not beside a writer. Update and Lease fail with store.ErrReadOnly.
	ReadOnly bool
	// MustExist makes Open fail with fs.ErrNotExist instead of creating the file.
	MustExist bool
	// CacheDir is where the copy of a file on a network lies: a 0700 directory on a local file system, made when
	// absent. Empty chooses a new one below the directories for temporary files.
	CacheDir string
	// FSType names the file system of a path and says whether it is known to be local. Nil asks the system.
	FSType func(path string) (name string, local bool, err error)
	// Now is the clock for expiry and leases. Nil is time.Now.
	Now func() time.Time
	// Log takes warnings. Nil drops them.
	Log *slog.Logger
}

// Engine implements store.Engine and store.Reserver. Use Open.
type Engine struct {
	o       Options
	path    string
	fsName  string
	self    process
	session string
	home    *home // nil when the file is local
	room    room

	queue chan *call
	stop  chan struct{} // closed by Close
	wg    sync.WaitGroup

	// gate keeps readers from beginning between the commit to the copy and its arrival at home.
	gate sync.RWMutex

	mu       sync.Mutex // guards what follows
	file     *file
	closed   bool
	released chan struct{} // closed and replaced when a lease is given back
}

// Open opens the file at path or creates it, in place where the file system is local, else in network mode.
//
// It fails with store.ErrUnsafe when others could reach the file, *store.InUseError when somebody holds it for longer
// than the timeout, fs.ErrNotExist, store.ErrCorrupt, store.ErrWrongRole or store.ErrVersion. After a failure an
// existing file is as it was.
func Open(ctx context.Context, path string, o Options) (*Engine, error) {
	return open(ctx, path, o, nil)
}

// open is Open with a hook that is called between the steps of network mode.
func open(ctx context.Context, path string, o Options, step func(string)) (*Engine, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	o = o.withDefaults()
	e := &Engine{
		o:        o,
		path:     path,
		self:     ownProcess(),
		session:  randomName(),
		queue:    make(chan *call),
		stop:     make(chan struct{}),
		released: make(chan struct{}),
	}
	if err := e.prepare(ctx, step); err != nil {
		if e.home != nil {
			e.home.removeDir()
		}
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if !o.ReadOnly {
		e.wg.Go(e.commitLoop)
	}
	return e, nil
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.FSType == nil {
		o.FSType = filesystem.Type
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// prepare checks the place, finds out in which mode to work, and opens the file.
func (e *Engine) prepare(ctx context.Context, step func(string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mayCreate := !e.o.MustExist && !e.o.ReadOnly
	err := checkPlace(e.path, mayCreate)
	if errors.Is(err, fs.ErrNotExist) && e.onNetwork() {
		time.Sleep(renamePause) // the file may only seem absent while another node renames over it
		err = checkPlace(e.path, mayCreate)
	}
	if err != nil {
		return err
	}
	name, local, err := e.o.FSType(filepath.Dir(e.path))
	if err != nil {
		return fmt.Errorf("find out the type of its file system: %w", err)
	}
	e.fsName = name
	if local {
		return e.openLocal(ctx, mayCreate)
	}
	e.home = newHome(e, step)
	return e.openNetwork(ctx, mayCreate)
}

func (e *Engine) onNetwork() bool {
	_, local, err := e.o.FSType(filepath.Dir(e.path))
	return err == nil && !local
}

func (e *Engine) openLocal(ctx context.Context, mayCreate bool) error {
	f, err := openFile(ctx, e.path, e.o)
	if errors.Is(err, fs.ErrNotExist) && mayCreate {
		if err := createLocal(e.path, e.o); err != nil {
			return err
		}
		f, err = openFile(ctx, e.path, e.o)
	}
	if err != nil {
		return err
	}
	e.file = f
	if !e.o.ReadOnly {
		e.room.path = e.path + ".room"
		e.room.drop() // of a holder that died
		if err := writeHolder(e.path, e.self.record(e.o.Holder)); err != nil {
			// The record serves only the message others get.
			e.o.Log.Warn("cannot say who holds the store", "err", err)
		}
	}
	return nil
}

// Network reports whether the file lies on a file system that others may change at the same time.
func (e *Engine) Network() bool { return e.home != nil }

// Path returns the absolute path of the file.
func (e *Engine) Path() string { return e.path }

// FS returns the name of the type of file system, such as "ext" or "nfs".
func (e *Engine) FS() string { return e.fsName }

// View runs fn on a consistent snapshot. In network mode it first looks whether the file at home is newer than the
// copy.
func (e *Engine) View(ctx context.Context, fn func(store.Tx) error) error {
	t, err := e.beginRead(ctx)
	if err != nil {
		return err
	}
	defer t.rollback()
	return fn(t)
}

// Tables returns the names of all tables that have a row, sorted.
func (e *Engine) Tables(ctx context.Context) ([]string, error) {
	t, err := e.beginRead(ctx)
	if err != nil {
		return nil, err
	}
	defer t.rollback()
	var names []string
	for _, bucket := range t.buckets() { // in the order of their names
		name, ours := strings.CutPrefix(bucket, tablePrefix)
		if !ours {
			continue
		}
		first, err := (&cursor{tx: t, bucket: bucket}).next()
		if err != nil {
			return nil, err
		}
		if first.key != nil {
			names = append(names, name)
		}
	}
	return names, nil
}

func (e *Engine) beginRead(ctx context.Context) (*tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.enterGate(); err != nil {
		return nil, err
	}
	defer e.gate.RUnlock()
	f, err := e.acquire()
	if err != nil {
		return nil, err
	}
	b, err := f.begin(false)
	if err != nil {
		f.release()
		return nil, err
	}
	return &tx{file: f, bolt: b, now: e.o.Now()}, nil
}

// enterGate holds the gate for reading, with a copy that is no older than this call.
func (e *Engine) enterGate() error {
	e.gate.RLock()
	if e.home == nil || e.home.current(e) {
		return nil
	}
	for {
		e.gate.RUnlock()
		if err := e.refresh(); err != nil {
			return err
		}
		e.gate.RLock()
		if e.home.usable(e) {
			return nil
		}
	}
}

// acquire returns the open file, which the caller releases.
func (e *Engine) acquire() (*file, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, store.ErrClosed
	}
	if e.file == nil || !e.file.acquire() {
		return nil, store.ErrClosed
	}
	return e.file, nil
}

// uses reports whether f is the open file.
func (e *Engine) uses(f *file) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.file == f
}

// Close waits for transactions that run, then gives the file free. A second Close is store.ErrClosed.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return store.ErrClosed
	}
	e.closed = true
	f := e.file
	e.mu.Unlock()

	close(e.stop)
	e.wg.Wait()
	e.room.drop()
	if e.home == nil && !e.o.ReadOnly {
		removeHolder(e.path, e.self)
	}
	if f == nil {
		return nil
	}
	f.retire()
	<-f.gone
	if e.home != nil {
		e.home.removeDir()
	}
	if f.closeErr != nil {
		return fmt.Errorf("close store %s: %w", e.path, f.closeErr)
	}
	return nil
}
