package provision

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// conflictTries is how often a transaction is begun anew.
const conflictTries = 4

// errNothing ends an edit that has nothing to write.
var errNothing = errors.New("nothing to write")

// sheet is an identity's records inside a transaction. What is changed in it is written at its end.
type sheet struct {
	tx  store.WTx
	now time.Time
	a   account
	d   details
	// drop removes the records instead: nothing is left to be remembered.
	drop bool
}

// read returns what the ledger has of id, zero records for nothing.
func (d *Desk) read(ctx context.Context, id string) (a account, det details, err error) {
	err = d.o.Store.View(ctx, func(tx store.Tx) error {
		if a, _, err = get[account](tx, tableAccounts, key(id)); err != nil {
			return err
		}
		det, err = detailsOf(tx, a, id)
		return err
	})
	if err == nil && a.known() && a.ID != id {
		err = ErrRecord
	}
	if err != nil {
		return account{}, details{}, fmt.Errorf("read the ledger: %w", err)
	}
	return a, det, nil
}

// detailsOf returns what belongs to a, with the request that waits.
func detailsOf(tx store.Tx, a account, id string) (details, error) {
	det, _, err := get[details](tx, tableDetails, key(id))
	if err != nil || !a.Pending {
		return det, err
	}
	if r, found, err := get[request](tx, tableRequests, key(id)); err != nil {
		return det, err
	} else if found {
		det.Request = &r
	}
	return det, nil
}

// edit changes the records of id in one transaction, and returns what they are then. held may be nil. errNothing of fn
// writes nothing and is no error.
func (d *Desk) edit(ctx context.Context, held store.Lease, id string, fn func(*sheet) error) (account, details, error) {
	var leases []store.Lease
	if held != nil {
		leases = append(leases, held)
	}
	var s sheet
	transaction := func(tx store.WTx) (err error) {
		s = sheet{tx: tx, now: d.now()}
		if s.a, _, err = lock[account](tx, tableAccounts, key(id)); err != nil {
			return err
		}
		if s.a.known() && s.a.ID != id {
			return ErrRecord
		}
		if s.d, err = detailsOf(tx, s.a, id); err != nil { // the account's row is locked, and theirs with it
			return err
		}
		before, waiting := s.a, s.d.Request
		if err := fn(&s); err != nil {
			return err
		}
		if err := s.writeRequest(waiting, id); err != nil {
			return err
		}
		return s.write(before, id)
	}
	var err error
	for range conflictTries {
		if err = d.o.Store.Update(ctx, transaction, leases...); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	switch {
	case err == nil, errors.Is(err, errNothing):
		return s.a, s.d, nil
	case errors.Is(err, errOccupied), errors.Is(err, ErrMismatch):
		return s.a, s.d, err
	}
	return s.a, s.d, fmt.Errorf("write the ledger: %w", err)
}

func (s *sheet) writeRequest(before *request, id string) error {
	switch {
	case s.d.Request == before && !s.drop:
		return nil
	case s.d.Request == nil || s.drop:
		return remove(s.tx, tableRequests, key(id))
	}
	return put(s.tx, tableRequests, key(id), s.d.Request)
}

func (s *sheet) write(before account, id string) error {
	if before.Op != nil && (s.a.Op == nil || s.drop) {
		if err := remove(s.tx, tableOpen, key(id)); err != nil {
			return err
		}
	}
	if s.drop {
		s.a, s.d = account{}, details{}
		if err := remove(s.tx, tableAccounts, key(id)); err != nil {
			return err
		}
		return remove(s.tx, tableDetails, key(id))
	}
	if s.a.Created.IsZero() {
		s.a.Created = s.now
	}
	s.a.Version, s.a.ID, s.a.Changed, s.a.Rev = recordVersion, id, s.now, before.Rev+1
	s.d.Version = recordVersion
	if s.a.Op != nil {
		if err := put(s.tx, tableOpen, key(id), owned{Version: recordVersion, ID: id, Since: s.a.Op.Since}); err != nil {
			return err
		}
	}
	if err := put(s.tx, tableAccounts, key(id), s.a); err != nil {
		return err
	}
	return put(s.tx, tableDetails, key(id), s.d)
}

// claim takes a local name for the identity, for as long as the ledger lives or release gives it back. The error is
// errOccupied when it is somebody else's.
func (s *sheet) claim(id, name string) error {
	row, found, err := lock[owned](s.tx, tableNames, store.Key{name})
	switch {
	case err != nil:
		return err
	case found && row.ID != id:
		return fmt.Errorf("%w: %s", errOccupied, name)
	}
	s.a.Name = name
	if found {
		return nil
	}
	return put(s.tx, tableNames, store.Key{name}, owned{Version: recordVersion, ID: id, Since: s.now})
}

// release gives the name back, of an identity that never had an account by it.
func (s *sheet) release() error {
	if s.a.Had || s.a.Name == "" {
		return nil
	}
	name := s.a.Name
	s.a.Name = ""
	return remove(s.tx, tableNames, store.Key{name})
}

// number notes that the uid is the identity's, for ever. The error is ErrMismatch when it is somebody else's.
func (s *sheet) number(id string, uid uint32) error {
	if uid == 0 {
		return nil
	}
	k := store.Key{strconv.FormatUint(uint64(uid), 10)}
	row, found, err := lock[owned](s.tx, tableUIDs, k)
	switch {
	case err != nil:
		return err
	case found && row.ID != id:
		return fmt.Errorf("%w: uid %d is that of another identity", ErrMismatch, uid)
	}
	s.a.UID = uid
	if found {
		return nil
	}
	return put(s.tx, tableUIDs, k, owned{Version: recordVersion, ID: id, Since: s.now})
}

// owner returns the identity that has or had a local name, "" for none.
func (d *Desk) owner(ctx context.Context, name string) (id string, err error) {
	if name == "" || len(name) > 256 {
		return "", nil
	}
	err = d.o.Store.View(ctx, func(tx store.Tx) error {
		row, _, err := get[owned](tx, tableNames, store.Key{name})
		id = row.ID
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the ledger: %w", err)
	}
	return id, nil
}
