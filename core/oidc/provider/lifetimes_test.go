package provider

import (
	"errors"
	"testing"
	"time"
)

func TestLifetimesOf(t *testing.T) {
	for _, c := range []struct {
		name string
		want Lifetimes
	}{
		{"", Lifetimes{time.Hour, 6 * time.Hour, 48 * time.Hour}},
		{WLCG13, Lifetimes{time.Hour, 6 * time.Hour, 48 * time.Hour}},
		{WLCG10, Lifetimes{time.Hour, 3 * time.Hour, 6 * time.Hour}},
	} {
		t.Run("table_"+c.name, func(t *testing.T) {
			got, err := LifetimesOf(c.name)
			if err != nil || got != c.want || got.Check() != nil {
				t.Errorf("%+v, %v, %v", got, err, got.Check())
			}
		})
	}
	if _, err := LifetimesOf("wlcg-2.0"); !errors.Is(err, ErrLifetimes) {
		t.Error(err)
	}
}

func TestLifetimesCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Lifetimes
		ok   bool
	}{
		{"nothing_set", Lifetimes{}, true},
		{"refresh_every_minute", Lifetimes{time.Minute, time.Minute, time.Hour}, true},
		{"refresh_every_second", Lifetimes{time.Second, time.Minute, time.Hour}, false},
		{"negative", Lifetimes{Expiry: -time.Hour}, false},
		{"shortest_above_longest", Lifetimes{2 * time.Hour, time.Hour, 48 * time.Hour}, false},
		{"expire_before_refresh", Lifetimes{time.Hour, 6 * time.Hour, 6 * time.Hour}, false},
		{"four_days", Lifetimes{Expiry: MaxExpiry}, true},
		{"longer_than_four_days", Lifetimes{Expiry: MaxExpiry + time.Second}, false},
		{"only_a_short_longest_refresh", Lifetimes{MaxRefresh: 10 * time.Minute}, true},
		{"only_a_short_expiry", Lifetimes{Expiry: 4 * time.Hour}, true},
		{"only_a_long_shortest_refresh", Lifetimes{MinRefresh: 12 * time.Hour}, true},
		{"expiry_shorter_than_any_refresh", Lifetimes{Expiry: 30 * time.Minute}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.l.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrLifetimes) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestLifetimesPerIssuer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.keys.Trust([]Trusted{{keysIssuer, Lifetimes{10 * time.Minute, 20 * time.Minute, time.Hour}}})
		for _, c := range []struct {
			header string
			want   time.Duration
		}{{"", 10 * time.Minute}, {"max-age=900", 15 * time.Minute}, {"max-age=90000", 20 * time.Minute}} {
			w.pages[jwksURL].Header.Set("Cache-Control", c.header)
			if err := w.keys.Refresh(t.Context(), keysIssuer); err != nil {
				t.Fatal(err)
			}
			s := w.keys.Status()[0]
			if got := time.Until(s.NextTry); got != c.want || time.Until(s.Expires) != time.Hour {
				t.Errorf("%q: refresh in %v, expires in %v", c.header, got, time.Until(s.Expires))
			}
		}
		w.setFail(errors.New("down"))
		time.Sleep(time.Hour - time.Second)
		if err := w.ask(t, "k1"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if err := w.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after its own expiry: %v", err)
		}
	})
}

// TestLifetimesThatMakeNoSense: an error that was not looked at must not make keys live for ever.
func TestLifetimesThatMakeNoSense(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		w.keys = NewKeys(w.web, KeysOptions{Lifetimes: Lifetimes{Expiry: 365 * 24 * time.Hour}})
		defer w.keys.Close()
		if err := w.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		if got := time.Until(w.keys.Status()[0].Expires); got != DefaultExpiry {
			t.Errorf("expires in %v", got)
		}
	})
}
