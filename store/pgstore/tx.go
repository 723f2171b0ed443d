package pgstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/oidcbox/oidcbox/store"
)

const (
	scanPage  = 200 // records fetched at once, so that fn may read others between two
	holdTries = 10  // to lock a row that others make and remove
)

// tx is both kinds of transaction. BEGIN and writes wait in pending and travel with the next read or with the commit.
type tx struct {
	e       *Engine
	ctx     context.Context //nolint:containedctx // store.Tx has none in its methods, and ends with the call that has it
	conn    *puddle.Resource[*session]
	pending []query
	begins  int              // of pending: the statements that begin the transaction, 0 when it has begun
	now     int64            // store.Millis of the beginning, by the database's clock; 0 until it has begun
	holds   map[rowName]bool // rows made only to be locked
	writes  int
	failed  *failure // what went wrong first, whatever fn makes of it
	ended   bool
}

type rowName struct{ tab, key string }

// begin takes a connection and starts a transaction on it.
func (e *Engine) begin(ctx context.Context, how []string) (*tx, error) {
	wait, cancel := context.WithTimeout(ctx, e.o.Patience)
	defer cancel()
	conn, err := e.pool.take(wait)
	if err != nil {
		return nil, failed(ctx, "get a connection to the database", err)
	}
	t := &tx{e: e, ctx: ctx, conn: conn, begins: len(how)}
	for _, s := range how {
		t.pending = append(t.pending, query{sql: s, plain: true})
	}
	last := &t.pending[len(how)-1]
	last.plain, last.scan = false, t.scanBeginning
	return t, nil
}

// begun makes sure that the time of the transaction is known.
func (t *tx) begun() error {
	if err := t.alive(); err != nil || t.begins == 0 {
		return err
	}
	ctx, cancel := t.e.limit(t.ctx)
	defer cancel()
	_, err := t.send(ctx)
	return t.fail("begin transaction", err)
}

// scanBeginning reads what the last statement of a beginning says: the time, and the version of the oldest program that
// may work here.
func (t *tx) scanBeginning(r row) error {
	var oldest int
	if err := r.scan(&t.now, &oldest); err != nil {
		return err
	}
	if oldest > len(t.e.o.layout) {
		return &failure{err: t.e.tooOld(oldest)}
	}
	return nil
}

// send sends what is pending, and reads the answers. It returns how many rows the last query has changed or given.
func (t *tx) send(ctx context.Context) (int64, error) {
	queries, begins := t.pending, t.begins
	t.pending, t.begins = nil, 0
	n, err := t.conn.Value().run(ctx, queries...)
	if begins > 0 && t.now == 0 && (err == nil || isCode(err, failedTransaction)) {
		err = &failure{err: fmt.Errorf("table meta is empty: %w", store.ErrCorrupt)}
	}
	return n, err
}

// limit bounds one exchange with the server, which has a shorter limit of its own.
func (e *Engine) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.o.Statement+answerGrace)
}

// end gives the connection back, after a rollback where the transaction is still open. A connection for which that
// fails is closed by the pool.
func (t *tx) end() {
	t.ended = true
	if t.conn == nil {
		return
	}
	conn := t.conn
	t.conn = nil
	if s := conn.Value(); !s.IsClosed() && s.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), answerGrace)
		defer cancel()
		_, _ = s.Exec(ctx, "rollback").ReadAll()
	}
	t.e.pool.give(conn)
}

// outcome is fn's error, or what went wrong under it.
func (t *tx) outcome(err error) error {
	if t.failed != nil {
		return t.failed
	}
	return err
}

func (t *tx) alive() error {
	if t.ended {
		return fmt.Errorf("transaction has ended: %w", store.ErrClosed)
	}
	if t.failed != nil {
		return t.failed
	}
	return nil
}

func (t *tx) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	t.failed = failed(t.ctx, doing, err)
	return t.failed
}

