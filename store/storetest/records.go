package storetest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

var recordFacts = []fact{
	{name: "absent_is_ErrNotFound", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.wantAbsent(tab, "no")
			h.put(tab, "v", "yes")
			h.wantAbsent(tab, "no")
		}
	}},
	{name: "put_then_get", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.put(tab, "v1", "a", "b")
			h.want(tab, "v1", "a", "b")
			h.put(tab, "v2", "a", "b")
			h.want(tab, "v2", "a", "b")
		}
	}},
	{name: "delete", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.put(tab, "v", "a")
			h.put(tab, "w", "b")
			h.update(func(w store.WTx) error { return w.Delete(tab, store.Key{"a"}) })
			h.wantAbsent(tab, "a")
			h.want(tab, "w", "b")
			h.update(func(w store.WTx) error { return w.Delete(tab, store.Key{"a"}) })
			h.update(func(w store.WTx) error { return w.Delete(store.Table{Name: "none"}, store.Key{"a"}) })
		}
	}},
	{name: "tables_are_apart", test: func(h harness) {
		h.put(plain, "1", "k")
		h.put(things, "2", "k")
		h.put(hidden, "3", "k")
		h.want(plain, "1", "k")
		h.want(things, "2", "k")
		h.want(hidden, "3", "k")
	}},
	{name: "any_bytes_and_none", test: func(h harness) {
		for _, v := range []string{"", "\x00", "\xff\x00\xff", strings.Repeat("\x00", 9000)} {
			for _, tab := range []store.Table{plain, things, hidden} {
				h.put(tab, v, "k")
				h.want(tab, v, "k")
			}
		}
	}},
	{name: "expiry_is_kept_to_the_millisecond", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			expires := h.clock.Now().Add(time.Hour)
			h.putUntil(tab, "v", expires, "k")
			r, err := h.get(tab, "k")
			if err != nil || !r.Expires.Equal(expires.Truncate(time.Millisecond)) {
				h.Fatalf("expires %v, %v; want %v", r.Expires, err, expires.Truncate(time.Millisecond))
			}
			h.put(tab, "v", "k")
			if r, err = h.get(tab, "k"); err != nil || !r.Expires.IsZero() {
				h.Fatalf("expires %v, %v; want never", r.Expires, err)
			}
		}
	}},
	{name: "what_is_handed_out_is_a_copy", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.put(tab, "value", "k", "2")
			r, err := h.get(tab, "k", "2")
			if err != nil {
				h.Fatal(err)
			}
			clear(r.Value)
			r.Key[0] = "x"
			h.want(tab, "value", "k", "2")
			h.scanAndSpoil(tab)
			h.want(tab, "value", "k", "2")
		}
	}},
	{name: "what_is_handed_in_is_copied", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			value, key := []byte("value"), store.Key{"k"}
			h.update(func(w store.WTx) error {
				err := w.Put(tab, store.Record{Key: key, Value: value})
				clear(value)
				key[0] = "x"
				r, getErr := w.Get(tab, store.Key{"k"})
				if getErr != nil || string(r.Value) != "value" {
					h.Errorf("get in the same update: %q, %v", r.Value, getErr)
				}
				copy(value, "value")
				key[0] = "k"
				return err
			})
			h.want(tab, "value", "k")
		}
	}},
}

func (h harness) scanAndSpoil(tab store.Table) {
	h.Helper()
	h.update(func(w store.WTx) error {
		for r, err := range w.Scan(tab, nil) {
			if err != nil {
				return err
			}
			clear(r.Value)
			r.Key[0] = "y"
		}
		return nil
	})
}

// hostile are key parts that break encodings which join parts or end them with a byte.
var hostile = []string{
	"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "\x01\x01", "\x01\x02", "\x02",
	"a", "a\x00", "a\x00b", "a\x01",
	"ab", "b", "\xfe", "\xff", "\xff\x00", "\xff\xff", "https://op.example/", "https://op.example/a",
}

var keyFacts = []fact{
	{name: "hostile_parts_stay_apart", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			keys := hostileKeys()
			for batch := range slices.Chunk(keys, store.MaxWrites) {
				h.update(func(w store.WTx) error { return putAll(w, tab, batch) })
			}
			for _, k := range keys {
				h.want(tab, strings.Join(k, "|"), k...)
			}
			h.wantScan(tab, keys)
			for _, part := range hostile {
				below := slices.DeleteFunc(slices.Clone(keys), func(k store.Key) bool { return k[0] != part })
				h.wantScan(tab, below, part)
			}
		}
	}},
	{name: "prefix_matches_whole_parts", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			for _, k := range []store.Key{{"a"}, {"a", "b"}, {"a", "bc"}, {"a", "bc", "d"}, {"ab"}, {"b"}} {
				h.put(tab, "", k...)
			}
			h.wantScan(tab, []store.Key{{"a"}, {"a", "b"}, {"a", "bc"}, {"a", "bc", "d"}}, "a")
			h.wantScan(tab, []store.Key{{"a", "bc"}, {"a", "bc", "d"}}, "a", "bc")
			h.wantScan(tab, nil, "a", "c")
			h.wantScan(tab, []store.Key{{"ab"}}, "ab")
			h.wantScan(tab, nil, "abc")
		}
	}},
	{name: "scan_of_an_unknown_table_is_empty", test: func(h harness) {
		h.wantScan(store.Table{Name: "none"}, nil)
	}},
	{name: "scan_may_stop_early", test: func(h harness) {
		h.put(things, "", "a")
		h.put(things, "", "b")
		n := 0
		err := h.e.View(h.Context(), func(tx store.Tx) error {
			for range tx.Scan(things, nil) {
				n++
				break
			}
			return nil
		})
		if err != nil || n != 1 {
			h.Fatalf("%d records, %v", n, err)
		}
	}},
	{name: "scan_gives_values", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.put(tab, "v", "a")
			err := h.e.View(h.Context(), func(tx store.Tx) error {
				for r, err := range tx.Scan(tab, nil) {
					if err != nil || !bytes.Equal(r.Value, []byte("v")) {
						h.Errorf("value %q, %v", r.Value, err)
					}
				}
				return nil
			})
			if err != nil {
				h.Fatal(err)
			}
		}
	}},
}

// hostileKeys returns every key of one or two hostile parts, in order.
func hostileKeys() []store.Key {
	var keys []store.Key
	for _, a := range hostile {
		keys = append(keys, store.Key{a})
		for _, b := range hostile {
			keys = append(keys, store.Key{a, b})
		}
	}
	slices.SortFunc(keys, slices.Compare)
	return keys
}

func putAll(w store.WTx, tab store.Table, keys []store.Key) error {
	for _, k := range keys {
		if err := w.Put(tab, store.Record{Key: k, Value: []byte(strings.Join(k, "|"))}); err != nil {
			return err
		}
	}
	return nil
}
