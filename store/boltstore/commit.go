package boltstore

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// maxBatch is how many updates may share one commit.
	maxBatch = 256
	// maxAttempts is how often an update is tried whose commit failed for a reason that may be gone.
	maxAttempts = 3
)

// conflict is an error that is also store.ErrConflict.
type conflict string

func (c conflict) Error() string { return string(c) }

func (c conflict) Is(target error) bool { return target == store.ErrConflict }

const (
	// errTakenOver is a commit that did not happen because another node took the lock at home.
	errTakenOver = conflict("lock at home was lost to another node")
	// errMoved is a file that was written to while it was read, so that what looks wrong may be right.
	errMoved = conflict("file is being written")
)

// call is one update on its way to the committer. Its function runs in the goroutine of its caller, so that a panic
// or runtime.Goexit in it hits nobody else; what travels is the turn.
type call struct {
	ctx   context.Context // of the caller, for the wait for the lock at home
	begin chan turn       // committer to caller: run your function now, perhaps once more
	ran   chan bool       // caller to committer: whether it succeeded
	left  chan struct{}   // closed by a caller that waits no longer
	done  chan error      // committer to caller: outcome of the commit
}

// turn is the permission to use the write transaction, or why there is none.
type turn struct {
	batch *batch
	err   error
}

// batch is one commit shared by some updates.
type batch struct {
	file  *file
	bolt  *bolt.Tx
	dirty bool
	err   error // of applying changes: the transaction is spoilt
}

// Update runs fn. Callers that wait while a commit is under way share the next one; a lone writer waits for nobody.
func (e *Engine) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	return e.update(ctx, func(t *tx) error {
		if err := t.checkLeases(e, held); err != nil {
			return err
		}
		return fn(t)
	})
}

// update runs fn until its commit succeeds or fails for good.
func (e *Engine) update(ctx context.Context, fn func(*tx) error) error {
	if e.o.ReadOnly {
		return store.ErrReadOnly
	}
	var err error
	for range maxAttempts {
		failed := false
		err = e.once(ctx, func(t *tx) error {
			err := fn(t)
			failed = err != nil
			return err
		})
		if err == nil || failed || !errors.Is(err, errTakenOver) {
			return err
		}
	}
	return err
}

// once queues fn and waits for the outcome.
func (e *Engine) once(ctx context.Context, fn func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{
		ctx:   ctx,
		begin: make(chan turn),
		ran:   make(chan bool),
		left:  make(chan struct{}),
		done:  make(chan error, 1),
	}
	select {
	case e.queue <- c:
	case <-e.stop:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	mayLeave := ctx.Done()
	for {
		select {
		case t := <-c.begin:
			if t.err != nil {
				return t.err
			}
			if err := c.run(t.batch, e, fn); err != nil {
				return err
			}
			mayLeave = nil // from here on the outcome must be known
		case err := <-c.done:
			return err
		case <-mayLeave:
			close(c.left)
			return ctx.Err()
		}
	}
}

// run calls fn and applies its changes. It gives the turn back however fn ends.
func (c *call) run(b *batch, e *Engine, fn func(*tx) error) (err error) {
	ok := false
	defer func() { c.ran <- ok }()
	t := &tx{file: b.file, bolt: b.bolt, now: e.o.Now(), changes: &changes{}}
	defer func() { t.ended = true }()
	if err := fn(t); err != nil {
		return err
	}
	if !t.changes.empty() {
		b.dirty = true
		b.err = errors.Join(b.err, b.file.guard("change records", func() error { return t.changes.apply(b.bolt) }))
	}
	ok = true
	return nil
}

// commitLoop is the only writer. It ends when the engine is closed.
func (e *Engine) commitLoop() {
	for {
		select {
		case c := <-e.queue:
			e.commitBatch(c)
		case <-e.stop:
			return
		}
	}
}

// commitBatch runs first and everybody who waits behind it, then commits once.
func (e *Engine) commitBatch(first *call) {
	b, err := e.beginBatch(first.ctx)
	if e.makeRoom(err) {
		defer e.room.restore()
		b, err = e.beginBatch(first.ctx)
	}
	if err != nil {
		select {
		case first.begin <- turn{err: err}:
		case <-first.left:
		}
		return
	}
	var joined []*call
	for c := first; c != nil && len(joined) < maxBatch && b.err == nil; c = e.waiting() {
		if c.join(b) {
			joined = append(joined, c)
		}
	}
	err = e.endBatch(b)
	if e.makeRoom(err) {
		defer e.room.restore()
		joined, err = e.repeatBatch(context.WithoutCancel(first.ctx), joined)
	}
	for _, c := range joined {
		c.done <- err
	}
}

// makeRoom frees the reserved room when err is for want of space, and reports whether to try again.
func (e *Engine) makeRoom(err error) bool {
	return errors.Is(err, store.ErrNoSpace) && e.room.give()
}

// repeatBatch runs calls again whose commit changed nothing, before anybody else gets the room that was freed for one
// of them. It returns those that wait for the outcome.
func (e *Engine) repeatBatch(ctx context.Context, calls []*call) (joined []*call, err error) {
	b, err := e.beginBatch(ctx)
	if err != nil {
		return calls, err
	}
	for _, c := range calls {
		if b.err != nil || c.join(b) {
			joined = append(joined, c)
		}
	}
	return joined, e.endBatch(b)
}

// join lets a caller run its function and reports whether it waits for the commit.
func (c *call) join(b *batch) bool {
	select {
	case c.begin <- turn{batch: b}:
		return <-c.ran
	case <-c.left:
		return false
	}
}

// waiting returns the next caller in the queue, or nil.
func (e *Engine) waiting() *call {
	select {
	case c := <-e.queue:
		return c
	default:
		return nil
	}
}

func (e *Engine) beginBatch(ctx context.Context) (*batch, error) {
	if e.home != nil {
		if err := e.home.begin(ctx, e); err != nil {
			return nil, err
		}
	}
	b, err := e.beginLocal()
	if err != nil && e.home != nil {
		e.home.unlock()
	}
	return b, err
}

func (e *Engine) beginLocal() (*batch, error) {
	f, err := e.acquire()
	if err != nil {
		return nil, err
	}
	t, err := f.begin(true)
	if err != nil {
		f.release()
		return nil, err
	}
	return &batch{file: f, bolt: t}, nil
}

func (e *Engine) endBatch(b *batch) error {
	defer b.file.release()
	if e.home != nil {
		defer e.home.unlock()
	}
	if b.err != nil || !b.dirty {
		err := b.file.guard("end a transaction", b.bolt.Rollback)
		return translate(errors.Join(b.err, err))
	}
	if e.home != nil {
		return e.home.commit(e, b)
	}
	return b.commit()
}

// commit makes the batch durable in its file. An error means that nothing was changed, or wraps store.ErrUnknown.
func (b *batch) commit() error {
	id := b.bolt.ID()
	err := b.file.guard("commit", b.bolt.Commit)
	if err == nil {
		return nil
	}
	if b.file.committed(id) {
		return fmt.Errorf("commit: %w: %w", store.ErrUnknown, err)
	}
	return fmt.Errorf("commit: %w", translate(err))
}

// committed reports whether the file begins with the meta page of transaction id, or cannot tell.
func (f *file) committed(id int) bool {
	b, err := readHead(f.raw)
	if err != nil {
		return true
	}
	for _, page := range [][]byte{b[:min(len(b), pageSize)], b[min(len(b), pageSize):]} {
		if len(page) < pageSize {
			return true
		}
		if h, err := parseMeta(page); err == nil && h.txid >= uint64(id) {
			return true
		}
	}
	return false
}
