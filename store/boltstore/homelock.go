package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// lockTTL is how long the lock at home is good for. Nobody works with it for longer than two thirds of that.
	lockTTL = 30 * time.Second
	// clockSkew is how far the clocks of two nodes may differ before a lock is taken from a holder that lives.
	clockSkew = 10 * time.Second
	// lockPatience bounds the wait of an update whose context has no end.
	lockPatience = time.Minute
	// litterAge is when a file that a dead process left behind is removed.
	litterAge = time.Hour

	// Suffixes of the files beside the file at home.
	lockSuffix = ".lock"
	newSuffix  = ".new."
	roomSuffix = ".room."
)

// lockRecord is the content of the lock file.
type lockRecord struct {
	holderRecord
	Token   string `json:"token"`   // of this one holding
	Expires int64  `json:"expires"` // milliseconds since 1970 by the holder's clock
}

// lockHeld is our own holding; the zero value is none.
type lockHeld struct {
	token string
	since time.Time
}

// takeLock waits for the lock at home until ctx is done, then fails with *store.InUseError and the context's error.
// Whoever gets it first removes what earlier holders were about to rename.
func (h *home) takeLock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var (
		token = randomName()
		seen  sighting
	)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		raw, err := readBounded(h.lockPath())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			got, err := h.tryLock(token)
			if err != nil {
				return fmt.Errorf("lock store at home: %w", translate(err))
			}
			if got {
				return h.removeLitter()
			}
		case err != nil:
			return fmt.Errorf("read lock at home: %w", err)
		case h.over(raw, &seen):
			h.o.Log.Warn("taking over the lock of a holder that is gone", "path", h.path)
			if err := h.breakLock(raw, token); err != nil {
				return fmt.Errorf("take over lock at home: %w", err)
			}
			continue
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-h.stop:
			timer.Stop()
			return store.ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", &store.InUseError{Path: h.path, Holder: lockHolder(raw)}, ctx.Err())
		}
	}
}

func (h *home) lockPath() string { return h.path + lockSuffix }

// tryLock makes the lock file, complete with its content, if there is none.
func (h *home) tryLock(token string) (bool, error) {
	since := h.o.Now()
	b, err := json.Marshal(lockRecord{
		holderRecord: h.self.record(h.o.Holder), Token: token, Expires: since.Add(lockTTL).UnixMilli(),
	})
	if err != nil {
		return false, err
	}
	tmp := h.lockPath() + "." + token
	if err := writeNew(tmp, b); err != nil {
		return false, errors.Join(err, ignoreAbsent(os.Remove(tmp)))
	}
	err = os.Link(tmp, h.lockPath())
	if noLinks(err) {
		err = writeNew(h.lockPath(), b)
	}
	_ = os.Remove(tmp)
	if err != nil && !h.lockedBy(token) { // the answer may have been lost when the deed was done
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return false, err
	}
	h.lock = lockHeld{token: token, since: since}
	return true, nil
}

// writeNew makes a file that need not outlive a crash of its server: a lock is then free, which is right.
func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// noLinks reports that a file system has no hard links. There O_EXCL alone must do.
func noLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK)
}

// sighting is since when a waiter sees the same lock.
type sighting struct {
	raw   []byte
	since time.Time
}

// over reports whether the lock may be taken away: its holder has died on this machine, its time is over by any
// clock, or it has not changed for as long as a lock is good for by our own clock.
func (h *home) over(raw []byte, seen *sighting) bool {
	now := h.o.Now()
	if seen.raw == nil || !bytes.Equal(seen.raw, raw) {
		*seen = sighting{raw: raw, since: now}
	}
	if now.Sub(seen.since) > lockTTL {
		return true
	}
	var r lockRecord
	if json.Unmarshal(raw, &r) != nil || r.Token == "" {
		return false // perhaps it is being written
	}
	return r.dead(h.self) || now.UnixMilli() > r.Expires+clockSkew.Milliseconds()
}

// breakLock removes the lock with this content. Two waiters may try at once: each takes the file away under a name of
// its own and puts it back when it is another one than it saw.
func (h *home) breakLock(raw []byte, token string) error {
	away := h.lockPath() + ".stale." + token
	if err := os.Rename(h.lockPath(), away); err != nil {
		return ignoreAbsent(err)
	}
	got, err := readBounded(away)
	if err == nil && !bytes.Equal(got, raw) {
		// Should somebody have a new lock by now, then the one whose lock this is finds out before it renames.
		err = os.Link(away, h.lockPath())
		if noLinks(err) {
			err = writeNew(h.lockPath(), got)
		}
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, ignoreAbsent(os.Remove(away)))
}

// removeLitter removes what earlier holders left. A file that waits to be renamed goes at once: its writer, if it
// lives, has lost the lock and must not succeed. Other files go when they are old.
func (h *home) removeLitter() error {
	entries, err := os.ReadDir(filepath.Dir(h.path))
	if err != nil {
		h.unlock()
		return fmt.Errorf("look for files of earlier holders: %w", err)
	}
	base := filepath.Base(h.path)
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), base)
		if !ok {
			continue
		}
		name := filepath.Join(filepath.Dir(h.path), entry.Name())
		switch {
		case strings.HasPrefix(rest, newSuffix):
			err = ignoreAbsent(os.Remove(name))
		case strings.HasPrefix(rest, lockSuffix+"."), strings.HasPrefix(rest, roomSuffix):
			err = h.removeOld(entry, name)
		}
		if err != nil {
			h.unlock()
			return fmt.Errorf("remove file of an earlier holder: %w", err)
		}
	}
	return nil
}

func (h *home) removeOld(entry fs.DirEntry, name string) error {
	info, err := entry.Info()
	if err != nil {
		return ignoreAbsent(err)
	}
	if h.o.Now().Sub(info.ModTime()) < litterAge || strings.HasSuffix(name, h.token) {
		return nil
	}
	return ignoreAbsent(os.Remove(name))
}

// inTime reports whether the lock is surely still ours by the clock.
func (h *home) inTime() bool {
	return h.lock.token != "" && h.o.Now().Sub(h.lock.since) < lockTTL*2/3
}

func (h *home) stillLocked() bool { return h.inTime() && h.lockedBy(h.lock.token) }

// lockedBy reports whether the lock file is the one with this token.
func (h *home) lockedBy(token string) bool {
	raw, err := readBounded(h.lockPath())
	if err != nil {
		return false
	}
	var r lockRecord
	return json.Unmarshal(raw, &r) == nil && r.Token == token
}

// unlock gives the lock back if it is still ours.
func (h *home) unlock() {
	if h.lock.token != "" && h.lockedBy(h.lock.token) {
		if err := ignoreAbsent(os.Remove(h.lockPath())); err != nil {
			h.o.Log.Warn("cannot remove the lock at home; it expires", "path", h.path, "err", err)
		}
	}
	h.lock = lockHeld{}
	h.step("unlocked")
}

func lockHolder(raw []byte) string {
	var r lockRecord
	if json.Unmarshal(raw, &r) != nil || r.PID <= 0 {
		return ""
	}
	return r.String()
}
