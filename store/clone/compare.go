package clone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"iter"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// fleeting is how near its end a record may be missing on one side: the clocks of two engines are not one.
	fleeting = time.Minute
	// tellEvery is how many records are compared between two reports of progress.
	tellEvery = 1000
)

// compare reads both stores side by side and fails where a record is not the same. One that has expired meanwhile may
// be missing.
func (r *run) compare(ctx context.Context) error {
	have, err := r.from.Tables(ctx)
	if err != nil {
		return err
	}
	made, err := r.to.Tables(ctx)
	if err != nil {
		return err
	}
	tables := slices.Compact(slices.Sorted(slices.Values(slices.Concat(have, made))))
	return r.from.View(ctx, func(a store.Tx) error {
		return r.to.View(ctx, func(b store.Tx) error {
			c := comparison{run: r, sum: sha256.New()}
			for _, name := range tables {
				if err := c.table(a, b, name); err != nil {
					return err
				}
			}
			c.sum.Sum(r.report.Digest[:0])
			r.report.Records = c.records
			return nil
		})
	})
}

type comparison struct {
	*run
	sum     hash.Hash
	records int64
}

// side is one of the two, with the row that comes next.
type side struct {
	next func() (store.Record, error, bool)
	rec  store.Record
	key  []byte // encoded; nil at the end
	read int64
}

func (s *side) advance(skip func(store.Key) bool) error {
	for {
		rec, err, ok := s.next()
		if !ok {
			s.key = nil
			return nil
		}
		if err != nil {
			return err
		}
		if skip(rec.Key) {
			continue
		}
		s.rec, s.key = rec, rec.Key.Encode()
		s.read++
		return nil
	}
}

// over reports whether the row of a side may be missing on the other.
func (c *comparison) over(s *side) bool {
	return !s.rec.Expires.IsZero() && s.rec.Expires.Before(c.Now().Add(fleeting))
}

func (c *comparison) table(a, b store.Tx, name string) error {
	var from, to side
	skip := func(k store.Key) bool { return c.isMark(name, k) }
	for s, tx := range map[*side]store.Tx{&from: a, &to: b} {
		next, stop := iter.Pull2(tx.Scan(raw(name), nil))
		defer stop()
		s.next = next
		if err := s.advance(skip); err != nil {
			return err
		}
	}
	for from.key != nil || to.key != nil {
		behind, err := c.row(name, &from, &to)
		if err != nil {
			return err
		}
		for _, s := range behind {
			if err := s.advance(skip); err != nil {
				return err
			}
		}
	}
	return nil
}

// row compares the next rows and returns the sides to go on with.
func (c *comparison) row(name string, from, to *side) ([]*side, error) {
	order := bytes.Compare(from.key, to.key)
	switch { // the end of a side comes after all
	case from.key == nil:
		order = 1
	case to.key == nil:
		order = -1
	}
	differ := &DifferError{Table: name, From: from.read, To: to.read}
	switch {
	case order < 0 && c.over(from):
		return []*side{from}, nil
	case order > 0 && c.over(to):
		return []*side{to}, nil
	case order != 0:
		return nil, differ
	}
	if !bytes.Equal(from.rec.Value, to.rec.Value) || !from.rec.Expires.Equal(to.rec.Expires) {
		return nil, differ
	}
	c.add(name, from)
	if c.records++; c.records%tellEvery == 0 {
		c.Progress(Progress{Comparing, name, c.records})
	}
	return []*side{from, to}, nil
}

// add takes a row into the digest, each part with its length.
func (c *comparison) add(name string, s *side) {
	for _, part := range [][]byte{[]byte(name), s.key, s.rec.Value} {
		_, _ = c.sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		_, _ = c.sum.Write(part)
	}
	_, _ = c.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(store.Millis(s.rec.Expires))))
}
