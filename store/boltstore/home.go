package boltstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Where the first page of a file at home has room, a save leaves a mark that no other save has: two versions never
// have the same head, not even after an old one was put back.
const (
	stampOffset = 1024
	stampTag    = "oidcbox\x01"
	stampSize   = len(stampTag) + 16
)

const (
	fetchAttempts = 3
	fetchPause    = 200 * time.Millisecond
	renamePause   = 20 * time.Millisecond
)

// generation tells versions of the file at home apart: the hash of its head.
type generation [sha256.Size]byte

// home is the network mode of an engine: the file at home is the truth, the open one a copy of it.
type home struct {
	path  string
	o     Options
	self  process
	token string            // of the session, in the name of our reservation
	stop  <-chan struct{}   // closed when the engine is
	step  func(name string) // for tests that stop between two steps

	lock lockHeld // only the committer, and Open before it, use it

	// Guarded by the gate of the engine.
	fetched generation // what the copy was made from or saved as
	stale   bool       // the copy holds changes that did not reach home

	ownDir string // made by us, guarded by the gate
}

func newHome(e *Engine, step func(string)) *home {
	if step == nil {
		step = func(string) {}
	}
	e.room.path = e.path + ".room." + e.session
	return &home{path: e.path, o: e.o, self: e.self, token: e.session, stop: e.stop, step: step, stale: true}
}

func (e *Engine) openNetwork(ctx context.Context, mayCreate bool) error {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	if _, err := os.Lstat(e.path); errors.Is(err, fs.ErrNotExist) {
		if !mayCreate {
			return err
		}
		if err := e.home.create(ctx); err != nil {
			return fmt.Errorf("create: %w", translate(err))
		}
	}
	e.o.Log.Info("store is on a network file system: working on a copy", "path", e.path, "fs", e.fsName)
	return e.refresh()
}

// create puts a new, empty store at home unless somebody was faster.
func (h *home) create(ctx context.Context) error {
	if err := h.takeLock(ctx); err != nil {
		return err
	}
	defer h.unlock()
	if _, err := os.Lstat(h.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, err := h.cacheDir()
	if err != nil {
		return err
	}
	name, err := buildNew(dir, h.o)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(name) }()
	raw, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = h.save(raw)
	return errors.Join(err, raw.Close())
}

// current reports whether the copy is the version that is at home. The caller holds the gate.
func (h *home) current(e *Engine) bool {
	e.mu.Lock()
	broken := e.file == nil || e.file.broken.Load()
	e.mu.Unlock()
	if h.stale || broken {
		return false
	}
	now, err := h.look()
	return err == nil && now == h.fetched
}

// usable is current without the look: a copy that was made a moment ago need not be made again.
func (h *home) usable(e *Engine) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !h.stale && e.file != nil && !e.file.broken.Load()
}

// look reads the head of the file at home. It opens the file, because that is when file systems look at the server.
func (h *home) look() (generation, error) {
	raw, err := os.Open(h.path)
	if err != nil {
		return generation{}, err
	}
	defer func() { _ = raw.Close() }()
	b, err := readHead(raw)
	if err != nil {
		return generation{}, err
	}
	return sha256.Sum256(b), nil
}

// refresh makes the copy anew if home has moved.
func (e *Engine) refresh() error {
	e.gate.Lock()
	defer e.gate.Unlock()
	if e.home.current(e) {
		return nil
	}
	return e.home.fetch(e)
}

// fetch replaces the copy by what is at home. Readers of the old copy keep it. The caller holds the gate.
func (h *home) fetch(e *Engine) (err error) {
	for i := range fetchAttempts {
		if i > 0 {
			time.Sleep(fetchPause) // attributes of the file may be remembered from before a rename
		}
		var f *file
		var g generation
		if f, g, err = h.copy(); err == nil {
			return h.replace(e, f, g)
		}
		if !racedWithRename(err) {
			break
		}
	}
	return fmt.Errorf("copy store from home: %w", err)
}

// racedWithRename reports whether another node's rename over the file may be to blame: a file system in user space
// answers an open in that moment with "no such file", NFS with a stale handle, and a read may see a part.
func racedWithRename(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE) || errors.Is(err, store.ErrCorrupt)
}

func (h *home) replace(e *Engine, f *file, g generation) error {
	if err := f.checkMeta(h.o.Role); err != nil {
		f.retire()
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		f.retire()
		return store.ErrClosed
	}
	if e.file != nil {
		e.file.retire()
	}
	e.file, h.fetched, h.stale = f, g, false
	return nil
}

