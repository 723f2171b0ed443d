package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/store"
)

// The tables. A row of names, uids or accounts is never deleted once an account was made: that is what keeps a name and
// a uid from ever being another identity's.
func accountTable() store.Table { return store.Table{Name: "worker/accounts"} } // hash of identity -> entry
func nameTable() store.Table    { return store.Table{Name: "worker/names"} }    // local name -> holder
func uidTable() store.Table     { return store.Table{Name: "worker/uids"} }     // uid -> holder
func groupTable() store.Table   { return store.Table{Name: "worker/groups"} }   // group made here -> groupEntry
func numberTable() store.Table  { return store.Table{Name: "worker/numbers"} }  // "uid" -> the next one

// stage is how far an account has come.
type stage string

const (
	making stage = "making" // the name is reserved; the account may be there, half or whole
	made   stage = "made"
	gone   stage = "gone" // undeployed: name and uid stay this identity's
)

// entry is what the ledger has of an identity.
type entry struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	UID   uint32    `json:"uid,omitempty"` // 0 as long as nobody knows it
	GID   uint32    `json:"gid,omitempty"`
	Stage stage     `json:"stage"`
	Since time.Time `json:"since"`
}

type holder struct {
	ID string `json:"id"`
}

// groupEntry is a group that was made, or was about to be made, through this worker.
type groupEntry struct {
	GID uint32 `json:"gid,omitempty"` // 0: it is not known that it was made
}

// ledger is the worker's own record: which identity has which name and uid, for ever.
type ledger struct {
	engine store.Engine
	now    func() time.Time
}

func accountKey(id string) store.Key {
	h := sha256.Sum256([]byte(id))
	return store.Key{hex.EncodeToString(h[:])} // an identity is longer than a key may be
}

func uidKey(uid uint32) store.Key { return store.Key{strconv.FormatUint(uint64(uid), 10)} }

