package boltstore

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/oidcbox/oidcbox/store"
)

// Sweep removes expired records of all tables, some at a time so that others get their turn, and returns how many it
// removed. Readers do not see them anyway; sweeping gives their space back. One process should do it: hold a lease.
func (e *Engine) Sweep(ctx context.Context) (removed int, err error) {
	for {
		n := 0
		err := e.update(ctx, func(t *tx) error {
			n = 0
			return t.sweep(&n)
		})
		removed += n
		if err != nil || n < store.MaxWrites {
			return removed, err
		}
	}
}

// sweep removes up to MaxWrites expired rows and counts them.
func (t *tx) sweep(n *int) error {
	for _, bucket := range t.buckets() {
		if !strings.HasPrefix(bucket, tablePrefix) {
			continue
		}
		for row, err := range t.scan(bucket, nil) {
			if err != nil {
				return err
			}
			if len(row.raw) < expirySize || !store.Expired(int64(binary.BigEndian.Uint64(row.raw)), t.now) {
				continue
			}
			t.changes.set(bucket, row.key, nil)
			if *n++; *n == store.MaxWrites {
				return nil
			}
		}
	}
	return nil
}
