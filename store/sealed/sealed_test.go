package sealed_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
	"github.com/oidcbox/oidcbox/store/storetest"
)

// keys is a Sealer with keys in plain sight.
type keys struct {
	aead cipher.AEAD
	mac  []byte
}

func newKeys(tb testing.TB) keys {
	tb.Helper()
	k := make([]byte, 64)
	if _, err := rand.Read(k); err != nil {
		tb.Fatal(err)
	}
	aead, err := chacha20poly1305.NewX(k[:32])
	if err != nil {
		tb.Fatal(err)
	}
	return keys{aead: aead, mac: k[32:]}
}

func (k keys) Seal(plaintext, ad []byte) ([]byte, error) {
	nonce := make([]byte, k.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return k.aead.Seal(nonce, nonce, plaintext, ad), nil
}

func (k keys) Open(ciphertext, ad []byte) ([]byte, error) {
	n := k.aead.NonceSize()
	if len(ciphertext) < n {
		return nil, store.ErrSealed
	}
	plain, err := k.aead.Open(nil, ciphertext[:n], ciphertext[n:], ad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrSealed, err)
	}
	return plain, nil
}

func (k keys) HashPart(table, part string) ([]byte, error) {
	h := hmac.New(sha256.New, k.mac)
	fmt.Fprintf(h, "%d:%s%s", len(table), table, part)
	return h.Sum(nil)[:16], nil
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Engine { return sealed.New(memstore.New(), newKeys(t)) })
}

var (
	open   = store.Table{Name: "open", Plain: true}
	things = store.Table{Name: "things"}
	hidden = store.Table{Name: "hidden", HideKeys: true}
)

func put(t *testing.T, e store.Engine, tab store.Table, r store.Record) {
	t.Helper()
	if err := e.Update(t.Context(), func(w store.WTx) error { return w.Put(tab, r) }); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, e store.Engine, tab store.Table, key store.Key) (r store.Record, err error) {
	t.Helper()
	err = e.View(t.Context(), func(tx store.Tx) error {
		r, err = tx.Get(tab, key)
		return err
	})
	return r, err
}

