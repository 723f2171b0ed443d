package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// slow is the provider that is waited for.
const slow = 300 * time.Millisecond

// serving measures a server that runs.
func (p plan) serving(ctx context.Context, op *provider) error {
	s, err := p.setUp("serving", op)
	if err != nil {
		return err
	}
	empty := s.seeds(0).size()
	free, err := s.seeds(0).sow(ctx, p.tokens/2)
	if err != nil {
		return fmt.Errorf("make mytokens: %w", err)
	}
	limited, err := s.seeds(1<<40).sow(ctx, p.tokens-p.tokens/2)
	if err != nil {
		return fmt.Errorf("make mytokens: %w", err)
	}
	sown := s.seeds(0).size()
	report("%d mytokens, each of a login of its own: %d bytes of the file each", p.tokens, (sown-empty)/int64(p.tokens))
	if _, _, err := s.start(ctx); err != nil {
		return err
	}
	defer s.stop()
	w := work{s, free, limited}
	for _, stage := range p.stages(w) {
		if err := stage(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, s.out.String())
		}
	}
	grown := s.seeds(0).size()
	report("bytes of the file for each of %d uses: %d (an event each; the oldest go when there are 1000 of a mytoken, and after 30 days)",
		op.calls.Load(), (grown-sown)/max(op.calls.Load(), 1))
	return nil
}

// stages are those that were asked for.
func (p plan) stages(w work) (list []func(context.Context) error) {
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{{"access", w.access}, {"introspect", w.introspect}, {"beside", w.beside}, {"logins", w.logins}} {
		if p.wants(s.name) {
			list = append(list, s.do)
		}
	}
	return list
}

type work struct {
	*server
	free, limited []string
}

func (w work) access(ctx context.Context) error {
	for _, kind := range []struct {
		name   string
		tokens []string
	}{{"no limit", w.free}, {"usages_AT", w.limited}} {
		for _, clients := range []int{1, 8, 32, 128} {
			l := load{address: w.address, clients: clients, requests: w.accesses(kind.tokens), want: []byte(`"access_token"`)}
			before, calls := w.cpu(), w.op.calls.Load()
			r, err := w.median(ctx, l)
			if err != nil {
				return fmt.Errorf("access tokens: %w", err)
			}
			each := (w.cpu() - before).Microseconds() / max(w.op.calls.Load()-calls, 1)
			report("access tokens, %-9s %3d clients       %s, %d µs of the server's processors each", kind.name, clients, r, each)
		}
	}
	return nil
}

func (w work) introspect(ctx context.Context) error {
	// The first look of each from an address is written into its history.
	first := load{address: w.address, clients: 32, requests: w.introspections(w.free), want: []byte(`"valid":true`), length: w.round}
	if _, err := first.run(ctx); err != nil {
		return fmt.Errorf("introspections: %w", err)
	}
	for _, clients := range []int{1, 8, 32, 128} {
		l := first
		l.clients = clients
		r, err := w.median(ctx, l)
		if err != nil {
			return fmt.Errorf("introspections: %w", err)
		}
		report("introspections, %3d clients               %s", clients, r)
	}
	return nil
}

// beside measures introspections alone and while a provider is waited for, in turn.
func (w work) beside(ctx context.Context) error {
	l := load{address: w.address, clients: 32, requests: w.introspections(w.free), want: []byte(`"valid":true`), length: w.round}
	var ratios []float64
	var alone, beside result
	for range w.rounds {
		var err error
		if alone, err = l.run(ctx); err != nil {
			return err
		}
		if beside, err = w.whileWaiting(ctx, l); err != nil {
			return err
		}
		ratios = append(ratios, alone.rate/beside.rate)
	}
	slices.Sort(ratios)
	report("introspections alone, 32 clients          %s", alone)
	report("  while 64 wait for a provider of 300 ms  %s: slower by %.2f ×", beside, ratios[len(ratios)/2])
	return nil
}

func (w work) whileWaiting(ctx context.Context, l load) (result, error) {
	w.op.delay.Store(int64(slow))
	defer w.op.delay.Store(0)
	waiting := load{
		address: w.address, clients: 64, requests: w.accesses(w.free[:64]), want: []byte(`"access_token"`), length: l.length + slow,
	}
	done := make(chan error, 1)
	go func() { _, err := waiting.run(ctx); done <- err }()
	time.Sleep(slow / 2)
	r, err := l.run(ctx)
	if other := <-done; err == nil {
		err = other
	}
	return r, err
}

// logins measures 64 logins at once at a provider that takes its time.
func (w work) logins(ctx context.Context) error {
	w.op.delay.Store(int64(slow))
	defer w.op.delay.Store(0)
	l := load{address: w.address, clients: 64, requests: w.accesses(w.free[:64]), want: []byte(`"access_token"`)}
	r, err := w.median(ctx, l)
	if err != nil {
		return err
	}
	report("64 logins at a provider of 300 ms         %s (213/s is what 300 ms allow)", r)
	return nil
}

// starting measures the start with many mytokens.
func (p plan) starting(ctx context.Context, op *provider) error {
	s, err := p.setUp("starting", op)
	if err != nil {
		return err
	}
	begin := time.Now()
	tokens, err := s.seeds(0).sow(ctx, p.many)
	if err != nil {
		return fmt.Errorf("make mytokens: %w", err)
	}
	report("%d mytokens were made in %.0f s; %d MB", p.many, time.Since(begin).Seconds(), s.seeds(0).size()>>20)
	var listening, ready []time.Duration
	for range max(p.rounds, 3) {
		a, b, err := s.start(ctx)
		if err != nil {
			return err
		}
		listening, ready = append(listening, a), append(ready, b)
		l := load{address: s.address, clients: 1, requests: s.accesses(tokens[:10]), want: []byte(`"access_token"`), length: time.Millisecond}
		if _, err := l.run(ctx); err != nil {
			s.stop()
			return err
		}
		s.stop()
	}
	slices.Sort(listening)
	slices.Sort(ready)
	report("start with %d mytokens: answers after %.0f ms, with its provider found after %.0f ms", p.many,
		ms(listening[len(listening)/2]), ms(ready[len(ready)/2]))
	return nil
}
