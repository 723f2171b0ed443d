package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

func (w *keysWorld) trust(lifetimes ...Lifetimes) {
	t := Trusted{Issuer: keysIssuer}
	if len(lifetimes) > 0 {
		t.Lifetimes = lifetimes[0]
	}
	w.keys.Trust([]Trusted{t})
}

func (w *keysWorld) slow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

func TestTrust(t *testing.T) {
	t.Run("nobody_else_is_asked", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.keys.Trust([]Trusted{{Issuer: "https://other.example"}})
			if err := w.ask(t, "k1"); !errors.Is(err, ErrNotKept) || len(w.asked) > 0 {
				t.Errorf("%v after %v", err, w.asked)
			}
			if g := w.keys.Generation(keysIssuer); g != 0 {
				t.Errorf("generation %d", g)
			}
			for name, do := range map[string]func(context.Context, string) error{
				"refresh": w.keys.Refresh, "drop": w.keys.Drop,
			} {
				if err := do(t.Context(), keysIssuer); !errors.Is(err, ErrNotKept) || len(w.asked) > 0 {
					t.Errorf("%s: %v after %v", name, err, w.asked)
				}
			}
		})
	})
	t.Run("again_keeps_the_keys", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.trust()
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			before := w.keys.Generation(keysIssuer)
			w.trust(Lifetimes{time.Minute, 2 * time.Minute, time.Hour})
			if g := w.keys.Generation(keysIssuer); g != before || w.count(jwksURL) != 1 {
				t.Errorf("generation %d, was %d; %d fetches", g, before, w.count(jwksURL))
			}
			if s := w.keys.Status()[0]; time.Until(s.NextTry) != time.Minute || time.Until(s.Expires) != time.Hour {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("taken_away_and_given_back_is_another_generation", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.trust()
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			before := w.keys.Generation(keysIssuer)
			w.keys.Trust(nil)
			if err := w.ask(t, "k1"); !errors.Is(err, ErrNotKept) || len(w.keys.Status()) > 0 {
				t.Errorf("%v, %v", err, w.keys.Status())
			}
			w.trust()
			if err := w.ask(t, "k1"); err != nil || w.keys.Generation(keysIssuer) == before {
				t.Errorf("%v, generation %d again", err, before)
			}
		})
	})
	t.Run("takes_keys_from_the_directory", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			p := w.another(t, path)
			p.trust()
			s := p.keys.Status()[0]
			if s.Keys != 1 || !s.FromDisk || s.Generation == 0 || w.count(jwksURL) != 1 {
				t.Errorf("%+v, %d fetches", s, w.count(jwksURL))
			}
		})
	})
}

func TestStatus(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.trust()
		s := w.keys.Status()[0]
		if s.Issuer != keysIssuer || s.Keys != 0 || s.Generation != 0 || s.Err != nil || !s.Fetched.IsZero() {
			t.Errorf("before anything was fetched: %+v", s)
		}
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		s = w.keys.Status()[0]
		if s.Keys != 1 || len(s.KeyIDs) != 1 || s.KeyIDs[0] != "k1" || !s.Fetched.Equal(begin) || s.FromDisk ||
			!s.NextTry.Equal(begin.Add(MinRefresh)) || !s.Expires.Equal(begin.Add(DefaultExpiry)) {
			t.Errorf("fresh: %+v", s)
		}
		w.setFail(errors.New("no route to host"))
		time.Sleep(MinRefresh)
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s = w.keys.Status()[0]
		if s.Keys != 1 || s.Failures != 1 || s.Err == nil || !strings.Contains(s.Err.Error(), "no route") ||
			!s.ErrAt.Equal(time.Now()) || time.Until(s.NextTry) != MinRetry || !s.Fetched.Equal(begin) {
			t.Errorf("while it is down: %+v", s)
		}
		time.Sleep(DefaultExpiry)
		if s = w.keys.Status()[0]; s.Keys != 0 || s.Generation != 0 || !s.Expires.Before(time.Now()) {
			t.Errorf("expired: %+v", s)
		}
	})
}

func TestStatusIsInOrder(t *testing.T) {
	keys := NewKeys(&web{}, KeysOptions{})
	keys.Trust([]Trusted{{Issuer: "https://c"}, {Issuer: "https://a"}, {Issuer: "https://b"}})
	var list []string
	for _, s := range keys.Status() {
		list = append(list, s.Issuer)
	}
	if got := strings.Join(list, " "); got != "https://a https://b https://c" {
		t.Error(got)
	}
}

