package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/oidcbox/oidcbox/store"
)

// Snapshot writes the file as it is now to w, while others go on reading and writing, and returns its length. What
// comes out is a store that can be opened.
func (e *Engine) Snapshot(ctx context.Context, w io.Writer) (n int64, err error) {
	t, err := e.beginRead(ctx)
	if err != nil {
		return 0, err
	}
	defer t.rollback()
	out := &carefulWriter{ctx: ctx, w: w}
	n, err = t.bolt.WriteTo(out) // reads the file, not the map
	if out.err != nil {          // bbolt keeps only its text
		err = out.err
	}
	return n, err
}

// carefulWriter stops a long copy when its context is done, and keeps the first error.
type carefulWriter struct {
	ctx context.Context // for the length of one Snapshot
	w   io.Writer
	err error
}

func (c *carefulWriter) Write(b []byte) (n int, err error) {
	if c.err == nil {
		c.err = c.ctx.Err()
	}
	if c.err == nil {
		n, c.err = c.w.Write(b)
	}
	return n, c.err
}

// Check reads everything and returns every fault of the structure joined, nil when there is none. In network mode it
// reads what is at home, else updates wait for it.
func (e *Engine) Check(ctx context.Context) error {
	if e.home != nil {
		return e.checkHome(ctx)
	}
	check := func(*tx) error {
		f, err := e.acquire()
		if err != nil {
			return err
		}
		return e.check(ctx, f)
	}
	if e.o.ReadOnly {
		return check(nil)
	}
	// bbolt's check compares the tree with a list of free pages that a commit would change under it.
	return e.update(ctx, check)
}

// checkHome checks a copy of its own.
func (e *Engine) checkHome(ctx context.Context) error {
	if _, err := e.givenBack(); err != nil { // closed
		return err
	}
	e.gate.Lock()
	f, _, err := e.home.copy()
	e.gate.Unlock()
	if err != nil {
		return fmt.Errorf("copy store from home: %w", err)
	}
	f.acquire()
	defer f.retire()
	return e.check(ctx, f)
}

// check gives f back at its end.
func (e *Engine) check(ctx context.Context, f *file) error {
	b, err := f.begin(false)
	if err != nil {
		f.release()
		return err
	}
	t := &tx{file: f, bolt: b, now: e.o.Now()}
	defer t.rollback()
	// bbolt checks in a goroutine of its own, where a fault of the map would end the process.
	if _, err := inspect(f.raw, math.MaxUint64, func() visitor { return nil }); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	var faults []error
	for err := range b.Check() {
		faults = append(faults, fmt.Errorf("check: %w: %w", store.ErrCorrupt, err))
	}
	return errors.Join(append(faults, t.checkRecords(ctx)...)...)
}

// checkRecords decodes every row.
func (t *tx) checkRecords(ctx context.Context) (faults []error) {
	for _, bucket := range t.buckets() {
		for e, err := range t.scan(bucket, nil) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && bucket != metaBucket {
				err = t.checkRow(bucket, e)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("check %s: %w", bucket, err))
			}
			if ctx.Err() != nil {
				return faults
			}
		}
	}
	return faults
}

func (t *tx) checkRow(bucket string, e entry) error {
	if bucket == leaseBucket {
		_, err := t.grant(string(e.key))
		return err
	}
	_, _, err := t.decode(e.key, e.raw)
	return err
}

func (t *tx) buckets() (names []string) {
	_ = t.file.guard("list tables", func() error {
		return t.bolt.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names
}
