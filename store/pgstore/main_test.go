package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/storetest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// shared is the one cluster of this package's tests; each test has a schema of its own in it.
var shared struct {
	once sync.Once
	pg   *services.Postgres
	err  error
}

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		var c child
		err := json.Unmarshal([]byte(task), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if shared.pg != nil {
		shared.pg.Remove()
	}
	os.Exit(code)
}

func server(tb testing.TB) *services.Postgres {
	tb.Helper()
	shared.once.Do(func() { shared.pg, shared.err = services.StartPostgreSQL() })
	if shared.pg == nil {
		if errors.Is(shared.err, services.ErrNoPostgres) {
			services.Missing(tb, shared.err.Error())
		}
		tb.Fatal(shared.err)
	}
	return shared.pg
}

func text(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func newSchema() string { return "t" + strings.ToLower(rand.Text()) }

// patient are limits for a machine with other work.
func patient(o Options) Options {
	if o.Statement == 0 {
		o.Statement = time.Minute
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Connect == 0 {
		o.Connect = time.Minute
	}
	return o
}

func mustOpen(tb testing.TB, url string, o Options) *Engine {
	tb.Helper()
	e, err := Open(tb.Context(), text(url), patient(o))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// query runs SQL beside the engine.
func sqlDo(tb testing.TB, sql string, into ...any) {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), server(tb).URL(""))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if len(into) == 0 {
		_, err = conn.Exec(context.Background(), sql)
	} else {
		err = conn.QueryRow(context.Background(), sql).Scan(into...)
	}
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// steppedClock is a clock of the database that moves only when it is told to.
type steppedClock struct {
	name string
	ms   atomic.Int64
}

func newClock(tb testing.TB) *steppedClock {
	tb.Helper()
	c := &steppedClock{name: newSchema()}
	c.ms.Store(time.Now().UnixMilli())
	sqlDo(tb, fmt.Sprintf("create table public.%s (ms bigint); insert into public.%[1]s values (%d)", c.name, c.ms.Load()))
	return c
}

func (c *steppedClock) sql() string { return "(select ms from public." + c.name + ")" }

func (c *steppedClock) Now() time.Time { return time.UnixMilli(c.ms.Load()) }

// step moves it, and then gives those who look at it a little real time.
func (c *steppedClock) step(tb testing.TB, d time.Duration) {
	sqlDo(tb, fmt.Sprintf("update public.%s set ms = %d", c.name, c.ms.Add(d.Milliseconds())))
	time.Sleep(50 * time.Millisecond)
}

func contract(t *testing.T, url string) {
	var clock *steppedClock
	open := func(t *testing.T) store.Engine {
		clock = newClock(t)
		e, err := Open(t.Context(), text(url), patient(Options{Schema: newSchema(), clock: clock.sql()}))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	storetest.RunWith(t, open, func(t *testing.T) storetest.Clock {
		c := clock
		return storetest.Clock{Now: c.Now, Sleep: func(d time.Duration) { c.step(t, d) }, Slack: 10 * time.Minute}
	})
}

func TestContract(t *testing.T) {
	contract(t, server(t).URL(""))
}
