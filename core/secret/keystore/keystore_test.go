package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// cheap keeps the tests fast; TestDefaultCost looks at the real one.
var cheap = vault.Params{Time: 1, Memory: 64, Threads: 1}

var (
	hidden = store.Table{Name: "logins", HideKeys: true}
	open   = store.Table{Name: "notes"}
)

func newVault(t testing.TB) *vault.Vault {
	t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func phrase(s string) NewSlot {
	return NewSlot{Kind: KindPassphrase, Passphrase: secret.FromString(s), Cost: cheap}
}

func byPhrase(s string) Credential { return Passphrase(secret.FromString(s)) }

func create(t testing.TB, eng store.Engine) *Keystore {
	t.Helper()
	k, err := Create(t.Context(), eng, newVault(t), phrase("first"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func reopen(t testing.TB, eng store.Engine, c Credential) *Keystore {
	t.Helper()
	k, err := Open(t.Context(), eng, newVault(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func put(t testing.TB, eng store.Engine, tab store.Table, key, value string) {
	t.Helper()
	err := eng.Update(t.Context(), func(tx store.WTx) error {
		return tx.Put(tab, store.Record{Key: store.Key{key}, Value: []byte(value)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, eng store.Engine, tab store.Table, key string) (string, error) {
	t.Helper()
	var r store.Record
	err := eng.View(t.Context(), func(tx store.Tx) (err error) {
		r, err = tx.Get(tab, store.Key{key})
		return err
	})
	return string(r.Value), err
}

func TestCreateOpen(t *testing.T) {
	eng := memstore.New()
	if have, err := Exists(t.Context(), eng); have || err != nil {
		t.Fatalf("empty store: %v, %v", have, err)
	}
	if _, err := Open(t.Context(), eng, newVault(t), byPhrase("first")); !errors.Is(err, ErrNoHeader) {
		t.Errorf("Open of an empty store: %v", err)
	}
	k := create(t, eng)
	put(t, k.Engine(), hidden, "cern", "refresh token")
	put(t, k.Engine(), open, "n", "note")
	k.Drop()

	t.Run("second_create_is_refused", func(t *testing.T) {
		if _, err := Create(t.Context(), eng, newVault(t), phrase("x")); !errors.Is(err, ErrExists) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("dropped_keystore_is_dead", func(t *testing.T) {
		if _, err := get(t, k.Engine(), hidden, "cern"); !errors.Is(err, vault.ErrLocked) {
			t.Errorf("got %v", err)
		}
		if _, err := k.AddSlot(t.Context(), phrase("x")); !errors.Is(err, vault.ErrLocked) {
			t.Errorf("AddSlot: %v", err)
		}
	})
	t.Run("right_passphrase_opens", func(t *testing.T) {
		k := reopen(t, eng, byPhrase("first"))
		for tab, want := range map[store.Table][2]string{hidden: {"cern", "refresh token"}, open: {"n", "note"}} {
			if got, err := get(t, k.Engine(), tab, want[0]); got != want[1] || err != nil {
				t.Errorf("table %s: %q, %v", tab.Name, got, err)
			}
		}
		if n, err := k.Check(t.Context()); n != 2 || err != nil {
			t.Errorf("Check: %d, %v", n, err)
		}
	})
	t.Run("wrong_passphrase", func(t *testing.T) {
		before := dump(t, eng)
		if _, err := Open(t.Context(), eng, newVault(t), byPhrase("First")); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("got %v", err)
		}
		if !bytes.Equal(before, dump(t, eng)) {
			t.Error("something was written")
		}
	})
	t.Run("wrong_kind", func(t *testing.T) {
		_, err := Open(t.Context(), eng, newVault(t), KeyFile("/nonexistent"))
		if !errors.Is(err, ErrNoSlot) || !strings.Contains(err.Error(), "it opens by passphrase, not by keyfile") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no_credential", func(t *testing.T) {
		if _, err := Open(t.Context(), eng, newVault(t), Credential{}); !errors.Is(err, ErrNoSlot) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nothing_readable_in_the_store", func(t *testing.T) {
		all := dump(t, eng)
		for _, s := range []string{"refresh token", "cern", "note\x00", "first"} {
			if bytes.Contains(all, []byte(s)) {
				t.Errorf("%q is in the store", s)
			}
		}
	})
}

// dump is every byte of every table the tests use.
func dump(t testing.TB, eng store.Engine) []byte {
	t.Helper()
	var b []byte
	for _, name := range []string{
		"keystore", "keystore.inner@1", "logins@1", "notes@1", "keystore.inner@2", "logins@2",
		"notes@2", "keystore.inner@3", "logins@3", "notes@3",
	} {
		err := eng.View(t.Context(), func(tx store.Tx) error {
			for r, err := range tx.Scan(store.Table{Name: name, Sealed: true}, nil) {
				if err != nil {
					return err
				}
				b = append(b, fmt.Sprintf("%s %q ", name, r.Key)...)
				b = append(append(b, r.Value...), '\n')
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestEmptyAndLongPassphrases(t *testing.T) {
	for _, p := range []string{"", strings.Repeat("x", maxPassphrase+1)} {
		if _, err := Create(t.Context(), memstore.New(), newVault(t), phrase(p)); !errors.Is(err, ErrUnfit) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

func TestSlots(t *testing.T) {
	eng := memstore.New()
	k := create(t, eng)
	put(t, k.Engine(), hidden, "cern", "token")
	records := dump(t, eng)
	keyPath := filepath.Join(t.TempDir(), "key")

	first, err := k.Slots(t.Context())
	if err != nil || len(first) != 1 || first[0].Kind != KindPassphrase || first[0].Cost != cheap {
		t.Fatalf("slots: %+v, %v", first, err)
	}
	if err := k.RemoveSlot(t.Context(), first[0].ID); !errors.Is(err, ErrLastSlot) {
		t.Errorf("last slot: %v", err)
	}
	second, err := k.AddSlot(t.Context(), phrase("second"))
	if err != nil {
		t.Fatal(err)
	}
	third, err := k.AddSlot(t.Context(), NewSlot{Kind: KindKeyFile, Label: "backup stick", Path: keyPath})
	if err != nil || third.Label != "backup stick" {
		t.Fatalf("%+v, %v", third, err)
	}
	for name, c := range map[string]Credential{
		"first": byPhrase("first"), "second": byPhrase("second"), "key file": KeyFile(keyPath),
	} {
		if got, err := get(t, reopen(t, eng, c).Engine(), hidden, "cern"); got != "token" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := k.RemoveSlot(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), eng, newVault(t), byPhrase("second")); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("removed slot: %v", err)
	}
	if err := k.RemoveSlot(t.Context(), second.ID); !errors.Is(err, ErrNoSlot) {
		t.Errorf("removed twice: %v", err)
	}
	strip := func(b []byte) []byte { _, rest, _ := bytes.Cut(b, []byte("keystore.inner@1")); return rest }
	if !bytes.Equal(strip(records), strip(dump(t, eng))) {
		t.Error("slots changed the data")
	}
}

func TestSlotLimit(t *testing.T) {
	k := create(t, memstore.New())
	for range MaxSlots - 1 {
		if _, err := k.AddSlot(t.Context(), phrase("more")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.AddSlot(t.Context(), phrase("more")); !errors.Is(err, ErrTooManySlots) {
		t.Errorf("got %v", err)
	}
}

func TestBadLabel(t *testing.T) {
	k := create(t, memstore.New())
	for _, label := range []string{"a\nb", "\x1b[31m", "\xff", strings.Repeat("x", MaxLabel+1)} {
		n := phrase("x")
		n.Label = label
		if _, err := k.AddSlot(t.Context(), n); !errors.Is(err, ErrUnfit) {
			t.Errorf("%q: %v", label, err)
		}
	}
}

func TestFailedSlotLeavesNoKeyFile(t *testing.T) {
	eng := &failing{Engine: memstore.New(), at: -1}
	k := create(t, eng)
	path := filepath.Join(t.TempDir(), "key")
	eng.at = 0
	if _, err := k.AddSlot(t.Context(), NewSlot{Kind: KindKeyFile, Path: path}); !errors.Is(err, errInjected) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("key file: %v", err)
	}
}

// When it is not known whether the slot was stored, its key must stay.
func TestSlotOfUnknownFateKeepsItsKeyFile(t *testing.T) {
	eng := &vague{Engine: memstore.New()}
	k := create(t, eng)
	path := filepath.Join(t.TempDir(), "key")
	eng.vague = true
	if _, err := k.AddSlot(t.Context(), NewSlot{Kind: KindKeyFile, Path: path}); !errors.Is(err, store.ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	reopen(t, eng.Engine, KeyFile(path))
}

// vague makes every Update and does not say so.
type vague struct {
	store.Engine
	vague bool
}

func (v *vague) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if err := v.Engine.Update(ctx, fn, held...); err != nil || !v.vague {
		return err
	}
	return store.ErrUnknown
}

// An attacker who can write the file must not be able to change the header unnoticed.
func TestAlteredHeader(t *testing.T) {
	build := func(t *testing.T) (*memstore.Engine, *header) {
		eng := memstore.New()
		k := create(t, eng)
		for _, p := range []string{"second", "third"} {
			if _, err := k.AddSlot(t.Context(), phrase(p)); err != nil {
				t.Fatal(err)
			}
		}
		h, err := readHeader(t.Context(), eng)
		if err != nil {
			t.Fatal(err)
		}
		return eng, h
	}
	for name, tc := range map[string]struct {
		edit func(h *header)
		want error
	}{
		"slot_removed":       {func(h *header) { h.slots = h.slots[:1] }, ErrTampered},
		"slots_swapped":      {func(h *header) { h.slots[1], h.slots[2] = h.slots[2], h.slots[1] }, ErrTampered},
		"label_changed":      {func(h *header) { h.slots[1].label = "mine" }, ErrTampered},
		"created_changed":    {func(h *header) { h.created = h.created.Add(time.Hour) }, ErrTampered},
		"stale_set":          {func(h *header) { h.stale = 7 }, ErrTampered},
		"mac_changed":        {func(h *header) { h.mac[0] ^= 1 }, ErrTampered},
		"other_slot_changed": {func(h *header) { h.slots[1].wrapped[40] ^= 1 }, ErrTampered},
		"own_slot_changed":   {func(h *header) { h.slots[0].wrapped[40] ^= 1 }, ErrWrongPassphrase},
		"salt_changed":       {func(h *header) { h.slots[0].params[0] ^= 1 }, ErrWrongPassphrase},
		"cost_lowered":       {func(h *header) { h.slots[0].params[saltSize+7] = 8 }, ErrWrongPassphrase},
		"id_exchanged":       {func(h *header) { h.slots[0].id[0] ^= 1 }, ErrWrongPassphrase},
		"epoch_raised":       {func(h *header) { h.epoch++ }, ErrWrongPassphrase},
		"keystore_id":        {func(h *header) { h.id[0] ^= 1 }, ErrWrongPassphrase},
	} {
		t.Run(name, func(t *testing.T) {
			eng, h := build(t)
			tc.edit(h)
			writeHeader(t, eng, h.encode()) // with a right checksum
			if _, err := Open(t.Context(), eng, newVault(t), byPhrase("first")); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("slot_changes_are_refused_afterwards", func(t *testing.T) {
		eng, h := build(t)
		k := reopen(t, eng, byPhrase("first"))
		h.slots = h.slots[:2]
		writeHeader(t, eng, h.encode())
		if _, err := k.AddSlot(t.Context(), phrase("x")); !errors.Is(err, ErrTampered) {
			t.Errorf("AddSlot: %v", err)
		}
		if err := k.RemoveSlot(t.Context(), h.describe()[1].ID); !errors.Is(err, ErrTampered) {
			t.Errorf("RemoveSlot: %v", err)
		}
	})
}

func writeHeader(t testing.TB, eng store.Engine, b []byte) {
	t.Helper()
	err := eng.Update(t.Context(), func(tx store.WTx) error {
		return tx.Put(plainTable(), store.Record{Key: headerKey(), Value: b})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedHeader(t *testing.T) {
	eng := memstore.New()
	create(t, eng)
	good, err := readRaw(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"newer_version": {flip(len(magic)), store.ErrVersion},
		"magic":         {flip(0), store.ErrCorrupt},
		"one_bit":       {flip(len(good) / 2), store.ErrCorrupt},
		"checksum":      {flip(len(good) - 1), store.ErrCorrupt},
		"cut":           {good[:len(good)-5], store.ErrCorrupt},
		"longer":        {append(bytes.Clone(good), 0), store.ErrCorrupt},
		"empty":         {nil, store.ErrCorrupt},
		"huge":          {make([]byte, 60000), store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			writeHeader(t, eng, tc.b)
			_, err := Open(t.Context(), eng, newVault(t), byPhrase("first"))
			if !errors.Is(err, tc.want) || errors.Is(err, ErrWrongPassphrase) {
				t.Errorf("got %v", err)
			}
			if have, err := Exists(t.Context(), eng); !have || err != nil {
				t.Errorf("Exists: %v, %v", have, err)
			}
		})
	}
}

func TestUpdateLimitIsTheCallers(t *testing.T) {
	k := create(t, memstore.New())
	err := k.Engine().Update(t.Context(), func(tx store.WTx) error {
		for i := range store.MaxWrites {
			err := tx.Put(store.Table{Name: fmt.Sprint("new", i%2)}, store.Record{Key: store.Key{fmt.Sprint(i)}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%d writes to two new tables: %v", store.MaxWrites, err)
	}
}

func TestLeaseHidesItsName(t *testing.T) {
	inner := &recorder{Engine: memstore.New()}
	k := create(t, inner)
	l, err := k.Engine().Lease(t.Context(), "refresh cern", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if l.Name() != "refresh cern" || len(inner.names) != 1 || strings.Contains(inner.names[0], "cern") {
		t.Errorf("name %q, below %q", l.Name(), inner.names)
	}
	err = k.Engine().Update(t.Context(), func(tx store.WTx) error {
		return tx.Put(hidden, store.Record{Key: store.Key{"a"}})
	}, l)
	if err != nil {
		t.Errorf("Update under the lease: %v", err)
	}
	if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := k.Engine().Lease(ctx, "refresh cern", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the lease did not survive a rekey: %v", err)
	}
}

type recorder struct {
	store.Engine
	names []string
}

func (r *recorder) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	r.names = append(r.names, name)
	return r.Engine.Lease(ctx, name, ttl)
}

func TestConcurrentUseWhileRekeying(t *testing.T) {
	k := create(t, memstore.New())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				key := fmt.Sprint(i, " ", j)
				put(t, k.Engine(), hidden, key, key)
				if got, err := get(t, k.Engine(), hidden, key); got != key || err != nil {
					t.Errorf("%s: %q, %v", key, got, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n, err := k.Check(t.Context()); n != 160 || err != nil {
		t.Errorf("Check: %d, %v", n, err)
	}
}

func TestSlotsKeepTheirOrder(t *testing.T) {
	k := create(t, memstore.New())
	var want []string
	for i := range 3 {
		s, err := k.AddSlot(t.Context(), phrase(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s.ID)
	}
	slots, err := k.Slots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range slots[1:] {
		got = append(got, s.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want the order they were added in, %v", got, want)
	}
}
