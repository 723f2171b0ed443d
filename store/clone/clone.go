package clone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	batchBytes = 1 << 20 // of values in one change of the target
	tries      = 5       // of a change of the target: what was made twice is the same as once
	firstPause = 50 * time.Millisecond
)

// Engine is a store that tells what is in it: boltstore, pgstore and memstore.
type Engine interface {
	store.Engine
	// Tables returns the names of all tables that have a row, sorted.
	Tables(ctx context.Context) ([]string, error)
}

// Mark is the row of a record without which a store is of no use to anybody, and what stands in its place while the
// store is half a copy.
type Mark struct {
	Table store.Table
	Key   store.Key
	Value []byte
}

// Phase is what a copy is doing.
type Phase string

// The phases, in order.
const (
	Clearing  Phase = "clearing"
	Copying   Phase = "copying"
	Comparing Phase = "comparing"
)

// Progress is told after each change of the target and each thousand records compared.
type Progress struct {
	Phase   Phase
	Table   string
	Records int64 // of all tables, in this phase
}

// Options of a copy. Mark is needed.
type Options struct {
	Mark     Mark
	Progress func(Progress) // nil: nobody wants to know
	Now      func() time.Time
}

// Report says what a copy has made.
type Report struct {
	Tables  int
	Records int64
	Bytes   int64 // of values
	// Digest is the SHA-256 of all records that were compared, the same on both sides.
	Digest [32]byte
	// Cleared is how many rows of an earlier attempt were removed first.
	Cleared int64
}

// run is one copy.
type run struct {
	Options
	from, to Engine
	report   Report
}

// Run copies. Both stores must not be used by anybody else. Errors: ErrNotEmpty, ErrNoSource, *DifferError, and those of
// the engines; after each but the first two the target is marked as half a copy, and Run may be called again.
func Run(ctx context.Context, from, to Engine, o Options) (Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	r := &run{Options: o, from: from, to: to}
	for _, step := range []func(context.Context) error{r.checkSource, r.clear, r.begin, r.copy, r.compare, r.finish} {
		if err := step(ctx); err != nil {
			return r.report, fmt.Errorf("copy a store: %w", err)
		}
	}
	return r.report, nil
}

// get returns the record in the place of the mark, nil where there is none.
func (r *run) get(ctx context.Context, e store.Engine) (value []byte, err error) {
	err = e.View(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(r.Mark.Table, r.Mark.Key)
		if errors.Is(err, store.ErrNotFound) {
			value = nil
			return nil
		}
		value = rec.Value
		return err
	})
	return value, err
}

func (r *run) checkSource(ctx context.Context) error {
	have, err := r.get(ctx, r.from)
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	if have == nil || bytes.Equal(have, r.Mark.Value) {
		return ErrNoSource
	}
	return nil
}

// clear removes what an earlier attempt has left. The mark goes last with begin, which writes it anew.
func (r *run) clear(ctx context.Context) error {
	tables, err := r.to.Tables(ctx)
	if err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	if len(tables) == 0 {
		return nil
	}
	have, err := r.get(ctx, r.to)
	if err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	if !bytes.Equal(have, r.Mark.Value) {
		return ErrNotEmpty
	}
	for _, name := range tables {
		if err := r.clearTable(ctx, name); err != nil {
			return fmt.Errorf("clear an earlier copy: %w", err)
		}
	}
	return nil
}

func (r *run) clearTable(ctx context.Context, name string) error {
	for {
		var keys []store.Key
		err := r.to.View(ctx, func(tx store.Tx) error {
			keys = nil
			for rec, err := range tx.Scan(raw(name), nil) {
				if err != nil {
					return err
				}
				if r.isMark(name, rec.Key) {
					continue
				}
				if keys = append(keys, rec.Key); len(keys) == 100*store.MaxWrites {
					return nil
				}
			}
			return nil
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for some := range slices.Chunk(keys, store.MaxWrites) {
			err := r.change(ctx, func(tx store.WTx) error {
				for _, k := range some {
					if err := tx.Delete(raw(name), k); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			r.report.Cleared += int64(len(some))
			r.Progress(Progress{Clearing, name, r.report.Cleared})
		}
	}
}

// raw is a table as the engine has it, whatever was done above: keys and values may be as long as sealed ones.
func raw(name string) store.Table { return store.Table{Name: name, Sealed: true} }

func (r *run) isMark(table string, key store.Key) bool {
	return table == r.Mark.Table.Name && slices.Equal(key, r.Mark.Key)
}

func (r *run) begin(ctx context.Context) error {
	err := r.change(ctx, func(tx store.WTx) error {
		return tx.Put(r.Mark.Table, store.Record{Key: r.Mark.Key, Value: r.Mark.Value})
	})
	if err != nil {
		return fmt.Errorf("mark the target: %w", err)
	}
	return nil
}

// copy reads one snapshot of the source. It begins anew where the engine has to.
func (r *run) copy(ctx context.Context) error {
	tables, err := r.from.Tables(ctx)
	if err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	r.report.Tables = len(tables)
	return r.from.View(ctx, func(tx store.Tx) error {
		r.report.Records, r.report.Bytes = 0, 0
		for _, name := range tables {
			if err := r.copyTable(ctx, tx, name); err != nil {
				return fmt.Errorf("copy table %q: %w", name, err)
			}
		}
		return nil
	})
}

func (r *run) copyTable(ctx context.Context, tx store.Tx, name string) error {
	var (
		rows []store.Record
		size int
	)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := r.change(ctx, func(w store.WTx) error {
			for _, rec := range rows {
				if err := w.Put(raw(name), rec); err != nil {
					return err
				}
			}
			return nil
		})
		r.report.Records += int64(len(rows))
		r.report.Bytes += int64(size)
		rows, size = rows[:0], 0
		r.Progress(Progress{Copying, name, r.report.Records})
		return err
	}
	for rec, err := range tx.Scan(raw(name), nil) {
		if err != nil {
			return err
		}
		if r.isMark(name, rec.Key) {
			continue
		}
		rows, size = append(rows, rec), size+len(rec.Value)
		if len(rows) < store.MaxWrites && size < batchBytes {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}

// change is an Update of the target. One whose outcome is not known is made again.
func (r *run) change(ctx context.Context, fn func(store.WTx) error) error {
	var err error
	pause := firstPause
	for range tries {
		err = r.to.Update(ctx, fn)
		if !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// finish puts the last record where the mark is: from now on the target is whole.
func (r *run) finish(ctx context.Context) error {
	last, err := r.get(ctx, r.from)
	if err == nil && last == nil {
		err = ErrNoSource
	}
	if err != nil {
		return fmt.Errorf("read the last record: %w", err)
	}
	err = r.change(ctx, func(tx store.WTx) error {
		return tx.Put(r.Mark.Table, store.Record{Key: r.Mark.Key, Value: last})
	})
	if err != nil {
		return fmt.Errorf("write the last record: %w", err)
	}
	r.report.Records++
	r.report.Bytes += int64(len(last))
	return nil
}
