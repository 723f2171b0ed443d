package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	sweepLease = "mytoken.sweep"
	sweepTTL   = time.Minute
	// batch is how many rows one transaction removes, below store.MaxWrites.
	batch = 50
)

// Swept counts what a Sweep did.
type Swept struct {
	Tokens int // removed
	Lost   int // uses that were under way and that nobody settled
	Logins int // ended, and their refresh tokens removed
	Users  int // removed: nothing of them was left, or they were being erased
}

// Sweep removes mytokens that ended longer ago than Options.Retention, ends logins of which no mytoken lives, books
// what processes that died have left, and finishes erasures. It may be killed at any point, and goes on the next
// time. One process at a time does it; another one's Sweep waits for its turn until ctx ends.
func (l *Ledger) Sweep(ctx context.Context) (Swept, error) {
	l.idle(ctx)
	lease, err := l.eng.Lease(ctx, sweepLease, sweepTTL)
	if err != nil {
		return Swept{}, fmt.Errorf("wait for the sweep: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		if err := lease.Release(ctx); err != nil {
			l.o.Log.WarnContext(ctx, "the next sweep has to wait", "err", err)
		}
	}()
	s := &sweeping{Ledger: l, lease: lease, renewed: time.Now(), living: make(map[string]bool)}
	if err := errors.Join(s.all(ctx, tableUsers, s.user), s.all(ctx, tableLogins, s.login)); err != nil {
		return s.n, fmt.Errorf("sweep: %w", err)
	}
	return s.n, nil
}

// sweeping is one Sweep.
type sweeping struct {
	*Ledger
	lease   store.Lease
	renewed time.Time
	living  map[string]bool // logins of which a mytoken lives
	n       Swept
}

// all goes through a table. One record that cannot be read must not keep the others.
func (s *sweeping) all(ctx context.Context, name string, each func(ctx context.Context, key string) error) error {
	keys, err := s.keys(ctx, name)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		if time.Since(s.renewed) > sweepTTL/4 { // which is a change of its own
			if err := s.lease.Renew(ctx, sweepTTL); err != nil {
				return errors.Join(append(errs, err)...)
			}
			s.renewed = time.Now()
		}
		if err := each(ctx, key[0]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// keys lists the keys of a table below a prefix.
func (l *Ledger) keys(ctx context.Context, name string, prefix ...string) (all []store.Key, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		all = nil
		for row, err := range tx.Scan(table(name), prefix) {
			if err != nil {
				return err
			}
			all = append(all, row.Key)
		}
		return nil
	})
	return all, err
}

func (s *sweeping) user(ctx context.Context, user string) error {
	u, err := s.User(ctx, user)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	if u.Erasing {
		err := s.erase(ctx, user)
		if err == nil {
			s.n.Users++
		}
		return err
	}
	all, err := s.List(ctx, user)
	if err != nil {
		return err
	}
	left := len(all)
	for _, t := range all {
		gone, err := s.token(ctx, t, all)
		if err != nil {
			return err
		}
		if gone {
			left--
		}
	}
	if left > 0 {
		return nil
	}
	gone, err := s.dropUser(ctx, user)
	if gone {
		s.n.Users++
	}
	return err
}

// token does what is to be done about one mytoken of a person, who has all.
func (s *sweeping) token(ctx context.Context, t Token, all []Token) (gone bool, err error) {
	if t.untidy {
		if err := s.tidy(ctx, t); err != nil {
			return false, err
		}
		s.n.Lost += t.lost
	}
	if t.EndedAt.IsZero() {
		s.living[t.Login] = true
		return false, nil
	}
	if s.now().Sub(t.EndedAt) < s.o.Retention {
		return false, nil
	}
	if err := s.remove(ctx, t, stillBelow(t, all)); err != nil {
		return false, err
	}
	s.n.Tokens++
	return true, nil
}

// stillBelow reports whether a mytoken that was made from t may be kept on: then the mark of t has to stay.
func stillBelow(t Token, all []Token) bool {
	return slices.ContainsFunc(all, func(o Token) bool { return slices.Contains(o.Path, t.MOMID) })
}

// tidy books the uses of a mytoken that nobody settled, returns the allowance of one that expired, and forgets the
// answer for one that was replaced longer ago than anybody may ask for it.
func (l *Ledger) tidy(ctx context.Context, t Token) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		s, now, err := l.forUpdate(tx, t.MOMID)
		if err != nil {
			return err
		}
		if l.outdated(s, now) {
			s.Answer = nil
		}
		end, err := endOf(tx, s, now)
		if err != nil {
			return err
		}
		if !end.IsZero() && s.Revoked == nil && len(s.Holds) == 0 {
			if err := l.giveUp(tx, t.MOMID, s); err != nil {
				return err
			}
			s.Returned = true
		}
		return write(tx, tableStates, s, time.Time{}, t.MOMID)
	})
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// outdated reports whether nobody may ask for the newest mytoken with the one before any more; twice the window,
// because a use that was reserved inside of it may still be under way.
func (l *Ledger) outdated(s *stateRecord, now time.Time) bool {
	return s.Answer != nil && now.Sub(s.Since) > 2*l.o.Window+l.o.Hold
}

