package keystore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/storetest"
)

// The keystore's engine keeps the contract of every engine.
func TestEngineConformance(t *testing.T) {
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	storetest.Run(t, func(t *testing.T) store.Engine {
		n := NewSlot{Kind: KindKeyFile, Path: t.TempDir() + "/key"} // a passphrase would do no good in a synctest bubble
		k, err := Create(t.Context(), memstore.New(), v, n)
		if err != nil {
			t.Fatal(err)
		}
		return k.Engine()
	})
}

// sample has one slot of each kind.
func sample() *header {
	salt := bytes.Repeat([]byte{5}, saltSize)
	h := &header{epoch: 3, stale: 2, created: time.Unix(1700000000, 0).UTC()}
	h.id[0] = 1
	for i, s := range []slot{
		{kind: KindPassphrase, label: "mine", params: append(bytes.Clone(salt), 0, 0, 0, 3, 0, 1, 0, 0, 4)},
		{kind: KindKeyFile, params: bytes.Clone(salt)},
		{kind: KindCredential, label: "größer", params: append(bytes.Clone(salt), "\x04name"...)},
		{kind: KindKeyring, params: append(bytes.Clone(salt), "\x07oidcbox\x01u"...)},
	} {
		s.id[3], s.created = byte(i), h.created
		h.slots = append(h.slots, s)
	}
	return h
}

func TestHeaderRoundTrip(t *testing.T) {
	h := sample()
	if err := h.sign(secret.New(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	b := h.encode()
	got, err := parseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.encode(), b) {
		t.Error("encodes to something else")
	}
	if err := got.verify(secret.New(make([]byte, 32))); err != nil {
		t.Error(err)
	}
	d := got.describe()
	if d[0].Cost != vault.DefaultParams() || d[2].Name != "name" || d[3].Service != "oidcbox" || d[3].User != "u" {
		t.Errorf("%+v", d)
	}
}

func TestHeaderWithoutMeaning(t *testing.T) {
	for name, edit := range map[string]func(h *header){
		"no_slot":          func(h *header) { h.slots = nil },
		"too_many_slots":   func(h *header) { h.slots = append(h.slots, make([]slot, MaxSlots)...) },
		"epoch_0":          func(h *header) { h.epoch = 0 },
		"stale_is_present": func(h *header) { h.stale = h.epoch },
		"unknown_kind":     func(h *header) { h.slots[0].kind = 9 },
		"kind_0":           func(h *header) { h.slots[0].kind = 0 },
		"two_of_one_id":    func(h *header) { h.slots[1].id = h.slots[0].id },
		"escape_in_label":  func(h *header) { h.slots[0].label = "\x1b[2J" },
		"long_label":       func(h *header) { h.slots[0].label = strings.Repeat("x", MaxLabel+1) },
		"bad_utf8":         func(h *header) { h.slots[0].label = "\xff" },
		"huge_memory":      func(h *header) { h.slots[0].params[saltSize+4] = 0xff },
		"many_passes":      func(h *header) { h.slots[0].params[saltSize] = 1 },
		"short_params":     func(h *header) { h.slots[0].params = h.slots[0].params[:saltSize] },
		"long_params":      func(h *header) { h.slots[1].params = append(h.slots[1].params, 0) },
		"empty_name":       func(h *header) { h.slots[2].params = append(h.slots[2].params[:saltSize], 0) },
		"params_too_long":  func(h *header) { h.slots[1].params = make([]byte, maxParams+1) },
	} {
		h := sample()
		edit(h)
		if _, err := parseHeader(h.encode()); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The lengths inside a header are an attacker's choice: memory must follow the header's real length.
func TestHeaderMemory(t *testing.T) {
	greedy := sample().encode()
	for i := prefixSize + 8; i < len(greedy)-sumSize; i++ {
		greedy[i] = 0xff
	}
	greedy[prefixSize+8] = MaxSlots
	for name, b := range map[string][]byte{
		"every_length_at_its_most": withSum(greedy), "as_long_as_a_record": make([]byte, store.MaxValue),
		"as_long_as_a_record_with_magic": append(sample().encode(), make([]byte, store.MaxValue)...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseHeader(b)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; err == nil || spent > 16<<10 {
			t.Errorf("%s: %d bytes spent, %v", name, spent, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(sample().encode())
	h := sample()
	h.slots = h.slots[:1]
	f.Add(h.encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, withSum(b)} {
			h, err := parseHeader(b)
			if err != nil {
				if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrVersion) {
					t.Fatalf("error without a kind: %v", err)
				}
				continue
			}
			if len(b) > maxHeader || len(h.slots) > MaxSlots {
				t.Fatalf("%d bytes, %d slots", len(b), len(h.slots))
			}
			if !bytes.Equal(h.encode(), b) {
				t.Fatal("does not encode to what it was parsed from")
			}
			for _, s := range h.describe() {
				if s.Kind == KindPassphrase && s.Cost.Check() != nil {
					t.Fatalf("costs out of bounds: %+v", s.Cost)
				}
			}
		}
	})
}

// withSum puts a right checksum under whatever stands before it, so that the fuzzer gets past it.
func withSum(b []byte) []byte {
	if len(b) < sumSize {
		return b
	}
	sum := sha256.Sum256(b[:len(b)-sumSize])
	return append(bytes.Clone(b[:len(b)-sumSize]), sum[:]...)
}
