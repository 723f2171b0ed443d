package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/store"
)

// Mend goes on with what was interrupted and nobody logs in to finish: suspensions the account system has not heard of,
// accounts that are to go, requests that were granted. It returns how many it finished; the error joins those of the
// others, which the next call tries again. A daemon calls it at its start and every minute.
func (d *Desk) Mend(ctx context.Context) (int, error) {
	var ids []string
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		ids = nil
		for r, err := range tx.Scan(table(tableOpen), nil) {
			row, _, err := decode[owned](r, err, tableOpen)
			if err != nil {
				return err
			}
			ids = append(ids, row.ID)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read the ledger: %w", err)
	}
	mended := 0
	var errs []error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return mended, errors.Join(append(errs, err)...)
		}
		switch done, err := d.mend(ctx, id); {
		case err != nil:
			errs = append(errs, fmt.Errorf("mend the account of %s: %w", id, err))
		case done:
			mended++
		}
	}
	return mended, errors.Join(errs...)
}

func (d *Desk) mend(ctx context.Context, id string) (done bool, _ error) {
	err := d.exclusive(ctx, id, func(ctx context.Context, held store.Lease) error {
		a, _, err := d.read(ctx, id)
		if err != nil || a.Op == nil {
			return err
		}
		request := a.Op.Request
		if err := d.finish(ctx, held, id); err != nil {
			return err
		}
		done = true
		e := Event{Kind: Mended, ID: id, Name: a.Name, State: a.facts().State(), Reason: string(request)}
		d.audit(e, By{Who: a.Op.By})
		return nil
	})
	return done, err
}