// load reads one record into v. It reports false when there is none.
func load(tx store.Tx, t store.Table, key store.Key, v any) (bool, error) {
	r, err := tx.Get(t, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if json.Unmarshal(r.Value, v) != nil {
		return false, fmt.Errorf("%w: table %s", ErrLedger, t.Name)
	}
	return true, nil
}

func save(tx store.WTx, t store.Table, key store.Key, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return tx.Put(t, store.Record{Key: key, Value: b})
}

func loadEntry(tx store.Tx, id string) (entry, bool, error) {
	var e entry
	found, err := load(tx, accountTable(), accountKey(id), &e)
	if err != nil || !found {
		return entry{}, false, err
	}
	if e.ID != id || e.Name == "" {
		return entry{}, false, fmt.Errorf("%w: account of another identity", ErrLedger)
	}
	return e, true, nil
}

// find returns the entry of an identity, and whether there is one.
func (l *ledger) find(ctx context.Context, id string) (e entry, found bool, err error) {
	err = l.engine.View(ctx, func(tx store.Tx) error {
		e, found, err = loadEntry(tx, id)
		return err
	})
	return e, found, wrapLedger(err)
}

// holderOf returns the identity that has or had a name.
func (l *ledger) holderOf(ctx context.Context, name string) (id string, found bool, err error) {
	var h holder
	err = l.engine.View(ctx, func(tx store.Tx) error {
		found, err = load(tx, nameTable(), store.Key{name}, &h)
		return err
	})
	return h.ID, found, wrapLedger(err)
}

// usedUID reports whether some identity has or had a uid.
func (l *ledger) usedUID(ctx context.Context, uid uint32) (found bool, err error) {
	err = l.engine.View(ctx, func(tx store.Tx) error {
		found, err = load(tx, uidTable(), uidKey(uid), &holder{})
		return err
	})
	return found, wrapLedger(err)
}

// reserve ties a name to an identity before the account is made. An identity keeps the name it has: only one whose
// account was never made may come back with another. The errors are backend.ErrTaken and backend.ErrMismatch.
func (l *ledger) reserve(ctx context.Context, id, name string) (e entry, err error) {
	err = l.engine.Update(ctx, func(tx store.WTx) error {
		var had bool
		if e, had, err = loadEntry(tx, id); err != nil {
			return err
		}
		if had && e.Name != name {
			if e.Stage != making {
				return fmt.Errorf("%w: the name of that identity is %s", backend.ErrMismatch, e.Name)
			}
			if err := tx.Delete(nameTable(), store.Key{e.Name}); err != nil {
				return err
			}
		}
		if err := claimName(tx, id, name); err != nil {
			return err
		}
		e.ID, e.Name, e.Stage, e.Since = id, name, making, l.now().UTC()
		return save(tx, accountTable(), accountKey(id), e)
	})
	return e, wrapLedger(err)
}

func claimName(tx store.WTx, id, name string) error {
	var h holder
	found, err := load(tx, nameTable(), store.Key{name}, &h)
	if err != nil {
		return err
	}
	if found && h.ID != id {
		return fmt.Errorf("%w: %s belongs, or belonged, to another identity", backend.ErrTaken, name)
	}
	return save(tx, nameTable(), store.Key{name}, holder{ID: id})
}

func claimUID(tx store.WTx, id string, uid uint32) error {
	var h holder
	found, err := load(tx, uidTable(), uidKey(uid), &h)
	if err != nil {
		return err
	}
	if found && h.ID != id {
		return fmt.Errorf("%w: uid %d belongs, or belonged, to another identity", backend.ErrTaken, uid)
	}
	return save(tx, uidTable(), uidKey(uid), holder{ID: id})
}

// nextUID is where the counter stands; 0 when it has not begun.
func (l *ledger) nextUID(ctx context.Context) (next uint32, err error) {
	err = l.engine.View(ctx, func(tx store.Tx) error {
		_, err := load(tx, numberTable(), store.Key{"uid"}, &next)
		return err
	})
	return next, wrapLedger(err)
}

// number gives an identity a uid and moves the counter behind it. The identity has an entry.
func (l *ledger) number(ctx context.Context, id string, uid uint32) (e entry, err error) {
	err = l.engine.Update(ctx, func(tx store.WTx) error {
		var had bool
		if e, had, err = loadEntry(tx, id); err != nil {
			return err
		}
		if !had {
			return fmt.Errorf("%w: no entry for a number", ErrLedger)
		}
		if e.UID != 0 {
			return nil
		}
		if err := claimUID(tx, id, uid); err != nil {
			return err
		}
		if err := save(tx, numberTable(), store.Key{"uid"}, uid+1); err != nil {
			return err
		}
		e.UID = uid
		return save(tx, accountTable(), accountKey(id), e)
	})
	return e, wrapLedger(err)
}

// finish notes that the account is there. Its name and uid have to be those the ledger has.
func (l *ledger) finish(ctx context.Context, a backend.Account) error {
	return wrapLedger(l.engine.Update(ctx, func(tx store.WTx) error {
		e, had, err := loadEntry(tx, a.ID)
		if err != nil {
			return err
		}
		if had && (e.Name != a.Name || e.UID != 0 && e.UID != a.UID) {
			return fmt.Errorf("%w: the ledger has %s with uid %d", backend.ErrMismatch, e.Name, e.UID)
		}
		if had && e.Stage == made && e.UID == a.UID && e.GID == a.GID {
			return nil
		}
		if err := claimName(tx, a.ID, a.Name); err != nil {
			return err
		}
		if err := claimUID(tx, a.ID, a.UID); err != nil {
			return err
		}
		e = entry{ID: a.ID, Name: a.Name, UID: a.UID, GID: a.GID, Stage: made, Since: l.now().UTC()}
		return save(tx, accountTable(), accountKey(a.ID), e)
	}))
}

// leave notes that the account was taken away.
func (l *ledger) leave(ctx context.Context, id string) error {
	return wrapLedger(l.engine.Update(ctx, func(tx store.WTx) error {
		e, had, err := loadEntry(tx, id)
		if err != nil || !had {
			return err
		}
		e.Stage, e.Since = gone, l.now().UTC()
		return save(tx, accountTable(), accountKey(id), e)
	}))
}

// entries calls each for all entries.
func (l *ledger) entries(ctx context.Context, each func(entry) error) error {
	var all []entry
	err := l.engine.View(ctx, func(tx store.Tx) error {
		for r, err := range tx.Scan(accountTable(), nil) {
			if err != nil {
				return err
			}
			var e entry
			if json.Unmarshal(r.Value, &e) != nil {
				return fmt.Errorf("%w: table %s", ErrLedger, accountTable().Name)
			}
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		return wrapLedger(err)
	}
	for _, e := range all {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// group returns what is known of a group, and whether it was made here.
func (l *ledger) group(ctx context.Context, name string) (g groupEntry, found bool, err error) {
	err = l.engine.View(ctx, func(tx store.Tx) error {
		found, err = load(tx, groupTable(), store.Key{name}, &g)
		return err
	})
	return g, found, wrapLedger(err)
}

func (l *ledger) putGroup(ctx context.Context, name string, g groupEntry) error {
	return wrapLedger(l.engine.Update(ctx, func(tx store.WTx) error {
		return save(tx, groupTable(), store.Key{name}, g)
	}))
}

// wrapLedger says what was being done, but leaves alone what is an answer rather than a failure.
func wrapLedger(err error) error {
	switch {
	case err == nil, errors.Is(err, backend.ErrTaken), errors.Is(err, backend.ErrMismatch):
		return err
	}
	return fmt.Errorf("worker's ledger: %w", err)
}
