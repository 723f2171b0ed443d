package pgstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Defaults of Options.
const (
	DefaultSchema    = "oidcbox"
	DefaultMaxConns  = 16
	DefaultConnect   = 5 * time.Second
	DefaultStatement = 10 * time.Second
	DefaultPatience  = 10 * time.Second
)

const (
	idleLimit   = time.Minute     // of a transaction that asks nothing: the process may be gone, and its locks are not
	answerGrace = 2 * time.Second // how much longer than the server's own limit an answer is waited for
	maxTries    = 12              // of a change that others keep from committing
	firstPause  = 2 * time.Millisecond
	longPause   = 250 * time.Millisecond
)

// Options say how to use a database. The zero value suits a service of its own.
type Options struct {
	// Role is kept in the database; opening that of another role fails with store.ErrWrongRole.
	Role string
	// Schema is the PostgreSQL schema that holds the tables, so that several services share a database. Empty is
	// DefaultSchema.
	Schema string
	// Password is asked before each new connection, so that a changed password needs no restart. Nil leaves it to the
	// URL and to what libpq knows: PGPASSWORD, PGPASSFILE and ~/.pgpass.
	Password func() (string, error)
	// AllowPlain permits connections to other machines that are not encrypted, or whose other end is not checked.
	AllowPlain bool
	// MustExist makes Open fail with fs.ErrNotExist instead of creating tables.
	MustExist bool
	// MaxConns bounds the connections of this process. 0 is DefaultMaxConns.
	MaxConns int
	// Connect bounds making a connection, Statement each statement with its wait for locks. 0 is the default.
	Connect, Statement time.Duration
	// Patience is how long a call waits for a server that is away (a restart, a failover) or for a free connection,
	// and goes on trying against others, before it fails. 0 is DefaultPatience.
	Patience time.Duration
	// Log takes warnings. Nil drops them.
	Log *slog.Logger

	clock  string // SQL for milliseconds since 1970, "" is the database's clock
	layout []step // nil is layout()
}

// databaseClock is the time of the server and not of the statement or transaction.
const databaseClock = "floor(extract(epoch from clock_timestamp()) * 1000)::bigint"

// Engine implements store.Engine. Use Open.
type Engine struct {
	o    Options
	pool *pool
	sql  statements

	mu       sync.Mutex // guards what follows
	released chan struct{}
	closed   chan struct{}
}

// Open connects to the database of a URL (postgres://user@host:port/database?sslrootcert=…) and creates or upgrades
// the tables. Several processes may do that at once. url is a function so that no address with a password is ever printed;
// it is called once.
//
// Other machines are reached by TLS with a checked name (sslmode=verify-full) unless the URL or Options.AllowPlain say
// otherwise. Open fails with ErrURL, ErrPlain, ErrRights, store.ErrUnavailable, store.ErrVersion, store.ErrWrongRole or
// fs.ErrNotExist.
func Open(ctx context.Context, url func() (string, error), o Options) (*Engine, error) {
	o = o.withDefaults()
	s, err := configure(url, o)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	e := &Engine{o: o, released: make(chan struct{}), closed: make(chan struct{})}
	err = e.again(ctx, func() error { return e.prepare(ctx, &s) })
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if e.pool, err = newPool(s, o.MaxConns); err != nil {
		return nil, fmt.Errorf("open database: %w", failed(ctx, "make pool", err))
	}
	return e, nil
}

func (o Options) withDefaults() Options {
	orElse := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orElse(&o.Connect, DefaultConnect)
	orElse(&o.Statement, DefaultStatement)
	orElse(&o.Patience, DefaultPatience)
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.clock == "" {
		o.clock = databaseClock
	}
	if o.layout == nil {
		o.layout = layout()
	}
	return o
}

// View runs fn on a snapshot.
func (e *Engine) View(ctx context.Context, fn func(store.Tx) error) error {
	return e.again(ctx, func() error {
		t, err := e.begin(ctx, e.sql.beginView)
		if err != nil {
			return err
		}
		defer t.end()
		if err := t.begun(); err != nil { // the snapshot is of now
			return err
		}
		return t.outcome(fn(t))
	})
}

// Update runs fn in a transaction of its own, beside those of others.
func (e *Engine) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	return e.again(ctx, func() error {
		return e.update(ctx, func(t *tx) error {
			if err := t.checkHeld(held); err != nil {
				return err
			}
			return fn(t)
		})
	})
}

func (e *Engine) update(ctx context.Context, fn func(*tx) error) error {
	t, err := e.begin(ctx, e.sql.beginUpdate)
	if err != nil {
		return err
	}
	defer t.end()
	if err := t.outcome(fn(t)); err != nil {
		return err
	}
	return t.commit()
}

// again runs once until it succeeds, fails for good, or the patience is over.
func (e *Engine) again(ctx context.Context, once func() error) error {
	began := time.Now()
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.isClosed() {
			return store.ErrClosed
		}
		err := once()
		f, ours := err.(*failure) //nolint:errorlint // an error of fn that wraps one is fn's
		if !ours {
			return err
		}
		tired := time.Since(began) > e.o.Patience || try >= maxTries && errors.Is(f.err, store.ErrConflict)
		if !f.again || tired {
			return f.err
		}
		if err := e.pause(ctx, try); err != nil {
			return err
		}
	}
}

// pause waits before the next try, longer each time and never exactly as long as others.
func (e *Engine) pause(ctx context.Context, try int) error {
	limit := min(firstPause<<min(try, 10), longPause)
	timer := time.NewTimer(limit/2 + rand.N(limit/2)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-e.closed:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

// Close gives the connections back. It waits for transactions that run.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.isClosed() {
		e.mu.Unlock()
		return store.ErrClosed
	}
	close(e.closed)
	e.mu.Unlock()
	e.pool.close()
	return nil
}
