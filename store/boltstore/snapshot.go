package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	err = t.file.guard("write a snapshot", func() error {
		n, err = t.bolt.WriteTo(contextWriter{ctx: ctx, w: w})
		return err
	})
	return n, err
}

// contextWriter stops a long copy.
type contextWriter struct {
	ctx context.Context // for the length of one Snapshot
	w   io.Writer
}

func (c contextWriter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}

// Check reads everything and returns every fault of the structure joined, nil when there is none.
func (e *Engine) Check(ctx context.Context) error {
	t, err := e.beginRead(ctx)
	if err != nil {
		return err
	}
	defer t.rollback()
	// bbolt checks in a goroutine of its own, where a fault of the map would end the process.
	if _, err := inspect(t.file.raw, nil); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	var all []error
	for err := range t.bolt.Check() {
		all = append(all, fmt.Errorf("check: %w: %w", store.ErrCorrupt, err))
	}
	return errors.Join(append(all, t.checkRecords(ctx)...)...)
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