// copy makes a private copy of the file at home and opens it.
func (h *home) copy() (f *file, g generation, err error) {
	if err := checkPlace(h.path, false); err != nil {
		return nil, g, err
	}
	dir, err := h.cacheDir()
	if err != nil {
		return nil, g, err
	}
	in, err := os.Open(h.path)
	if err != nil {
		return nil, g, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(dir, "copy-*")
	if err != nil {
		return nil, g, translate(err)
	}
	// The copy is nobody else's: it needs no name once it is open. Where that is not possible it is removed at the end.
	defer func() { _ = os.Remove(out.Name()) }()
	_, err = io.Copy(out, in)
	if err == nil {
		var b []byte
		b, err = readHead(out)
		g = sha256.Sum256(b)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, g, translate(err)
	}
	if err := inspectFile(out.Name()); err != nil {
		return nil, g, err
	}
	if f, err = openBolt(out.Name(), false, DefaultTimeout, true); err != nil {
		return nil, g, err
	}
	f.disposable = true
	return f, g, nil
}

// begin takes the lock at home and brings the copy up to date, so that the next transaction sees what every other node
// has acknowledged.
func (h *home) begin(ctx context.Context, e *Engine) error {
	if err := h.takeLock(ctx); err != nil {
		return err
	}
	h.step("locked")
	if err := e.refresh(); err != nil {
		h.unlock()
		return err
	}
	h.step("fetched")
	return nil
}

// commit commits to the copy and then saves it at home; only then the change has happened. Readers wait meanwhile.
// When home cannot be reached the copy is given up.
func (h *home) commit(e *Engine, b *batch) error {
	h.step("ran")
	e.gate.Lock()
	defer e.gate.Unlock()
	h.stale = true
	if err := b.file.guard("commit", b.bolt.Commit); err != nil {
		return fmt.Errorf("commit to the copy: %w", translate(err))
	}
	h.step("committed")
	g, err := h.save(b.file.raw)
	if err != nil {
		return fmt.Errorf("save store at home: %w", translate(err))
	}
	// A reader that could not see home for a moment may have made a new copy meanwhile, without this change.
	h.fetched, h.stale = g, !e.uses(b.file)
	return nil
}

// save makes raw the file at home. An error means that home is as it was, or wraps store.ErrUnknown.
func (h *home) save(raw *os.File) (generation, error) {
	name := h.path + newSuffix + h.lock.token
	g, err := h.write(name, raw)
	if err == nil {
		err = h.rename(name, g)
	}
	if err != nil {
		_ = os.Remove(name)
		return generation{}, err
	}
	h.step("renamed")
	if err := syncDir(filepath.Dir(h.path)); err != nil {
		return generation{}, fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	h.step("settled")
	return g, nil
}

// write writes raw to a new file at home and makes it durable. Whoever takes the lock from us removes that file, so
// that our rename cannot succeed any more; therefore it is made before we look at the lock for the last time.
func (h *home) write(name string, raw *os.File) (g generation, err error) {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return g, err
	}
	h.step("created")
	if !h.stillLocked() {
		return g, errors.Join(errTakenOver, out.Close())
	}
	b, size, err := stamped(raw)
	if err == nil {
		g = sha256.Sum256(b)
		_, err = out.Write(b)
	}
	if err == nil {
		_, err = io.Copy(out, io.NewSectionReader(raw, headSize, size-headSize))
	}
	h.step("written")
	if err == nil {
		err = out.Sync()
	}
	h.step("synced")
	return g, errors.Join(err, out.Close()) // a quota may be reported as late as by Close
}

// stamped returns the head of a store with a new stamp, and how many bytes of the store are in use.
func stamped(raw *os.File) (b []byte, size int64, err error) {
	info, err := raw.Stat()
	if err != nil {
		return nil, 0, err
	}
	if b, err = readHead(raw); err != nil {
		return nil, 0, err
	}
	hd, err := parseHead(b, info.Size())
	if err != nil {
		return nil, 0, err
	}
	copy(b[stampOffset:], stampTag)
	_, _ = rand.Read(b[stampOffset+len(stampTag) : stampOffset+stampSize]) // never fails
	return b, int64(hd.high) * pageSize, nil
}

// rename puts the new file in place of the old one. After an error it looks what came of it: over a network the answer
// may be lost when the deed was done.
func (h *home) rename(name string, g generation) error {
	if !h.inTime() {
		return errTakenOver
	}
	err := os.Rename(name, h.path)
	if err == nil {
		return nil
	}
	now, lookErr := h.look()
	switch {
	case lookErr == nil && now == g:
		return nil
	case lookErr != nil:
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	case errors.Is(err, fs.ErrNotExist):
		return errTakenOver
	}
	return err
}

// cacheDir returns a private directory on a local file system and makes it again when it has vanished.
func (h *home) cacheDir() (string, error) {
	if h.o.CacheDir != "" {
		if err := checkDir(h.o.CacheDir, true); err != nil {
			return "", fmt.Errorf("directory for the copy: %w", err)
		}
		name, local, err := h.o.FSType(h.o.CacheDir)
		if err == nil && !local {
			err = fmt.Errorf("%s is on a network file system (%s): %w", h.o.CacheDir, name, store.ErrUnsafe)
		}
		if err != nil {
			return "", fmt.Errorf("directory for the copy: %w", err)
		}
		return h.o.CacheDir, nil
	}
	if h.ownDir != "" && checkDir(h.ownDir, false) == nil {
		return h.ownDir, nil
	}
	for _, base := range tempDirs() {
		if _, local, err := h.o.FSType(base); err != nil || !local {
			continue
		}
		dir, err := os.MkdirTemp(base, "oidcbox-*")
		if err == nil {
			h.ownDir = dir
			return dir, nil
		}
	}
	return "", fmt.Errorf("no directory on a local file system for the copy: %w", store.ErrUnsafe)
}

func tempDirs() []string { return []string{"/var/tmp", os.TempDir(), "/dev/shm"} }

func (h *home) removeDir() {
	if h.ownDir != "" {
		_ = os.Remove(h.ownDir)
	}
}