func TestRefresh(t *testing.T) {
	t.Run("fetches_whatever_the_age", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			w.publish(t, "k2")
			if err := w.keys.Refresh(t.Context(), keysIssuer); err != nil {
				t.Fatal(err)
			}
			if err := w.ask(t, "k2"); err != nil || w.count(jwksURL) != 2 {
				t.Errorf("%v, %d fetches", err, w.count(jwksURL))
			}
		})
	})
	t.Run("does_not_wait_after_a_failure", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.setFail(errors.New("down"))
			if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			w.setFail(nil)
			if err := errors.Join(w.keys.Refresh(t.Context(), keysIssuer), w.ask(t, "k1")); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("failure_keeps_the_old_keys", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			before := w.keys.Generation(keysIssuer)
			w.setFail(errors.New("down"))
			if err := w.keys.Refresh(t.Context(), keysIssuer); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
			if err := w.ask(t, "k1"); err != nil || w.keys.Generation(keysIssuer) != before {
				t.Errorf("%v, generation %d, was %d", err, w.keys.Generation(keysIssuer), before)
			}
		})
	})
	t.Run("does_not_take_the_directory_for_the_issuer", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			w.publish(t, "k2")
			p := w.another(t, path)
			if err := errors.Join(p.keys.Refresh(t.Context(), keysIssuer), p.ask(t, "k2")); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("does_not_heed_the_failure_of_another_process", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			path := keysDir(t)
			w.setFail(errors.New("down"))
			if err := w.another(t, path).ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			w.setFail(nil)
			if err := w.another(t, path).keys.Refresh(t.Context(), keysIssuer); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("does_not_take_an_earlier_fetch_for_its_own", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.slow(5 * time.Second)
			var asked sync.WaitGroup
			asked.Go(func() { _ = w.ask(t, "k1") })
			time.Sleep(7 * time.Second) // its key set, the old one, is on the way
			w.publish(t, "k2")
			err := w.keys.Refresh(t.Context(), keysIssuer)
			if s := w.keys.Status()[0]; err != nil || len(s.KeyIDs) != 1 || s.KeyIDs[0] != "k2" {
				t.Errorf("%v, keys %v", err, s.KeyIDs)
			}
			asked.Wait()
		})
	})
	t.Run("many_at_once_are_one", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.slow(time.Second)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if err := w.keys.Refresh(t.Context(), keysIssuer); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := w.count(jwksURL); n != 1 {
				t.Errorf("%d fetches", n)
			}
		})
	})
}

func TestDrop(t *testing.T) {
	t.Run("refetches_at_once_and_moves_the_generation", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			before := w.keys.Generation(keysIssuer)
			if err := w.keys.Drop(t.Context(), keysIssuer); err != nil {
				t.Fatal(err)
			}
			if g := w.keys.Generation(keysIssuer); g == before || g == 0 || w.count(jwksURL) != 2 { // though the set is the same
				t.Errorf("generation %d, was %d; %d fetches", g, before, w.count(jwksURL))
			}
		})
	})
	t.Run("nothing_is_believed_while_the_issuer_is_down", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			w.setFail(errors.New("down"))
			if err := w.keys.Drop(t.Context(), keysIssuer); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) || w.keys.Generation(keysIssuer) != 0 {
				t.Errorf("%v, generation %d", err, w.keys.Generation(keysIssuer))
			}
			w.setFail(nil)
			time.Sleep(MaxRetry)
			if err := w.ask(t, "k1"); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a_fetch_under_way_counts_for_nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			old := w.pages[jwksURL]
			answer := make(chan struct{})
			gate := &gated{Getter: w.web, answer: answer, first: old}
			w.keys = NewKeys(gate, KeysOptions{})
			defer w.keys.Close()
			var asked sync.WaitGroup
			asked.Go(func() { // it waits for the fetch, and then for the one that takes its place
				if err := w.ask(t, "k1"); !errors.Is(err, ErrUnknownKey) {
					t.Errorf("by the stolen key: %v", err)
				}
			})
			synctest.Wait() // the issuer has sent the old set, and it has not arrived yet
			w.publish(t, "k2")
			if err := w.keys.Drop(t.Context(), keysIssuer); err != nil {
				t.Fatal(err)
			}
			after := w.keys.Generation(keysIssuer)
			close(answer)
			asked.Wait()
			synctest.Wait()
			if err := w.ask(t, "k2"); err != nil || w.keys.Generation(keysIssuer) != after {
				t.Errorf("%v, generation %d, was %d", err, w.keys.Generation(keysIssuer), after)
			}
		})
	})
}

