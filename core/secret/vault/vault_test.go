package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

func newTestVault(t *testing.T) *Vault {
	t.Helper()
	v, err := New(Prefer, func(msg string) { t.Log(msg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func newTestKeys(t *testing.T) *Keys {
	t.Helper()
	k, err := newTestVault(t).NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVault(t *testing.T) {
	v := newTestVault(t)

	t.Run("opens_what_it_sealed", func(t *testing.T) {
		for _, n := range []int{1, 31, 4096, 70000} {
			want := strings.Repeat("x", n)
			s, err := v.Seal(secret.FromString(want))
			if err != nil {
				t.Fatal(err)
			}
			if n > 1 && bytes.Contains(s.box(), []byte(want)) {
				t.Errorf("%d bytes: plaintext in the box", n)
			}
			got, err := v.Open(s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Expose() != want {
				t.Errorf("%d bytes: opened to something else", n)
			}
		}
	})

	t.Run("empty_secret", func(t *testing.T) {
		s, err := v.Seal(secret.Text{})
		if err != nil || !s.Empty() {
			t.Fatalf("got %v, empty %v", err, s.Empty())
		}
		got, err := v.Open(s)
		if err != nil || !got.Empty() {
			t.Errorf("got %v, empty %v", err, got.Empty())
		}
	})

	t.Run("wiping_the_opened_copy_leaves_the_sealed_one", func(t *testing.T) {
		s, _ := v.Seal(secret.FromString("hello"))
		first, _ := v.Open(s)
		first.Wipe()
		second, err := v.Open(s)
		if err != nil || second.Expose() != "hello" {
			t.Errorf("second opening: %v", err)
		}
	})

	t.Run("another_vault_cannot_open", func(t *testing.T) {
		s, _ := v.Seal(secret.FromString("hello"))
		if _, err := newTestVault(t).Open(s); !errors.Is(err, ErrNotSealedHere) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("wiped_secret_is_refused", func(t *testing.T) {
		w := secret.FromString("hello")
		w.Wipe()
		if _, err := v.Seal(w); !errors.Is(err, secret.ErrWiped) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	v, err := New(Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := v.Seal(secret.FromString("hello"))
	k, _ := v.NewSealer()
	v.Close()
	v.Close()
	if _, err := v.Open(s); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	if _, err := v.Seal(secret.FromString("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := k.Seal([]byte("x"), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Keys.Seal: %v", err)
	}
}

// Keys lie in a work area for the length of one call only.
func TestWorkAreasAreWiped(t *testing.T) {
	v := newTestVault(t)
	k, err := v.NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * workers {
		seen := false
		err := k.use(func(sealKey, hashKey []byte) error {
			seen = !bytes.Equal(sealKey, make([]byte, keySize)) && !bytes.Equal(hashKey, make([]byte, keySize))
			return nil
		})
		if !seen || err != nil {
			t.Fatalf("keys are there: %v, %v", seen, err)
		}
	}
	for i, a := range v.all[1:] {
		if !bytes.Equal(a.bytes(), make([]byte, areaSize)) {
			t.Errorf("work area %d still holds something", i)
		}
	}
}

func TestSealedCannotBePrinted(t *testing.T) {
	v := newTestVault(t)
	s, _ := v.Seal(secret.FromString("hello"))
	type holder struct{ inner Sealed }
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "s", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "s", holder{s})
	all := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		all += fmt.Sprintf(verb+verb, s, holder{s})
	}
	for _, form := range []string{"%s", "%x", "%d", "%q"} {
		// The first bytes are enough: no part of the box may be there.
		if shown := strings.Trim(fmt.Sprintf(form, s.box()[:8]), "[]\""); strings.Contains(all, shown) {
			t.Errorf("%s form of the box is in the output", form)
		}
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("encoded as JSON")
	}
}

func TestConcurrentUse(t *testing.T) {
	v := newTestVault(t)
	k, err := v.NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			want := fmt.Sprintf("secret %d", i)
			for range 20 {
				s, err := v.Seal(secret.FromString(want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := v.Open(s)
				if err != nil || got.Expose() != want {
					t.Errorf("vault: %v", err)
				}
				box, err := k.Seal([]byte(want), []byte("ad"))
				if err != nil {
					t.Error(err)
					return
				}
				plain, err := k.Open(box, []byte("ad"))
				if err != nil || string(plain) != want {
					t.Errorf("keys: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// The composition of HChaCha20 and ChaCha20-Poly1305 must be the XChaCha20-Poly1305 of the draft, or files could not
// be read by another implementation.
func TestSealIsXChaCha20Poly1305(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	ref, err := chacha20poly1305.NewX(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		plain, ad := bytes.Repeat([]byte{3}, n), []byte("ad")
		box, err := seal(nil, key, plain, ad)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ref.Open(nil, box[:24], box[24:], ad)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: the reference does not open ours: %v", n, err)
		}
		theirs := ref.Seal(bytes.Clone(box[:24]), box[:24], plain, ad)
		if !bytes.Equal(theirs, box) {
			t.Errorf("%d bytes: differs from the reference", n)
		}
	}
}

func TestKeys(t *testing.T) {
	k := newTestKeys(t)
	box, err := k.Seal([]byte("value"), []byte("table\x00key"))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("every_changed_byte_is_refused", func(t *testing.T) {
		for i := range box {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(box)
				bad[i] ^= bit
				if _, err := k.Open(bad, []byte("table\x00key")); !errors.Is(err, store.ErrSealed) {
					t.Fatalf("byte %d: %v", i, err)
				}
			}
		}
	})
	t.Run("every_cut_is_refused", func(t *testing.T) {
		for i := range box {
			if _, err := k.Open(box[:i], []byte("table\x00key")); !errors.Is(err, store.ErrSealed) {
				t.Fatalf("%d bytes: %v", i, err)
			}
		}
	})
	t.Run("other_associated_data_is_refused", func(t *testing.T) {
		for _, ad := range []string{"", "table\x00kez", "table\x00key\x00"} {
			if _, err := k.Open(box, []byte(ad)); !errors.Is(err, store.ErrSealed) {
				t.Errorf("%q: %v", ad, err)
			}
		}
	})
	t.Run("other_keys_are_refused", func(t *testing.T) {
		if _, err := newTestKeys(t).Open(box, []byte("table\x00key")); !errors.Is(err, store.ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one_plaintext_gives_different_boxes", func(t *testing.T) {
		again, _ := k.Seal([]byte("value"), []byte("table\x00key"))
		if bytes.Equal(again, box) {
			t.Error("nonce was used twice")
		}
	})
	t.Run("a_data_key_gives_the_same_keys_again", func(t *testing.T) {
		v, data := newTestVault(t), secret.New(bytes.Repeat([]byte{9}, 32))
		a, _ := v.Sealer(data)
		b, _ := v.Sealer(data)
		box, _ := a.Seal([]byte("x"), nil)
		if _, err := b.Open(box, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("a_short_data_key_is_refused", func(t *testing.T) {
		if _, err := newTestVault(t).Sealer(secret.FromString("short")); err == nil {
			t.Error("accepted")
		}
	})
}

func TestHashPart(t *testing.T) {
	k := newTestKeys(t)
	hash := func(k *Keys, table, part string) string {
		h, err := k.HashPart(table, part)
		if err != nil || len(h) != HashSize {
			t.Fatalf("got %d bytes, %v", len(h), err)
		}
		return string(h)
	}
	base := hash(k, "logins", "cern")
	if hash(k, "logins", "cern") != base {
		t.Error("is not stable")
	}
	for name, other := range map[string]string{
		"other_part":          hash(k, "logins", "egi"),
		"other_table":         hash(k, "tokens", "cern"),
		"other_split":         hash(k, "loginsc", "ern"),
		"other_keys":          hash(newTestKeys(t), "logins", "cern"),
		"empty_part":          hash(k, "logins", ""),
		"part_with_zero_byte": hash(k, "logins", "cern\x00"),
	} {
		if other == base {
			t.Errorf("%s: same hash", name)
		}
	}
}

func TestDrop(t *testing.T) {
	k := newTestKeys(t)
	box, _ := k.Seal([]byte("value"), nil)
	held := k.pair.box()
	k.Drop()
	if _, err := k.Open(box, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("Open: %v", err)
	}
	if _, err := k.Seal(nil, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := k.HashPart("a", "b"); !errors.Is(err, ErrLocked) {
		t.Errorf("HashPart: %v", err)
	}
	if err := k.Unlock(t.Context(), secret.FromString("any")); !errors.Is(err, ErrLocked) {
		t.Errorf("Unlock: %v", err)
	}
	if !bytes.Equal(held, make([]byte, len(held))) {
		t.Error("the keys were not wiped")
	}
}

func TestLockUnlock(t *testing.T) {
	k := newTestKeys(t)
	box, _ := k.Seal([]byte("value"), nil)
	if err := k.Lock(t.Context(), secret.FromString("right")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(box, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("Open while locked: %v", err)
	}
	if err := k.Lock(t.Context(), secret.FromString("again")); !errors.Is(err, ErrLocked) {
		t.Errorf("second Lock: %v", err)
	}
	if err := k.Unlock(t.Context(), secret.FromString("wrong")); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if err := k.Unlock(t.Context(), secret.FromString("right")); err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Open(box, nil); err != nil || string(plain) != "value" {
		t.Errorf("Open after Unlock: %v", err)
	}
}

func FuzzKeysOpen(f *testing.F) {
	v, err := New(Prefer, nil)
	if err != nil {
		f.Fatal(err)
	}
	k, err := v.NewSealer()
	if err != nil {
		f.Fatal(err)
	}
	box, _ := k.Seal([]byte("value"), []byte("ad"))
	f.Add([]byte{}, 0, byte(0))
	f.Add(box, 3, byte(1))
	f.Fuzz(func(t *testing.T, forged []byte, at int, flip byte) {
		if _, err := k.Open(forged, []byte("ad")); err == nil && !bytes.Equal(forged, box) {
			t.Fatal("opened a forged box")
		}
		bad := bytes.Clone(box)
		bad[uint(at)%uint(len(bad))] ^= flip
		if _, err := k.Open(bad, []byte("ad")); (err == nil) != (flip == 0) {
			t.Fatalf("flip %#x at %d: %v", flip, at, err)
		}
	})
}
