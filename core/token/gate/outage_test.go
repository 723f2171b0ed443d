package gate_test

import (
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/gate"
)

// anyone is a policy that every accepted token satisfies.
const anyone = "ANYONE"

// TestOutage is a provider that is really not there: nobody listens on its port.
func TestOutage(t *testing.T) {
	const long = 30 * 24 * time.Hour
	want := func(t *testing.T, s *site, what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
	}
	t.Run("before_the_first_token", func(t *testing.T) {
		s := newSite(t, gate.Offline, anyone)
		token := s.token(t, long, true, nil)
		s.down()
		want(t, s, "no keys at all", s.ask(t, token), http.StatusServiceUnavailable)
		s.up(t)
		want(t, s, "within the pause", s.ask(t, token), http.StatusServiceUnavailable)
		s.pass(provider.MinRetry)
		want(t, s, "it is back", s.ask(t, token), http.StatusOK)
	})
	t.Run("then_it_comes_back", func(t *testing.T) {
		s := newSite(t, gate.Offline, anyone)
		token := s.token(t, long, true, nil)
		want(t, s, "at first", s.ask(t, token), http.StatusOK)
		s.down()
		s.pass(provider.DefaultExpiry)
		want(t, s, "keys have expired", s.ask(t, token), http.StatusServiceUnavailable)
		s.up(t)
		s.pass(provider.MaxRetry)
		want(t, s, "it is back", s.ask(t, token), http.StatusOK)
	})
	t.Run("a_new_key_while_it_is_down_is_not_the_bearers_fault", func(t *testing.T) {
		s := newSite(t, gate.Offline, anyone)
		want(t, s, "at first", s.ask(t, s.token(t, long, true, nil)), http.StatusOK)
		k2 := newKey(t, "k2")
		s.change(func() { s.op.keys[0] = k2 })
		token := s.token(t, long, true, nil)
		s.down()
		for range 3 {
			want(t, s, "nobody knows this key", s.ask(t, token), http.StatusServiceUnavailable)
		}
		s.up(t)
		s.pass(provider.ForcedEvery)
		want(t, s, "it is back", s.ask(t, token), http.StatusOK)
	})
	t.Run("a_forged_token_is_refused_all_the_same", func(t *testing.T) {
		s := newSite(t, gate.Offline, anyone)
		want(t, s, "at first", s.ask(t, s.token(t, long, true, nil)), http.StatusOK)
		real := s.op.keys[0]
		impostor := newKey(t, "k1")
		s.change(func() { s.op.keys[0] = impostor })
		token := s.token(t, long, true, nil)
		s.change(func() { s.op.keys[0] = real })
		s.down()
		want(t, s, "by another key of that name", s.ask(t, token), http.StatusUnauthorized)
	})
	t.Run("restart_with_a_directory", func(t *testing.T) {
		s := newSite(t, gate.Offline, anyone)
		path := filepath.Join(t.TempDir(), "keys")
		open := func() *provider.Dir {
			dir, err := provider.OpenDir(path, s.time)
			if err != nil {
				t.Fatal(err)
			}
			return dir
		}
		s.start(t, gate.Offline, anyone, open())
		token := s.token(t, long, true, nil)
		want(t, s, "at first", s.ask(t, token), http.StatusOK)
		s.down()
		s.pass(provider.DefaultExpiry - time.Second)
		s.start(t, gate.Offline, anyone, open())
		want(t, s, "started while it is down", s.ask(t, token), http.StatusOK)
		s.pass(time.Second)
		want(t, s, "two days after the fetch", s.ask(t, token), http.StatusServiceUnavailable)
		s.start(t, gate.Offline, anyone, open())
		want(t, s, "started then", s.ask(t, token), http.StatusServiceUnavailable)
	})
}

// TestOutageThatHangs is a provider that takes connections and never answers: callers wait no longer than they want to,
// and a refresh delays nobody.
func TestOutageThatHangs(t *testing.T) {
	s := newSite(t, gate.Offline, anyone)
	token := s.token(t, 30*24*time.Hour, true, nil)
	if got := s.ask(t, token); got != http.StatusOK {
		t.Fatal(got)
	}
	s.down()
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	var accepted sync.WaitGroup
	conns := make(chan net.Conn, 64)
	accepted.Go(func() {
		defer close(conns)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	})
	s.pass(provider.MaxRefresh) // a refresh is due, and hangs
	for range 100 {
		if got := s.ask(t, token); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	first := <-conns // it has come, and gets no answer
	defer first.Close()
	s.keys.Close() // ends what hangs
	_ = ln.Close()
	accepted.Wait()
	n := 1
	for c := range conns {
		_ = c.Close()
		n++
	}
	if n != 1 {
		t.Errorf("%d connections for one refresh", n)
	}
}
