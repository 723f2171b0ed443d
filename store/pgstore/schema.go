package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
func (e *Engine) prepare(ctx context.Context, config *pgxpool.Config) error {
	c := config.ConnConfig.Copy()
	if config.BeforeConnect != nil {
		if err := config.BeforeConnect(ctx, c); err != nil {
			return err
		}
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return failed(ctx, "connect", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ctx, cancel := e.limit(ctx)
	defer cancel()

	var backend uint32
	var durable, fsync string
	ask := "select pg_backend_pid(), current_setting('synchronous_commit'), current_setting('fsync')"
	if err := conn.QueryRow(ctx, ask).Scan(&backend, &durable, &fsync); err != nil {
		return failed(ctx, "look at the server", err)
	}
	// A pooler gives out numbers of its own. Prepared statements would be left behind on a session of somebody else.
	pooled, lazy := backend != conn.PgConn().PID(), durable == "off"
	if pooled {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	} else {
		e.o.session(config.ConnConfig.RuntimeParams, lazy)
	}
	if fsync != "on" {
		e.o.Log.Warn("database does not write to disk before it answers (fsync is off): a crash loses changes")
	}
	e.sql = e.o.texts(pooled, lazy)
	return e.ensure(ctx, conn)
}

// ensure creates or upgrades the tables.
func (e *Engine) ensure(ctx context.Context, conn *pgx.Conn) error {
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

func (e *Engine) readMeta(ctx context.Context, conn *pgx.Conn) (meta, error) {
	var m meta
	err := conn.QueryRow(ctx, e.sql.metaSelect).Scan(&m.version, &m.oldest, &m.role)
	switch {
	case err == nil && m.version <= 0:
		return m, fmt.Errorf("tables in schema %q have version %d: %w", e.o.Schema, m.version, store.ErrVersion)
	case err == nil, isCode(err, undefinedTable, invalidSchema):
		return m, nil
	case errors.Is(err, pgx.ErrNoRows):
		return m, fmt.Errorf("table meta of schema %q is empty: %w", e.o.Schema, store.ErrCorrupt)
	}
	return m, failed(ctx, "read version", err)
}

// upgrade goes from one version to ours in one transaction. Two at once: one fails and looks again.
func (e *Engine) upgrade(ctx context.Context, conn *pgx.Conn, from int) error {
	schema := pgx.Identifier{e.o.Schema}.Sanitize()
	t, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(context.WithoutCancel(ctx)) }()
	if from > 0 {
		var now int
		if err := t.QueryRow(ctx, "select version from "+schema+".meta for update").Scan(&now); err != nil {
			return err
		}
		if now != from {
			return &failure{err: store.ErrConflict, again: true}
		}
	}
	for _, s := range e.o.layout[from:] {
		if _, err := t.Exec(ctx, strings.ReplaceAll(s.sql, "{s}", schema), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	own := len(e.o.layout)
	_, err = t.Exec(ctx, "insert into "+schema+`.meta as m (version, oldest, role) values ($1, $2, $3)
		on conflict (one) do update set version = excluded.version, oldest = greatest(m.oldest, excluded.oldest)`,
		int64(own), int64(e.o.layout[own-1].oldest), e.o.Role)
	if err != nil {
		return err
	}
	return t.Commit(ctx)
}
