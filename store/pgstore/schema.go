package pgstore

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/oidcbox/oidcbox/store"
)

// step makes one version of the tables out of the one before. A step that adds leaves oldest as it is, so that old and
// new programs work side by side; one that changes what is there raises it, and older programs stop at their next
// transaction.
type step struct {
	oldest int // version of the oldest program that works with the result
	sql    string
}

// layout is the history of the tables; its length is the version of this program. Steps are only ever added.
func layout() []step {
	return []step{{oldest: 1, sql: `
		create schema if not exists {s};
		create table {s}.meta (one boolean primary key default true check (one),
			version integer not null, oldest integer not null, role text not null);
		create table {s}.records (tab bytea not null, key bytea not null, value bytea not null, until bigint not null,
			primary key (tab, key)) with (fillfactor = 80);
		create index records_until on {s}.records (until) where until <> 0;
		create table {s}.leases (name bytea primary key, fence bigint not null, until bigint not null,
			owner bytea not null) with (fillfactor = 50);`}}
}

// States that mean that somebody else is creating the same at this moment.
func raced(err error) bool {
	return isCode(err, "23505", "42P06", "42P07", "42710", "42704", "XX000", "23503")
}

// prepare looks at the database over a connection of its own: is there a pooler in between, are changes durable, are
// the tables there and of a version that we know.
func (e *Engine) prepare(ctx context.Context, s *settings) error {
	once := *s
	once.shared = true // until we know better
	conn, err := once.connect(ctx)
	if err != nil {
		return failed(ctx, "connect", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ctx, cancel := e.limit(ctx)
	defer cancel()

	var backend uint32
	var durable, fsync string
	_, err = conn.run(ctx, query{
		sql:  "select pg_backend_pid(), current_setting('synchronous_commit'), current_setting('fsync')",
		scan: func(r row) error { return r.scan(&backend, &durable, &fsync) },
	})
	if err != nil {
		return failed(ctx, "look at the server", err)
	}
	// A pooler gives out numbers of its own. Prepared statements would be left behind on a session of somebody else.
	lazy := durable == "off"
	if s.shared = backend != conn.PID(); !s.shared {
		e.o.session(s.config.RuntimeParams, lazy)
	}
	if fsync != "on" {
		e.o.Log.Warn("database does not write to disk before it answers (fsync is off): a crash loses changes")
	}
	e.sql = e.o.texts(s.shared, lazy)
	return e.ensure(ctx, conn)
}

// ensure creates or upgrades the tables.
func (e *Engine) ensure(ctx context.Context, conn *session) error {
	have, err := e.readMeta(ctx, conn)
	switch {
	case err != nil:
		return err
	case have.version == 0 && e.o.MustExist:
		return fmt.Errorf("schema %q: %w", e.o.Schema, fs.ErrNotExist)
	case have.version > 0 && have.role != e.o.Role:
		return fmt.Errorf("schema %q belongs to role %q: %w", e.o.Schema, have.role, store.ErrWrongRole)
	}
	own := len(e.o.layout)
	switch {
	case have.version < 0 || own < have.oldest:
		return e.tooOld(have.oldest)
	case have.version >= own:
		return nil
	}
	err = e.upgrade(ctx, conn, have.version)
	if raced(err) {
		return &failure{err: fmt.Errorf("create tables: %w", store.ErrConflict), again: true}
	}
	if err != nil {
		return failed(ctx, fmt.Sprintf("create tables in schema %q", e.o.Schema), err)
	}
	return nil
}

func (e *Engine) tooOld(oldest int) error {
	return fmt.Errorf("tables in schema %q need a program of version %d, this is %d: %w",
		e.o.Schema, oldest, len(e.o.layout), store.ErrVersion)
}

type meta struct {
	version, oldest int // version 0: there are no tables
	role            string
}

func (e *Engine) readMeta(ctx context.Context, conn *session) (meta, error) {
	var m meta
	look := func(r row) error { return r.scan(&m.version, &m.oldest, &m.role) }
	n, err := conn.run(ctx, query{sql: e.sql.metaSelect, scan: look})
	switch {
	case isCode(err, undefinedTable, invalidSchema):
		return meta{}, nil
	case err != nil:
		return m, failed(ctx, "read version", err)
	case n == 0:
		return m, fmt.Errorf("table meta of schema %q is empty: %w", e.o.Schema, store.ErrCorrupt)
	case m.version <= 0:
		return m, fmt.Errorf("tables in schema %q have version %d: %w", e.o.Schema, m.version, store.ErrVersion)
	}
	return m, nil
}

// upgrade goes from one version to ours in one transaction. Two at once: one fails and looks again.
func (e *Engine) upgrade(ctx context.Context, conn *session, from int) error {
	if err := do(ctx, conn, "begin"); err != nil {
		return err
	}
	if err := e.climb(ctx, conn, from); err != nil {
		return err // the connection ends now, and the transaction with it
	}
	return do(ctx, conn, "commit")
}

// do runs statements that give nothing back.
func do(ctx context.Context, conn *session, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

func (e *Engine) climb(ctx context.Context, conn *session, from int) error {
	schema := quote(e.o.Schema)
	if from > 0 {
		var now int
		lock := "select version from " + schema + ".meta for update"
		if _, err := conn.run(ctx, query{sql: lock, scan: func(r row) error { return r.scan(&now) }}); err != nil {
			return err
		}
		if now != from {
			return &failure{err: store.ErrConflict, again: true}
		}
	}
	for _, s := range e.o.layout[from:] {
		if err := do(ctx, conn, strings.ReplaceAll(s.sql, "{s}", schema)); err != nil {
			return err
		}
	}
	own := len(e.o.layout)
	note := query{
		sql: "insert into " + schema + `.meta as m (version, oldest, role) values ($1, $2, $3)
		on conflict (one) do update set version = excluded.version, oldest = greatest(m.oldest, excluded.oldest)`,
		args: []any{int64(own), int64(e.o.layout[own-1].oldest), e.o.Role},
	}
	_, err := conn.run(ctx, note)
	return err
}
