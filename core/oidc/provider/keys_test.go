package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// keysWorld is a cache in a bubble of synthetic time.
type keysWorld struct {
	*web
	keys *Keys
	log  bytes.Buffer // of the caches that another makes; to be read when they are at rest
}

const keysIssuer, jwksURL = "https://op.example", "https://op.example/jwks"

func inBubble(t *testing.T, fn func(t *testing.T, w *keysWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &keysWorld{web: (&web{}).page(keysIssuer+oidc, document(keysIssuer))}
		w.publish(t, "k1")
		w.keys = NewKeys(w.web, KeysOptions{})
		defer w.keys.Close()
		fn(t, w)
	})
}

func (w *keysWorld) publish(t *testing.T, ids ...string) {
	t.Helper()
	var list []*jose.PublicKey
	for _, id := range ids {
		k, err := jose.GenerateKey(jose.ES256, id)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k.Public())
	}
	b, err := jose.NewKeySet(list...).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.page(jwksURL, string(b))
}

func (w *keysWorld) ask(t *testing.T, kid string) error {
	t.Helper()
	list, err := w.keys.Candidates(t.Context(), keysIssuer, jose.Header{Alg: jose.ES256, KeyID: kid, HasKeyID: true})
	if err == nil && (len(list) != 1 || list[0].ID() != kid) {
		t.Errorf("wrong keys for %s: %v", kid, list)
	}
	return err
}

func TestKeysAnswerFromMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		for range 100 {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.count(jwksURL); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestKeysOneFetchForAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.delay = time.Second
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if err := w.ask(t, "k1"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := w.count(jwksURL); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// TestKeysCrowd: an issuer that takes its time, and strangers who know that, do not get hold of every connection of a
// daemon. Tokens with a known kid do not wait at all.
func TestKeysCrowd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		crowd := func(kid string, want int) {
			t.Helper()
			var all sync.WaitGroup
			begin := time.Now()
			var waited, sent atomic.Int32
			for range 2000 {
				all.Go(func() {
					var no *UnavailableError
					err := w.ask(t, kid)
					switch {
					case time.Since(begin) > 0:
						waited.Add(1)
					case errors.As(err, &no) && errors.Is(err, ErrCrowd) && no.RetryAfter > 0:
						sent.Add(1)
					default:
						t.Errorf("at once: %v", err)
					}
				})
			}
			time.Sleep(time.Millisecond)
			if kid != "k1" {
				if err := w.ask(t, "k1"); err != nil || time.Since(begin) > time.Millisecond {
					t.Errorf("a known kid meanwhile: %v after %v", err, time.Since(begin))
				}
			}
			all.Wait()
			if int(waited.Load()) != want || int(sent.Load()) != 2000-want {
				t.Errorf("%s: %d waited, %d were sent away", kid, waited.Load(), sent.Load())
			}
		}
		w.delay = 5 * time.Second
		crowd("k1", maxWaiting)
		crowd("invented", maxStrangers)
		if n := w.keys.entryOf(t).waiting.Load(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func (k *Keys) entryOf(t *testing.T) *entry {
	t.Helper()
	e, err := k.entry(keysIssuer)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestKeysUnknownKid(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		w.publish(t, "k1", "k2")
		if err := w.ask(t, "k2"); err != nil { // rotated: found by one forced fetch
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := w.ask(t, fmt.Sprintf("invented-%d", i)); !errors.Is(err, ErrUnknownKey) {
				t.Fatal(err)
			}
		}
		if n := w.count(jwksURL); n != 2 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(ForcedEvery)
		for i := range 1000 {
			if err := w.ask(t, fmt.Sprintf("invented-%d", i)); !errors.Is(err, ErrUnknownKey) {
				t.Fatal(err)
			}
		}
		if n := w.count(jwksURL); n != 3 {
			t.Errorf("%d fetches a minute later", n)
		}
	})
}

func TestKeysUnknownKidManyAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		w.publish(t, "k2")
		w.delay = time.Second
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := w.ask(t, "k2"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := w.count(jwksURL); n != 2 {
			t.Errorf("%d fetches", n)
		}
		if err := w.ask(t, "k1"); !errors.Is(err, ErrUnknownKey) { // gone from the set: revoked
			t.Error(err)
		}
	})
}

func TestKeysKnownKidThatDoesNotFitCausesNoFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		_, err := w.keys.Candidates(t.Context(), keysIssuer, jose.Header{Alg: jose.RS256, KeyID: "k1", HasKeyID: true})
		_, err2 := w.keys.Candidates(t.Context(), keysIssuer, jose.Header{Alg: jose.RS256})
		if !errors.Is(err, ErrUnknownKey) || !errors.Is(err2, ErrUnknownKey) || w.count(jwksURL) != 1 {
			t.Errorf("%v, %v, %d fetches", err, err2, w.count(jwksURL))
		}
	})
}