// gated is an issuer whose first key set is long on its way.
type gated struct {
	Getter
	mu     sync.Mutex
	answer chan struct{}
	first  *httpc.Response
}

func (g *gated) Get(ctx context.Context, url string) (*httpc.Response, error) {
	g.mu.Lock()
	first := g.first
	if url == jwksURL {
		g.first = nil
	}
	g.mu.Unlock()
	if url == jwksURL && first != nil {
		<-g.answer
		return &httpc.Response{Status: http.StatusOK, Header: http.Header{}, Body: first.Body}, nil
	}
	return g.Getter.Get(ctx, url)
}

// running runs fn beside Run.
func (w *keysWorld) running(t *testing.T, fn func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.keys.Run(ctx) })
	fn()
	cancel()
	run.Wait()
}

func TestRun(t *testing.T) {
	t.Run("fetches_before_anybody_asks", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.trust()
			w.running(t, func() {
				synctest.Wait()
				if s := w.keys.Status()[0]; s.Keys != 1 || w.count(jwksURL) != 1 {
					t.Errorf("%+v, %d fetches", s, w.count(jwksURL))
				}
			})
		})
	})
	t.Run("refreshes_though_nobody_asks", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.trust()
			w.running(t, func() {
				time.Sleep(10*MinRefresh + time.Minute)
				if s := w.keys.Status()[0]; s.Keys != 1 || time.Since(s.Fetched) > 2*time.Minute || w.count(jwksURL) != 11 {
					t.Errorf("%+v, %d fetches", s, w.count(jwksURL))
				}
			})
		})
	})
	t.Run("goes_on_trying_with_pauses", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.trust()
			w.setFail(errors.New("down"))
			w.running(t, func() {
				time.Sleep(time.Hour)
				if n := w.count(keysIssuer + oidc); n < 10 || n > 16 { // 0.5 1 2 4 5 5 ... minutes
					t.Errorf("%d attempts in an hour", n)
				}
				w.setFail(nil)
				time.Sleep(MaxRetry)
				synctest.Wait()
				if s := w.keys.Status()[0]; s.Keys != 1 || s.Err != nil {
					t.Errorf("the issuer is back: %+v", s)
				}
			})
		})
	})
	t.Run("takes_up_new_issuers", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.keys.Trust(nil)
			w.running(t, func() {
				synctest.Wait()
				w.trust()
				time.Sleep(time.Second)
				if s := w.keys.Status()[0]; s.Keys != 1 {
					t.Errorf("%+v", s)
				}
			})
		})
	})
	t.Run("asks_a_few_issuers_at_a_time", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.slow(time.Second)
			w.setFail(errors.New("down"))
			list := make([]Trusted, 5*atOnce)
			for i := range list {
				list[i].Issuer = fmt.Sprint("https://op.example/", i)
			}
			w.keys.Trust(list)
			w.running(t, func() {
				for round := range 5 {
					time.Sleep(time.Second - time.Millisecond)
					w.mu.Lock()
					if n := len(w.asked); n != (round+1)*atOnce {
						t.Errorf("%d requests in %d seconds", n, round+1)
					}
					w.mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		})
	})
	t.Run("one_issuer_that_is_down_harms_no_other", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.keys.Trust([]Trusted{{Issuer: "https://down.example"}, {Issuer: keysIssuer}})
			w.running(t, func() {
				time.Sleep(MinRefresh + time.Minute)
				for _, s := range w.keys.Status() {
					if up := s.Issuer == keysIssuer; (s.Keys == 1) != up || (s.Err == nil) != up {
						t.Errorf("%+v", s)
					}
				}
			})
		})
	})
}

func TestKeysMemoryIsReadWithoutALock(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		e, err := w.keys.entry(keysIssuer)
		if err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		w.keys.mu.Lock()
		defer w.keys.mu.Unlock()
		defer e.mu.Unlock()
		if err := w.ask(t, "k1"); err != nil || w.keys.Generation(keysIssuer) == 0 {
			t.Errorf("%v", err)
		}
	})
}
