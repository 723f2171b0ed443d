package pgstore

import (
	"context"
)

// sweepBatch is how many rows one transaction removes.
const sweepBatch = 500

// Sweep removes expired records of all tables, some at a time so that others get their turn, and returns how many it
// removed. Readers do not see them anyway; sweeping gives their space back. One process should do it: hold a lease.
func (e *Engine) Sweep(ctx context.Context) (removed int, err error) {
	for {
		var n int64
		err := e.changeLease(ctx, func(t *tx) (err error) {
			n, err = t.ask(nil, e.sql.sweep, t.now, int64(sweepBatch))
			return t.fail("sweep", err)
		})
		removed += int(n)
		if err != nil || n < sweepBatch {
			return removed, err
		}
	}
}