// ask sends what is pending and a query, and hands each row to scan. It returns how many rows the query
// changed or gave.
func (t *tx) ask(scan func(row) error, sql string, args ...any) (int64, error) {
	if err := t.alive(); err != nil {
		return 0, err
	}
	ctx, cancel := t.e.limit(t.ctx)
	defer cancel()
	t.pending = append(t.pending, query{sql: sql, args: args, scan: scan})
	return t.send(ctx)
}

// queue has a statement wait for the next one that is asked, or for the commit.
func (t *tx) queue(sql string, args ...any) {
	t.pending = append(t.pending, query{sql: sql, args: args})
}

func (t *tx) Get(tab store.Table, key store.Key) (store.Record, error) {
	r, _, err := t.get(t.e.sql.get, tab, key)
	return r, err
}

// get returns the record and whether there is a row, which may be expired.
func (t *tx) get(sql string, tab store.Table, key store.Key) (r store.Record, there bool, err error) {
	if err := t.alive(); err != nil {
		return r, false, err
	}
	b, err := store.CheckKey(tab, key)
	if err != nil {
		return r, false, err
	}
	var until int64
	n, err := t.ask(func(got row) error { return got.scan(&r.Value, &until) }, sql, []byte(tab.Name), b)
	switch {
	case err != nil:
		return store.Record{}, false, t.fail("read from table "+strconv.Quote(tab.Name), err)
	case n == 0:
		return store.Record{}, false, store.ErrNotFound
	case until != 0 && until <= t.now: // as store.Expired
		return store.Record{}, true, store.ErrNotFound
	}
	r.Key, r.Expires = slices.Clone(key), store.FromMillis(until)
	return r, true, nil
}

// GetForUpdate locks the row. Where there is none it makes one that nobody sees, so that whoever wants to make the same
// waits for us.
func (t *tx) GetForUpdate(tab store.Table, key store.Key) (store.Record, error) {
	for range holdTries {
		r, there, err := t.get(t.e.sql.lock, tab, key)
		if there || err != store.ErrNotFound { //nolint:errorlint // get's own, unwrapped
			return r, err
		}
		b := key.Encode()
		n, err := t.ask(nil, t.e.sql.hold, []byte(tab.Name), b)
		if err != nil {
			return store.Record{}, t.fail("lock in table "+strconv.Quote(tab.Name), err)
		}
		if n == 1 {
			if t.holds == nil {
				t.holds = map[rowName]bool{}
			}
			t.holds[rowName{tab.Name, string(b)}] = true
			return store.Record{}, store.ErrNotFound
		}
	}
	return store.Record{}, t.fail("lock", &failure{err: store.ErrConflict, again: true})
}

// Tables returns the names of all tables that have a row, sorted.
func (e *Engine) Tables(ctx context.Context) (names []string, err error) {
	err = e.again(ctx, func() error {
		t, err := e.begin(ctx, e.sql.beginView)
		if err != nil {
			return err
		}
		defer t.end()
		names = nil
		_, err = t.ask(func(r row) error {
			var name []byte
			err := r.scan(&name)
			names = append(names, string(name))
			return err
		}, e.sql.tables)
		return t.outcome(t.fail("list tables", err))
	})
	return names, err
}

func (t *tx) Scan(tab store.Table, prefix store.Key) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		from, err := store.CheckPrefix(tab, prefix)
		if err == nil {
			err = t.alive()
		}
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		below := below(from)
		if err := t.begun(); err != nil { // the statement has the time in it
			yield(store.Record{}, err)
			return
		}
		for {
			page, last, err := t.page(tab, from, below)
			if err != nil {
				yield(store.Record{}, t.fail("scan table "+strconv.Quote(tab.Name), err))
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if len(page) < scanPage {
				return
			}
			from = append(last, 0) // the next of all possible keys
		}
	}
}

// below is the first key after all that begin with an encoded prefix, nil for the empty one. An encoded prefix ends
// with the byte 0.
func below(prefix []byte) []byte {
	if len(prefix) == 0 {
		return nil
	}
	b := slices.Clone(prefix)
	b[len(b)-1]++
	return b
}