// remove deletes all that is kept of a mytoken: events and codes first, in batches, the row that leads to them last,
// unless there are new ones by then.
func (l *Ledger) remove(ctx context.Context, t Token, keepMark bool) error {
	for {
		rows, next, err := l.trail(ctx, t.MOMID)
		if err != nil {
			return err
		}
		if err := l.delete(ctx, rows); err != nil {
			return err
		}
		gone, err := l.removeRows(ctx, t, next, keepMark)
		if gone || err != nil {
			return err
		}
	}
}

// trail is what a mytoken leaves beside its own rows, and the number of its next event.
func (l *Ledger) trail(ctx context.Context, momID string) (rows []row, next int64, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		s, err := read[stateRecord](tx, tableStates, momID)
		if errors.Is(err, ErrUnknown) {
			s, err = &stateRecord{}, nil
		}
		if err != nil {
			return err
		}
		rows, next = nil, s.Next
		for n := s.First; n < s.Next; n++ {
			rows = append(rows, row{tableEvents, eventKey(momID, n)})
		}
		codes, err := aliases(tx, momID)
		rows = append(rows, codes...)
		return err
	})
	return rows, next, err
}

// removeRows deletes the rows of a mytoken, and does not where something was added to its trail. Its uses and codes lock
// the state, so nothing can be added behind it.
func (l *Ledger) removeRows(ctx context.Context, t Token, next int64, keepMark bool) (gone bool, err error) {
	err = l.eng.Update(ctx, func(tx store.WTx) error {
		gone = false
		s, err := readForUpdate[stateRecord](tx, tableStates, t.MOMID)
		if err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
		codes, err := aliases(tx, t.MOMID)
		if err != nil {
			return err
		}
		if len(codes) > 0 || s != nil && s.Next != next {
			return nil
		}
		gone = true
		last := []row{
			{tableStates, store.Key{t.MOMID}},
			{tableTokens, store.Key{t.MOMID}},
			{tableOwned, store.Key{t.User, t.Login, t.MOMID}},
		}
		if !keepMark {
			last = append(last, row{tableMarks, store.Key{t.MOMID}})
		}
		return deleteRows(tx, last)
	})
	if err != nil {
		return false, fmt.Errorf("remove a mytoken: %w", err)
	}
	return gone, nil
}

// row is one to be deleted.
type row struct {
	table string
	key   store.Key
}

// aliases are the codes of a mytoken, and the rows that lead to them.
func aliases(tx store.Tx, momID string) (rows []row, err error) {
	for r, err := range tx.Scan(table(tableAliases), store.Key{momID}) {
		if err != nil {
			return nil, err
		}
		a, err := parse[aliasRecord](r.Value)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{tableCodes, store.Key{string(a.Kind), r.Key[1]}}, row{tableAliases, r.Key})
	}
	return rows, nil
}

func (l *Ledger) delete(ctx context.Context, rows []row) error {
	for some := range slices.Chunk(rows, batch) {
		if err := l.eng.Update(ctx, func(tx store.WTx) error { return deleteRows(tx, some) }); err != nil {
			return fmt.Errorf("remove records: %w", err)
		}
	}
	return nil
}

func deleteRows(tx store.WTx, rows []row) error {
	for _, r := range rows {
		if err := tx.Delete(table(r.table), r.key); err != nil {
			return err
		}
	}
	return nil
}

// login ends a login without living mytokens, and removes what a process left that died while it kept a new one, and the
// row of a login that has no mytoken at all any more.
func (s *sweeping) login(ctx context.Context, login string) error {
	if s.living[login] {
		return nil
	}
	ended, err := s.sweepLogin(ctx, login)
	if ended {
		s.n.Logins++
	}
	return err
}

func (l *Ledger) sweepLogin(ctx context.Context, login string) (ended bool, err error) {
	var (
		lg    *loginRecord
		owned bool
	)
	err = l.eng.View(ctx, func(tx store.Tx) error {
		if lg, err = read[loginRecord](tx, tableLogins, login); err != nil {
			return err
		}
		for _, err := range tx.Scan(table(tableOwned), store.Key{lg.User, login}) {
			owned = err == nil
			return err
		}
		return nil
	})
	switch {
	case errors.Is(err, ErrUnknown):
		return false, nil
	case err != nil:
		return false, err
	case lg.Pending && l.now().Sub(lg.Created) < pendingFor:
		return false, nil
	case lg.Pending || !owned:
		// The refresh token first: without the row of the login nobody would look for it.
		if err := l.forget(ctx, login); err != nil {
			return false, err
		}
		return true, l.delete(ctx, []row{{tableLogins, store.Key{login}}, {tableEscrow, store.Key{login}}})
	case !lg.Ended.IsZero():
		return false, l.forgotten(ctx, login) // a process may have died between mark and removal
	}
	return l.endLogin(ctx, login)
}