func TestKeysRefreshInBackground(t *testing.T) {
	for _, c := range []struct {
		name, header string
		after        time.Duration
	}{
		{"without_header", "", MinRefresh},
		{"too_short", "max-age=5", MinRefresh},
		{"two_hours", "public, max-age=7200", 2 * time.Hour},
		{"too_long", "max-age=99999999", MaxRefresh},
		{"no_store", "no-store, max-age=7200", MinRefresh},
		{"not_a_number", "max-age=x", MinRefresh},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *keysWorld) {
				w.pages[jwksURL].Header.Set("Cache-Control", c.header)
				if err := w.ask(t, "k1"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.after - time.Second)
				if err := w.ask(t, "k1"); err != nil || w.count(jwksURL) != 1 {
					t.Fatalf("%v, %d fetches before the time", err, w.count(jwksURL))
				}
				time.Sleep(time.Second)
				w.mu.Lock()
				w.delay = 3 * time.Second
				w.mu.Unlock()
				begin := time.Now()
				if err := w.ask(t, "k1"); err != nil || time.Since(begin) > 0 {
					t.Fatalf("%v after %v", err, time.Since(begin))
				}
				time.Sleep(10 * time.Second)
				if n := w.count(jwksURL); n != 2 {
					t.Errorf("%d fetches", n)
				}
			})
		})
	}
}

func TestKeysOldSetWhileIssuerIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		w.setFail(errors.New("down"))
		for end := time.Now().Add(DefaultExpiry - time.Minute); time.Now().Before(end); time.Sleep(time.Minute) {
			if err := w.ask(t, "k1"); err != nil {
				t.Fatalf("%v: %v before the end", err, time.Until(end))
			}
		}
		if n := w.count(keysIssuer + oidc); n > 1+int(DefaultExpiry/MaxRetry)+5 {
			t.Errorf("%d attempts in two days", n)
		}
		time.Sleep(2 * time.Minute)
		if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after two days: %v", err)
		}
		w.setFail(nil)
		time.Sleep(MaxRetry)
		if err := w.ask(t, "k1"); err != nil {
			t.Errorf("issuer is back: %v", err)
		}
	})
}

func TestKeysFailureIsRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.setFail(errors.New("down"))
		attempts := func() int { return w.count(keysIssuer + oidc) }
		for range 100 {
			var u *UnavailableError
			if err := w.ask(t, "k1"); !errors.As(err, &u) || u.RetryAfter <= 0 || u.RetryAfter > MinRetry {
				t.Fatalf("%v", err)
			}
		}
		if attempts() != 1 {
			t.Fatalf("%d attempts", attempts())
		}
		want := 1
		for _, pause := range []time.Duration{MinRetry, 2 * MinRetry, 4 * MinRetry, 8 * MinRetry, MaxRetry, MaxRetry} {
			time.Sleep(pause - time.Second)
			_ = w.ask(t, "k1")
			if attempts() != want {
				t.Fatalf("%d attempts before %v had passed", attempts(), pause)
			}
			time.Sleep(time.Second)
			_ = w.ask(t, "k1")
			if want++; attempts() != want {
				t.Fatalf("%d attempts after %v, want %d", attempts(), pause, want)
			}
		}
	})
}

func TestKeysUnavailable(t *testing.T) {
	for _, c := range []struct{ name, document, jwks string }{
		{"document_of_another_issuer", document("https://other.example"), `{"keys":[]}`},
		{"no_jwks_uri", `{"issuer":"https://op.example"}`, `{"keys":[]}`},
		{"keys_are_no_set", document(keysIssuer), `[]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *keysWorld) {
				w.page(keysIssuer+oidc, c.document).page(jwksURL, c.jwks)
				if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			})
		})
	}
}

func TestKeysCallerGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.delay = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.keys.Candidates(ctx, keysIssuer, jose.Header{Alg: jose.ES256})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := w.ask(t, "k1"); err != nil || w.count(jwksURL) != 1 { // the fetch went on for the others
			t.Errorf("%v, %d fetches", err, w.count(jwksURL))
		}
	})
}

func TestKeysClose(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.delay = time.Hour // fetchTimeout would end it; Close does so at once
		var asked sync.WaitGroup
		asked.Go(func() {
			if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
		synctest.Wait()
		begin := time.Now()
		w.keys.Close()
		asked.Wait()
		if d := time.Since(begin); d > 0 {
			t.Errorf("took %v", d)
		}
		time.Sleep(MaxRetry)
		if err := w.ask(t, "k1"); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// TestKeysUnknownKidAtFirst: the fetch that the first token has caused tells of all keys there are.
func TestKeysUnknownKidAtFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		clock := time.Now()
		k := NewKeys(w.web, KeysOptions{Now: func() time.Time { clock = clock.Add(time.Microsecond); return clock }})
		defer k.Close()
		h := jose.Header{Alg: jose.ES256, KeyID: "invented", HasKeyID: true}
		if _, err := k.Candidates(t.Context(), keysIssuer, h); !errors.Is(err, ErrUnknownKey) || w.count(jwksURL) != 1 {
			t.Errorf("%v, %d fetches", err, w.count(jwksURL))
		}
		w.publish(t, "invented")
		if _, err := k.Candidates(t.Context(), keysIssuer, h); err != nil || w.count(jwksURL) != 2 {
			t.Errorf("the next one: %v, %d fetches", err, w.count(jwksURL))
		}
	})
}

func BenchmarkKeys(b *testing.B) {
	w := (&web{}).page(keysIssuer+oidc, document(keysIssuer))
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		b.Fatal(err)
	}
	set, err := jose.NewKeySet(key.Public()).MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	w.page(jwksURL, string(set))
	k := NewKeys(w, KeysOptions{})
	defer k.Close()
	if _, err := k.Set(b.Context(), keysIssuer); err != nil {
		b.Fatal(err)
	}
	b.Run("set", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := k.Set(b.Context(), keysIssuer); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("generation", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if k.Generation(keysIssuer) == 0 {
					b.Error("no generation")
				}
			}
		})
	})
}