func (t *tx) page(tab store.Table, from, below []byte) (page []store.Record, last []byte, err error) {
	scan := func(got row) error {
		var r store.Record
		var until int64
		if err := got.scan(&last, &r.Value, &until); err != nil {
			return err
		}
		if r.Key, err = store.ParseKey(last); err != nil {
			return &failure{err: fmt.Errorf("%w: %w", store.ErrCorrupt, err)}
		}
		r.Expires = store.FromMillis(until)
		page = append(page, r)
		return nil
	}
	name := []byte(tab.Name)
	if below == nil {
		_, err = t.ask(scan, t.e.sql.scanAll, name, from, t.now, int64(scanPage))
	} else {
		_, err = t.ask(scan, t.e.sql.scan, name, from, below, t.now, int64(scanPage))
	}
	return page, last, err
}

func (t *tx) Put(tab store.Table, r store.Record) error {
	key, err := t.write(tab, r.Key)
	if err != nil {
		return err
	}
	if err := store.CheckValue(tab, r.Value); err != nil {
		return err
	}
	value := append([]byte{}, r.Value...) // nil would be NULL
	t.queue(t.e.sql.put, []byte(tab.Name), key, value, store.Millis(r.Expires))
	return nil
}

func (t *tx) Delete(tab store.Table, key store.Key) error {
	b, err := t.write(tab, key)
	if err != nil {
		return err
	}
	t.queue(t.e.sql.remove, []byte(tab.Name), b)
	return nil
}

func (t *tx) write(tab store.Table, key store.Key) ([]byte, error) {
	if err := t.alive(); err != nil {
		return nil, err
	}
	b, err := store.CheckKey(tab, key)
	if err != nil {
		return nil, err
	}
	t.writes++
	if err := store.CheckWrites(t.writes); err != nil {
		return nil, err
	}
	delete(t.holds, rowName{tab.Name, string(b)})
	return b, nil
}

// commit sends what is pending and COMMIT in one message. From then on the caller's context does not matter, since a
// change that is half sent is neither made nor not made.
func (t *tx) commit() error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	for row := range t.holds {
		t.queue(t.e.sql.unhold, []byte(row.tab), []byte(row.key))
	}
	if t.begins > 0 {
		if len(t.pending) == t.begins {
			return nil // it never began
		}
		// Apart from COMMIT: on a connection that has died meanwhile it is certain that nothing was changed.
		if err := t.begun(); err != nil {
			return err
		}
	}
	ctx, cancel := t.e.limit(context.WithoutCancel(t.ctx))
	defer cancel()
	conn, queries := t.conn.Value(), append(t.pending, query{sql: "commit", plain: true})
	t.pending = nil
	err := conn.prepare(ctx, queries)
	if err == nil && conn.IsClosed() {
		err = errConnection
	}
	if err != nil {
		return t.uncommitted(err, true)
	}
	answers := conn.send(ctx, queries)
	defer answers.Close() //nolint:errcheck // the answer to COMMIT is what counts
	for range len(queries) - 1 {
		if _, err := next(answers, nil); err != nil {
			return t.uncommitted(conn.note(err), isAnswer(err))
		}
	}
	tag, err := next(answers, nil)
	if err != nil {
		return t.uncommitted(err, !unknownCommit(err))
	}
	if tag.String() != "COMMIT" {
		return &failure{err: fmt.Errorf("commit: server says %s: %w", tag, store.ErrConflict), again: true}
	}
	return nil
}

// uncommitted is the error of a commit. certain: nothing was changed. A transaction that writes nothing has no outcome
// to be unknown.
func (t *tx) uncommitted(err error, certain bool) error {
	if certain || t.writes == 0 {
		return failed(context.WithoutCancel(t.ctx), "commit", err)
	}
	return &failure{err: fmt.Errorf("commit: %w: %w", store.ErrUnknown, err)}
}

// isAnswer reports whether the server itself refused a statement before COMMIT, also by ending: then it did not come to
// COMMIT. What the driver says of its own leaves that open, also that something were safe to try again: of a connection
// that is lost while an answer is awaited it only says that it is closed.
func isAnswer(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return answered
}