// rows returns what lies in the engine below.
func rows(t *testing.T, e store.Engine, tab store.Table) (all []store.Record) {
	t.Helper()
	err := e.View(t.Context(), func(tx store.Tx) error {
		for r, err := range tx.Scan(tab, nil) {
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEngineSees(t *testing.T) {
	inner := memstore.New()
	e := sealed.New(inner, newKeys(t))
	for _, tab := range []store.Table{open, things, hidden} {
		put(t, e, tab, store.Record{Key: store.Key{"https://op.example", "alice"}, Value: []byte("plaintext")})
	}
	for _, tc := range []struct {
		tab                 store.Table
		showsKey, showsText bool
	}{{open, true, true}, {things, true, false}, {hidden, false, false}} {
		all := rows(t, inner, tc.tab)
		if len(all) != 1 {
			t.Fatalf("%s: %d rows", tc.tab.Name, len(all))
		}
		if got := strings.Contains(fmt.Sprint(all[0].Key), "alice"); got != tc.showsKey {
			t.Errorf("%s: key in the engine is %q", tc.tab.Name, all[0].Key)
		}
		all2 := bytes.Contains(all[0].Value, []byte("plaintext")) || bytes.Contains(all[0].Value, []byte("alice"))
		if all2 != tc.showsText {
			t.Errorf("%s: value in the engine is %q", tc.tab.Name, all[0].Value)
		}
	}
}

func TestPutSealsAnew(t *testing.T) {
	inner := memstore.New()
	e := sealed.New(inner, newKeys(t))
	r := store.Record{Key: store.Key{"k"}, Value: []byte("same")}
	put(t, e, things, r)
	before := rows(t, inner, things)[0].Value
	put(t, e, things, r)
	if bytes.Equal(before, rows(t, inner, things)[0].Value) {
		t.Error("the same value sealed twice gives the same bytes")
	}
}

func TestTampering(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for _, tab := range []store.Table{things, hidden} {
		for name, change := range map[string]func(a, b *store.Record){
			"value_of_another_row": func(a, b *store.Record) { a.Value = b.Value },
			"changed_byte":         func(a, _ *store.Record) { a.Value[len(a.Value)/2] ^= 1 },
			"cut_off":              func(a, _ *store.Record) { a.Value = a.Value[:len(a.Value)-1] },
			"empty":                func(a, _ *store.Record) { a.Value = nil },
			"longer_life":          func(a, _ *store.Record) { a.Expires = later.Add(time.Hour) },
			"endless_life":         func(a, _ *store.Record) { a.Expires = time.Time{} },
		} {
			t.Run(tab.Name+"/"+name, func(t *testing.T) {
				inner := memstore.New()
				e := sealed.New(inner, newKeys(t))
				put(t, e, tab, store.Record{Key: store.Key{"a"}, Value: []byte("one"), Expires: later})
				a := rows(t, inner, tab)[0]
				put(t, e, tab, store.Record{Key: store.Key{"b"}, Value: []byte("two"), Expires: later})
				b := other(rows(t, inner, tab), a.Key)
				change(&a, &b)
				put(t, inner, tab, a)
				if _, err := get(t, e, tab, store.Key{"a"}); !errors.Is(err, store.ErrSealed) {
					t.Errorf("get: %v, want ErrSealed", err)
				}
				wantScanError(t, e, tab)
				if r, err := get(t, e, tab, store.Key{"b"}); err != nil || string(r.Value) != "two" {
					t.Errorf("the row beside it: %q, %v", r.Value, err)
				}
			})
		}
	}
}

func other(all []store.Record, not store.Key) store.Record {
	if all[0].Key[0] == not[0] {
		return all[1]
	}
	return all[0]
}

func wantScanError(t *testing.T, e store.Engine, tab store.Table) {
	t.Helper()
	err := e.View(t.Context(), func(tx store.Tx) error {
		for _, err := range tx.Scan(tab, nil) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, store.ErrSealed) {
		t.Errorf("scan: %v, want ErrSealed", err)
	}
}

func TestOtherTableAndOtherKeys(t *testing.T) {
	inner := memstore.New()
	e := sealed.New(inner, newKeys(t))
	put(t, e, things, store.Record{Key: store.Key{"a"}, Value: []byte("one")})
	elsewhere := store.Table{Name: "elsewhere"}
	put(t, inner, elsewhere, rows(t, inner, things)[0])
	if _, err := get(t, e, elsewhere, store.Key{"a"}); !errors.Is(err, store.ErrSealed) {
		t.Errorf("value moved to another table: %v", err)
	}
	if _, err := get(t, sealed.New(inner, newKeys(t)), things, store.Key{"a"}); !errors.Is(err, store.ErrSealed) {
		t.Errorf("other keys: %v", err)
	}
}

func TestLeaseNameIsHidden(t *testing.T) {
	inner := memstore.New()
	e := sealed.New(inner, newKeys(t))
	l, err := e.Lease(t.Context(), "refresh/alice", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if l.Name() != "refresh/alice" {
		t.Errorf("name %q", l.Name())
	}
	// The engine gives the plain name away at once: nobody below holds it.
	if _, err := inner.Lease(t.Context(), "refresh/alice", time.Minute); err != nil {
		t.Error(err)
	}
}

type reserver struct {
	*memstore.Engine
	n int
}

func (r *reserver) Reserve(_ context.Context, n int) error { r.n = n; return nil }

func TestReserve(t *testing.T) {
	inner := &reserver{Engine: memstore.New()}
	if err := sealed.New(inner, newKeys(t)).Reserve(t.Context(), 100); err != nil || inner.n < 100+40 {
		t.Errorf("asked the engine for %d bytes, %v", inner.n, err)
	}
	if err := sealed.New(memstore.New(), newKeys(t)).Reserve(t.Context(), 100); err != nil {
		t.Errorf("engine without reservation: %v", err)
	}
}
