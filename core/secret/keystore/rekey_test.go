package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

var errInjected = errors.New("injected failure")

// failing makes every Update from number at on fail (0: the next one), as a killed process never makes them.
type failing struct {
	store.Engine
	at   int // -1: never
	seen int
}

func (f *failing) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if f.at >= 0 && f.seen >= f.at {
		f.seen++
		return errInjected
	}
	f.seen++
	return f.Engine.Update(ctx, fn, held...)
}

func fill(t testing.TB, k *Keystore, n int) {
	t.Helper()
	for i := range n {
		put(t, k.Engine(), hidden, fmt.Sprint("login ", i), fmt.Sprint("token ", i))
		put(t, k.Engine(), open, fmt.Sprint(i), "note")
	}
}

func checkFilled(t testing.TB, k *Keystore, n int) {
	t.Helper()
	for i := range n {
		if got, err := get(t, k.Engine(), hidden, fmt.Sprint("login ", i)); got != fmt.Sprint("token ", i) || err != nil {
			t.Fatalf("login %d: %q, %v", i, got, err)
		}
	}
	if got, err := k.Check(t.Context()); got != 2*n || err != nil {
		t.Fatalf("Check: %d, %v", got, err)
	}
}

func TestRekey(t *testing.T) {
	eng := memstore.New()
	k := create(t, eng)
	fill(t, k, 70)
	oldHeader, err := readRaw(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	checkFilled(t, k, 70)
	checkFilled(t, reopen(t, eng, byPhrase("first")), 70)

	t.Run("nothing_is_left_of_the_old_tables", func(t *testing.T) {
		if bytes.Contains(dump(t, eng), []byte("@1 ")) {
			t.Error("rows of epoch 1")
		}
		info, err := Inspect(t.Context(), eng)
		if err != nil || info.Epoch != 2 || info.Unfinished {
			t.Errorf("%+v, %v", info, err)
		}
	})
	t.Run("the_old_header_opens_nothing_new", func(t *testing.T) {
		now, _ := readRaw(t.Context(), eng)
		defer writeHeader(t, eng, now)
		writeHeader(t, eng, oldHeader)
		if _, err := Open(t.Context(), eng, newVault(t), byPhrase("first")); err == nil {
			t.Error("a keystore without its inner table was opened")
		}
	})
}

func TestRekeyNeedsTheCredentials(t *testing.T) {
	eng := memstore.New()
	k := create(t, eng)
	fill(t, k, 1)
	if _, err := k.AddSlot(t.Context(), phrase("second")); err != nil {
		t.Fatal(err)
	}
	before := dump(t, eng)
	for name, o := range map[string]RekeyOptions{
		"one_is_missing":  {Keep: []Credential{byPhrase("first")}},
		"all_are_missing": {DropOthers: true},
		"wrong_one":       {Keep: []Credential{byPhrase("third")}, DropOthers: true},
	} {
		if err := k.Rekey(t.Context(), o); !errors.Is(err, ErrSlotsUncovered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(before, dump(t, eng)) {
		t.Error("something was written")
	}
	if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("second")}, DropOthers: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), eng, newVault(t), byPhrase("first")); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("dropped slot: %v", err)
	}
	checkFilled(t, reopen(t, eng, byPhrase("second")), 1)
}

// TestRekeyKilledAnywhere stops a Rekey before each of its writes and opens the keystore as the next process would.
func TestRekeyKilledAnywhere(t *testing.T) {
	const records = 40
	for at := 0; ; at++ {
		eng := &failing{Engine: memstore.New(), at: -1}
		k := create(t, eng)
		fill(t, k, records)
		eng.seen, eng.at = 0, at
		err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}})
		if err == nil {
			// The mark could not be taken away, or it could: both are a finished Rekey.
			if at < 8 {
				t.Fatalf("a Rekey made only %d writes", at)
			}
			if eng.seen <= at {
				return
			}
			continue
		}
		if !errors.Is(err, errInjected) {
			t.Fatalf("write %d: %v", at, err)
		}
		eng.at = -1
		dropMark(t, eng.Engine)
		again := reopen(t, eng, byPhrase("first"))
		checkFilled(t, again, records)
		put(t, again.Engine(), hidden, "login 0", "token 0")
		info, err := Inspect(t.Context(), eng)
		if err != nil || info.Unfinished {
			t.Fatalf("write %d: not cleared up: %+v, %v", at, info, err)
		}
		if rows := bytes.Count(dump(t, eng), []byte("logins@")); rows != records {
			t.Fatalf("write %d: %d rows of logins, want %d", at, rows, records)
		}
		if err := again.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
			t.Fatalf("write %d: second Rekey: %v", at, err)
		}
		checkFilled(t, again, records)
	}
}

