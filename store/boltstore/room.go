package boltstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// localSlack is what a commit may write beside the values: pages of the tree, rounded up, and the list of free pages.
const localSlack = 256 << 10

// room is a file of random bytes beside the store. It is there so that its space is ours: when a commit finds the disk
// or the quota full, the file is removed and the commit tried again.
type room struct {
	path string // set once, when the engine is opened

	mu   sync.Mutex
	size int // 0: there is none
	want int // what restore makes again
}

// Reserve makes sure that the next Update with at most n bytes of values finds room, or fails with store.ErrNoSpace.
func (e *Engine) Reserve(ctx context.Context, n int) error {
	if e.o.ReadOnly {
		return store.ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := e.acquire()
	if err != nil {
		return err
	}
	defer f.release()
	need := 2*n + localSlack
	if e.home != nil {
		info, err := f.raw.Stat()
		if err != nil {
			return fmt.Errorf("reserve room: %w", err)
		}
		need += int(info.Size()) // a save writes the whole file anew
	}
	if err := e.room.ensure(need, e.o.Now()); err != nil {
		return fmt.Errorf("reserve room for %d bytes: %w", need, translate(err))
	}
	return nil
}

// ensure makes the file hold at least n bytes that are on the disk.
func (r *room) ensure(n int, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if info, err := os.Lstat(r.path); err == nil && r.size >= n && info.Size() >= int64(n) {
		return os.Chtimes(r.path, time.Time{}, now) // so that no other node takes it for litter
	}
	if err := r.fill(n); err != nil {
		r.remove()
		return err
	}
	r.size, r.want = n, n
	return nil
}

// fill writes bytes that no file system can compress away.
func (r *room) fill(n int) error {
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for n > 0 && err == nil {
		b = b[:min(n, len(b))]
		_, _ = rand.Read(b) // never fails
		_, err = f.Write(b)
		n -= len(b)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// give frees the room and reports whether there was any.
func (r *room) give() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := r.size > 0
	r.remove()
	return had
}

// restore makes the room again if it can. If not, the next Reserve will say so.
func (r *room) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 || r.want == 0 {
		return
	}
	if r.fill(r.want) != nil {
		r.remove()
		r.want = 0
		return
	}
	r.size = r.want
}

// drop gives the room up for good.
func (r *room) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = 0
	r.remove()
}

func (r *room) remove() {
	if r.path != "" {
		_ = os.Remove(r.path)
	}
	r.size = 0
}
