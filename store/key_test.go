package store_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

func TestKeyOrder(t *testing.T) {
	parts := []string{
		"", "\x00", "\x00\x00", "\x00\xff", "\x01", "\x01\x00", "\x02", "a", "a\x00", "a\x00b", "a\x01", "ab", "\xff",
	}
	for _, a := range parts {
		for _, b := range parts {
			x, y := store.Key{a, b}, store.Key{b, a}
			if got, want := bytes.Compare(x.Encode(), y.Encode()), slices.Compare(x, y); got != want {
				t.Errorf("order of %q and %q: %d, want %d", x, y, got, want)
			}
			x, y = store.Key{a}, store.Key{a, b}
			if bytes.Compare(x.Encode(), y.Encode()) >= 0 || !bytes.HasPrefix(y.Encode(), x.Encode()) {
				t.Errorf("%q is not the prefix of %q", x, y)
			}
			if p := (store.Key{b}).Encode(); a != b && bytes.HasPrefix(y.Encode(), p) {
				t.Errorf("%q passes for a prefix of %q", b, y)
			}
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, b := range []string{"", "a", "a\x00b", "\x01", "\x01\x00", "\x01\x03\x00", "\x01\xff\x00"} {
		if k, err := store.ParseKey([]byte(b)); err == nil {
			t.Errorf("%q gives %q", b, k)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("a\x00b\x00"))
	f.Add([]byte("\x01\x01\x01\x02\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := store.ParseKey(b)
		if err == nil && !bytes.Equal(k.Encode(), b) {
			t.Errorf("%q gives %q, which encodes to %q", b, k, k.Encode())
		}
	})
}

func TestMillis(t *testing.T) {
	for _, tc := range []struct {
		in   time.Time
		want int64
	}{
		{time.Time{}, 0},
		{time.Unix(0, 0), 1},
		{time.Unix(-1, 0), 1},
		{time.Unix(1, 999_999), 1000},
	} {
		if got := store.Millis(tc.in); got != tc.want {
			t.Errorf("Millis(%v) = %d, want %d", tc.in, got, tc.want)
		}
	}
	now := time.UnixMilli(5000)
	if store.Expired(0, now) || store.Expired(5001, now) || !store.Expired(5000, now) {
		t.Error("a record expires at its millisecond, not before, and never with 0")
	}
}
