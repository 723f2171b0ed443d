package provider

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		now := func() uint64 { return w.keys.Generation(keysIssuer) }
		if g := now(); g != 0 || w.count(jwksURL) != 0 {
			t.Fatalf("generation %d before anything was fetched, %d fetches", g, w.count(jwksURL))
		}
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		first := now()
		if first == 0 || now() != first {
			t.Fatalf("generation %d, then %d", first, now())
		}

		time.Sleep(MaxRefresh) // it starts the refresh that nobody else asks for
		if g := now(); g != first {
			t.Errorf("generation %d while the old keys serve, was %d", g, first)
		}
		synctest.Wait()
		if g := now(); g != first || w.count(jwksURL) != 2 {
			t.Errorf("the same keys again: generation %d, was %d; %d fetches", g, first, w.count(jwksURL))
		}

		w.publish(t, "k2")
		time.Sleep(MaxRefresh)
		now()
		synctest.Wait()
		if g := now(); g == first || g == 0 {
			t.Errorf("other keys: generation %d, was %d", g, first)
		}
	})
}

func TestGenerationEndsWithTheKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		before := w.keys.Generation(keysIssuer)
		w.setFail(errors.New("down"))
		time.Sleep(DefaultExpiry - time.Second)
		if g := w.keys.Generation(keysIssuer); g != before {
			t.Errorf("generation %d a second before the keys expire, was %d", g, before)
		}
		time.Sleep(time.Second)
		if g := w.keys.Generation(keysIssuer); g != 0 {
			t.Errorf("generation %d when the keys have expired", g)
		}
	})
}
