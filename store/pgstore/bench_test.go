package pgstore

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oidcbox/oidcbox/store"
)

const (
	benchRounds = 5
	benchRound  = 400 * time.Millisecond
)

// BenchmarkBesideRaw is the engine beside what one writes by hand with pgx: the same statements in a transaction of the
// same kind, one after the other. Both work in turn on one server, and the median of the ratios counts (below 1 the
// engine is faster).
func BenchmarkBesideRaw(b *testing.B) {
	e := mustOpen(b, server(b).URL(""), Options{Schema: newSchema(), MaxConns: 16})
	err := e.Update(b.Context(), func(w store.WTx) error {
		return w.Put(texts, store.Record{Key: store.Key{"parent"}, Value: make([]byte, 512)})
	})
	if err != nil {
		b.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(server(b).URL(""))
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = 16
	raw, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(raw.Close)
	for _, work := range []struct {
		name      string
		ours, raw func(context.Context, int64) error
	}{{"issue", e.issue, rawIssue(e, raw)}, {"read", e.readParent, rawRead(e, raw)}} {
		for _, clients := range []int{1, 64} {
			b.Run(work.name+"_"+strconv.Itoa(clients), func(b *testing.B) {
				for b.Loop() { // once, with -benchtime 1x
					beside(b, clients, work.ours, work.raw)
				}
			})
		}
	}
}

func beside(b *testing.B, clients int, ours, raw func(context.Context, int64) error) {
	b.Helper()
	var ratios, rates []float64
	for range benchRounds {
		r, o := rate(b, clients, raw), rate(b, clients, ours)
		ratios, rates = append(ratios, r/o), append(rates, o)
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(ratios[benchRounds/2], "x-raw")
	b.ReportMetric(rates[benchRounds/2], "tx/s")
}

func rate(b *testing.B, clients int, do func(context.Context, int64) error) float64 {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(begin) < benchRound {
				if err := do(b.Context(), n.Add(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(begin).Seconds()
}

// issue is one read and two writes, durable.
func (e *Engine) issue(ctx context.Context, n int64) error {
	id := strconv.FormatInt(n%1000, 10)
	return e.Update(ctx, func(w store.WTx) error {
		if _, err := w.Get(texts, store.Key{"parent"}); err != nil {
			return err
		}
		if err := w.Put(texts, store.Record{Key: store.Key{"t", id}, Value: make([]byte, 512)}); err != nil {
			return err
		}
		return w.Put(texts, store.Record{Key: store.Key{"e", id}, Value: make([]byte, 100)})
	})
}

func (e *Engine) readParent(ctx context.Context, _ int64) error {
	return e.View(ctx, func(t store.Tx) error { _, err := t.Get(texts, store.Key{"parent"}); return err })
}

func rawGet(ctx context.Context, t pgx.Tx, e *Engine) error {
	var value []byte
	var until int64
	return t.QueryRow(ctx, e.sql.get, []byte(texts.Name), store.Key{"parent"}.Encode()).Scan(&value, &until)
}

func rawIssue(e *Engine, pool *pgxpool.Pool) func(context.Context, int64) error {
	return func(ctx context.Context, n int64) error {
		id := strconv.FormatInt(n%1000, 10)
		return pgx.BeginFunc(ctx, pool, func(t pgx.Tx) error {
			if err := rawGet(ctx, t, e); err != nil {
				return err
			}
			_, err := t.Exec(ctx, e.sql.put, []byte(texts.Name), store.Key{"t", id}.Encode(), make([]byte, 512), int64(0))
			if err != nil {
				return err
			}
			_, err = t.Exec(ctx, e.sql.put, []byte(texts.Name), store.Key{"e", id}.Encode(), make([]byte, 100), int64(0))
			return err
		})
	}
}

func rawRead(e *Engine, pool *pgxpool.Pool) func(context.Context, int64) error {
	how := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return func(ctx context.Context, _ int64) error {
		return pgx.BeginTxFunc(ctx, pool, how, func(t pgx.Tx) error { return rawGet(ctx, t, e) })
	}
}
