package pgstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

const (
	connLife   = time.Hour       // of a connection: a server that has moved is noticed, and memory of the server is freed
	connIdle   = 5 * time.Minute // without work
	reapPeriod = 30 * time.Second
	trustFor   = time.Second // for which a connection without work is believed to be still there
)

// pool keeps the connections of one engine. Its zero value is of no use: newPool.
type pool struct {
	*puddle.Pool[*session]
	check  time.Duration // bounds the question whether the server is there
	ending context.CancelFunc
	reaper sync.WaitGroup
}

// settings are what a connection is made with.
type settings struct {
	config   *pgconn.Config
	password func() (string, error) // nil: what stands in config
	shared   bool                   // others use the same sessions: nothing is left behind on them
}

func (s settings) connect(ctx context.Context) (*session, error) {
	config := s.config.Copy()
	if s.password != nil {
		word, err := s.password()
		if err != nil {
			return nil, fmt.Errorf("read password of database: %w", err)
		}
		config.Password = word
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	made := &session{PgConn: conn}
	if !s.shared {
		made.prepared = map[string]string{}
	}
	return made, nil
}

func newPool(s settings, most int) (*pool, error) {
	inner, err := puddle.NewPool(&puddle.Config[*session]{
		Constructor: s.connect,
		Destructor: func(s *session) {
			ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
			defer cancel()
			_ = s.Close(ctx)
		},
		MaxSize: int32(min(most, 1000)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &pool{Pool: inner, check: s.config.ConnectTimeout, ending: cancel}
	p.reaper.Go(func() { p.reap(ctx) })
	return p, nil
}

// take returns a connection that is there, as far as one can know.
func (p *pool) take(ctx context.Context) (*puddle.Resource[*session], error) {
	for {
		r, err := p.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if !old(r) && (r.IdleDuration() < trustFor || p.answers(ctx, r.Value())) {
			return r, nil
		}
		r.Destroy()
	}
}

func (p *pool) answers(ctx context.Context, s *session) bool {
	ctx, cancel := context.WithTimeout(ctx, p.check)
	defer cancel()
	return s.Ping(ctx) == nil
}

// old reports whether a connection has lived for long enough. They do not all end at once.
func old(r *puddle.Resource[*session]) bool {
	return time.Since(r.CreationTime()) > connLife+rand.N(connLife/10) //nolint:gosec // no secret
}

// give takes a connection back, or closes one that cannot be used again.
func (p *pool) give(r *puddle.Resource[*session]) {
	if s := r.Value(); s.stale || s.IsClosed() || s.IsBusy() || s.TxStatus() != 'I' {
		r.Destroy()
		return
	}
	r.Release()
}

// reap closes connections that nobody needs.
func (p *pool) reap(ctx context.Context) {
	tick := time.NewTicker(reapPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, r := range p.AcquireAllIdle() {
			if r.IdleDuration() > connIdle || old(r) {
				r.Destroy()
			} else {
				r.ReleaseUnused()
			}
		}
	}
}

// close waits for the connections in use.
func (p *pool) close() {
	p.ending()
	p.reaper.Wait()
	p.Close()
}