// dropMark does what the expiry of the mark does a minute after a process was killed.
func dropMark(t *testing.T, eng store.Engine) {
	t.Helper()
	err := eng.Update(t.Context(), func(tx store.WTx) error {
		return tx.Delete(plainTable(), store.Key{partRekey})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOtherProcessWhileRekeying(t *testing.T) {
	eng := memstore.New()
	a := create(t, eng)
	put(t, a.Engine(), hidden, "cern", "old")
	b := reopen(t, eng, byPhrase("first"))

	b.patience = 0
	h, err := readHeader(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.begin(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	write := func(k *Keystore) error {
		return k.Engine().Update(t.Context(), func(tx store.WTx) error {
			return tx.Put(hidden, store.Record{Key: store.Key{"cern"}, Value: []byte("lost")})
		})
	}
	if err := write(b); !errors.Is(err, ErrBusy) {
		t.Errorf("write while marked: %v", err)
	}
	if got, err := get(t, b.Engine(), hidden, "cern"); got != "old" || err != nil {
		t.Errorf("read while marked: %q, %v", got, err)
	}
	if err := b.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); !errors.Is(err, ErrBusy) {
		t.Errorf("second Rekey: %v", err)
	}
	m.release(t.Context())
	if err := a.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	if err := write(b); !errors.Is(err, ErrRekeyed) {
		t.Errorf("write with the old key: %v", err)
	}
	if _, err := get(t, b.Engine(), hidden, "cern"); !errors.Is(err, ErrRekeyed) {
		t.Errorf("read with the old key: %v", err)
	}
	if _, err := b.AddSlot(t.Context(), phrase("x")); !errors.Is(err, ErrRekeyed) {
		t.Errorf("AddSlot with the old key: %v", err)
	}
}

// A backup that was restored and rekeyed counts up to the same number again, with another key.
func TestAnotherKeyOfTheSameNumber(t *testing.T) {
	eng := memstore.New()
	a := create(t, eng)
	backup, err := readRaw(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	other := memstore.New()
	create(t, other)
	elsewhere, err := readRaw(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	writeHeader(t, eng, elsewhere)
	err = a.Engine().Update(t.Context(), func(tx store.WTx) error {
		return tx.Put(hidden, store.Record{Key: store.Key{"cern"}})
	})
	if !errors.Is(err, ErrRekeyed) {
		t.Errorf("write to another keystore: %v", err)
	}
	writeHeader(t, eng, backup)
	put(t, a.Engine(), hidden, "cern", "token")
	if err := a.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	if after, err := readHeader(t.Context(), eng); err != nil || string(after.id[:]) == string(backup[18:34]) {
		t.Errorf("the new data key has the old id: %v", err)
	}
}

// A process that stood still for longer than its mark lived must not put its stale copy in place.
func TestRekeyThatLostItsMark(t *testing.T) {
	now := time.Now()
	eng := memstore.NewAt(func() time.Time { return now })
	k := create(t, eng)
	k.now = func() time.Time { return now }
	fill(t, k, 3)
	h, err := readHeader(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	m, err := k.begin(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(markTTL + time.Second)
	key := randomKey()
	h.epoch++
	if err := m.commit(t.Context(), h, key); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	checkFilled(t, k, 3)
}

// Two processes must not work under one mark.
func TestMarkOfAnother(t *testing.T) {
	now := time.Now()
	eng := memstore.NewAt(func() time.Time { return now })
	k := create(t, eng)
	k.now = func() time.Time { return now }
	h, err := readHeader(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	late, err := k.begin(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.begin(t.Context(), h); !errors.Is(err, ErrBusy) {
		t.Errorf("second mark: %v", err)
	}
	now = now.Add(markTTL + time.Second)
	if h, err = readHeader(t.Context(), eng); err != nil {
		t.Fatal(err)
	}
	if _, err := k.begin(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	next := *h
	next.epoch++
	if err := late.commit(t.Context(), &next, randomKey()); !errors.Is(err, ErrBusy) {
		t.Errorf("commit under another's mark: %v", err)
	}
	late.release(t.Context())
	k.patience = 0
	if _, err := k.AddSlot(t.Context(), phrase("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("the late one took the mark away: %v", err)
	}
}

// A slot that somebody adds while the new header is made must not be lost with it.
func TestHeaderChangedBeforeTheMark(t *testing.T) {
	eng := memstore.New()
	k := create(t, eng)
	h, err := readHeader(t.Context(), eng)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.AddSlot(t.Context(), phrase("second")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.begin(t.Context(), h); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// A Rekey that failed is tried again by the same process, which does not open the keystore in between.
func TestRekeyAfterAFailedOne(t *testing.T) {
	eng := &failing{Engine: memstore.New(), at: -1}
	k := create(t, eng)
	fill(t, k, 40)
	eng.seen, eng.at = 0, 4
	o := RekeyOptions{Keep: []Credential{byPhrase("first")}}
	if err := k.Rekey(t.Context(), o); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	eng.at = -1
	dropMark(t, eng.Engine)
	checkFilled(t, k, 40)
	// What is gone now must not come back from the copy of the failed Rekey.
	err := k.Engine().Update(t.Context(), func(tx store.WTx) error {
		for i := range 30 {
			if err := tx.Delete(hidden, store.Key{fmt.Sprint("login ", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rekey(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		_, err := get(t, k.Engine(), hidden, fmt.Sprint("login ", i))
		if (err == nil) != (i >= 30) {
			t.Errorf("login %d: %v", i, err)
		}
	}
	if rows := bytes.Count(dump(t, eng), []byte("logins@")); rows != 10 {
		t.Errorf("%d rows of logins, want 10", rows)
	}
}

// A table that another process listed after we opened the keystore must be carried over too.
func TestRekeyFindsTablesOfOthers(t *testing.T) {
	eng := memstore.New()
	a := create(t, eng)
	b := reopen(t, eng, byPhrase("first"))
	put(t, b.Engine(), store.Table{Name: "late"}, "k", "v")
	if err := a.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, a.Engine(), store.Table{Name: "late"}, "k"); got != "v" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRekeyKeepsExpiry(t *testing.T) {
	k := create(t, memstore.New())
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	err := k.Engine().Update(t.Context(), func(tx store.WTx) error {
		return tx.Put(hidden, store.Record{Key: store.Key{"a", "b"}, Value: []byte("v"), Expires: expires})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}); err != nil {
		t.Fatal(err)
	}
	err = k.Engine().View(t.Context(), func(tx store.Tx) error {
		r, err := tx.Get(hidden, store.Key{"a", "b"})
		if err == nil && !r.Expires.Equal(expires) {
			t.Errorf("expires %v, want %v", r.Expires, expires)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
