package clone_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/clone"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const rows = 700

func mark() clone.Mark {
	return clone.Mark{Table: store.Table{Name: "head", Plain: true}, Key: store.Key{"h"}, Value: []byte("half")}
}

func sealedTable(name string) store.Table { return store.Table{Name: name, Sealed: true} }

// fill writes a head and three tables, with keys and values as long as sealed ones may be.
func fill(t *testing.T, e store.Engine) {
	t.Helper()
	put(t, e, mark().Table, store.Record{Key: mark().Key, Value: []byte("header")})
	put(t, e, sealedTable("long"), store.Record{
		Key: store.Key{strings.Repeat("k", store.MaxKey+100)}, Value: make([]byte, store.MaxValue+100),
	})
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	put(t, e, sealedTable("ends"), store.Record{Key: store.Key{"a", "b\x00c"}, Value: []byte("v"), Expires: soon})
	put(t, e, sealedTable("ends"), store.Record{Key: store.Key{"at once"}, Expires: time.Now().Add(-time.Hour)})
	for i := 0; i < rows; i += 50 {
		err := e.Update(t.Context(), func(tx store.WTx) error {
			for j := range 50 {
				r := store.Record{Key: store.Key{"k", fmt.Sprint(i + j)}, Value: fmt.Append(nil, "value ", i+j)}
				if err := tx.Put(sealedTable("many"), r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, e store.Engine, tab store.Table, r store.Record) {
	t.Helper()
	if err := e.Update(t.Context(), func(tx store.WTx) error { return tx.Put(tab, r) }); err != nil {
		t.Fatal(err)
	}
}

// engines are how to get an empty one of each kind.
func engines(t *testing.T) map[string]func() clone.Engine {
	return map[string]func() clone.Engine{
		"memstore":  func() clone.Engine { return memstore.New() },
		"boltstore": func() clone.Engine { return bolt(t) },
		"pgstore":   func() clone.Engine { return postgres(t) },
	}
}

func bolt(t *testing.T) *boltstore.Engine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := boltstore.Open(t.Context(), filepath.Join(dir, "s"), boltstore.Options{Role: "r", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

var cluster struct {
	pg  *services.Postgres
	err error
}

func TestMain(m *testing.M) {
	cluster.pg, cluster.err = services.StartPostgreSQL()
	code := m.Run()
	if cluster.pg != nil {
		cluster.pg.Remove()
	}
	os.Exit(code)
}

func postgres(t *testing.T) *pgstore.Engine {
	t.Helper()
	if errors.Is(cluster.err, services.ErrNoPostgres) {
		services.Missing(t, cluster.err.Error())
	}
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	e, err := pgstore.Open(t.Context(), func() (string, error) { return cluster.pg.URL(""), nil }, pgstore.Options{
		Role: "r", Schema: "t" + strings.ToLower(rand.Text()), Connect: time.Minute, Statement: time.Minute, Patience: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func head(t *testing.T, e store.Engine) (v string) {
	t.Helper()
	err := e.View(t.Context(), func(tx store.Tx) error {
		r, err := tx.Get(mark().Table, mark().Key)
		v = string(r.Value)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return v
}

// From each engine to each other and back: the same records, byte for byte, and the same digest both times.
func TestCopy(t *testing.T) {
	for a, open := range engines(t) {
		for b, openTo := range engines(t) {
			t.Run(a+"_to_"+b, func(t *testing.T) {
				from, to, back := open(), openTo(), memstore.New()
				fill(t, from)
				var phases []clone.Phase
				told := func(p clone.Progress) {
					if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
						phases = append(phases, p.Phase)
					}
				}
				there, err := clone.Run(t.Context(), from, to, clone.Options{Mark: mark(), Progress: told})
				if err != nil {
					t.Fatal(err)
				}
				// With the head and without the record that had expired.
				if there.Records != rows+3 || there.Tables != 4 || there.Digest == [32]byte{} {
					t.Errorf("%+v", there)
				}
				if len(phases) < 1 || phases[0] != clone.Copying {
					t.Errorf("progress %q", phases)
				}
				again, err := clone.Run(t.Context(), to, back, clone.Options{Mark: mark()})
				if err != nil || again.Digest != there.Digest || again.Records != there.Records || again.Bytes != there.Bytes {
					t.Errorf("%+v, then %+v, %v", there, again, err)
				}
				if head(t, to) != "header" {
					t.Errorf("head is %q", head(t, to))
				}
			})
		}
	}
}

func TestRefuses(t *testing.T) {
	full := memstore.New()
	fill(t, full)
	strange, half := memstore.New(), memstore.New()
	put(t, strange, store.Table{Name: "other"}, store.Record{Key: store.Key{"k"}})
	put(t, half, mark().Table, store.Record{Key: mark().Key, Value: mark().Value})
	for name, tt := range map[string]struct {
		from, to clone.Engine
		want     error
	}{
		"target_is_full":         {full, full, clone.ErrNotEmpty},
		"target_has_a_row":       {full, strange, clone.ErrNotEmpty},
		"source_is_empty":        {memstore.New(), memstore.New(), clone.ErrNoSource},
		"source_has_no_head":     {strange, memstore.New(), clone.ErrNoSource},
		"source_is_half_a_copy":  {half, memstore.New(), clone.ErrNoSource},
		"source_closed_meanwhil": {closed(t), memstore.New(), store.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := tt.to.Tables(t.Context())
			if _, err := clone.Run(t.Context(), tt.from, tt.to, clone.Options{Mark: mark()}); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if after, _ := tt.to.Tables(t.Context()); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("the target has %q, had %q", after, before)
			}
		})
	}
}

func closed(t *testing.T) clone.Engine {
	t.Helper()
	e := memstore.New()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return e
}

var errDead = errors.New("the process has died")

// mortal fails for good from its n-th change on.
type mortal struct {
	clone.Engine
	left   int
	change func() // before each change
}

func (m *mortal) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if m.left--; m.left < 0 {
		return errDead
	}
	if m.change != nil {
		m.change()
	}
	return m.Engine.Update(ctx, fn, held...)
}

// A copy that dies at each of its changes leaves a target that says so, and the next one finishes; also when it dies
// while it clears, and when the source is another one by then.
func TestCopyIsRepeated(t *testing.T) {
	from := memstore.New()
	fill(t, from)
	changes := 0
	for n := 1; ; n++ {
		to := memstore.New()
		_, err := clone.Run(t.Context(), from, &mortal{Engine: to, left: n}, clone.Options{Mark: mark()})
		if err == nil {
			break
		}
		changes++
		if !errors.Is(err, errDead) || head(t, to) != "half" {
			t.Fatalf("%v, head is %q", err, head(t, to))
		}
		_, _ = clone.Run(t.Context(), from, &mortal{Engine: to, left: n / 2}, clone.Options{Mark: mark()})
		other := memstore.New()
		put(t, other, mark().Table, store.Record{Key: mark().Key, Value: []byte("other")})
		r, err := clone.Run(t.Context(), other, to, clone.Options{Mark: mark()})
		if err != nil || r.Records != 1 || head(t, to) != "other" {
			t.Fatalf("after %d changes: %+v, %v", n, r, err)
		}
	}
	if changes < 10 {
		t.Errorf("it died %d times: the test does not test", changes)
	}
}

// A source that is in use is found out: a record is changed, made or removed, or one of the target is.
func TestChangesMeanwhile(t *testing.T) {
	for name, what := range map[string]func(from, to *memstore.Engine){
		"changed": func(from, _ *memstore.Engine) {
			put(t, from, sealedTable("many"), store.Record{Key: store.Key{"k", "5"}, Value: []byte("new")})
		},
		"made": func(from, _ *memstore.Engine) {
			put(t, from, sealedTable("new"), store.Record{Key: store.Key{"k"}, Value: []byte("new")})
		},
		"removed": func(from, _ *memstore.Engine) {
			err := from.Update(t.Context(), func(tx store.WTx) error { return tx.Delete(sealedTable("many"), store.Key{"k", "699"}) })
			if err != nil {
				t.Fatal(err)
			}
		},
		"target": func(_, to *memstore.Engine) {
			put(t, to, sealedTable("many"), store.Record{Key: store.Key{"zzz"}})
		},
		"lives_longer": func(from, _ *memstore.Engine) {
			put(t, from, sealedTable("many"), store.Record{
				Key: store.Key{"k", "5"}, Value: []byte("value 5"), Expires: time.Now().Add(time.Hour),
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := memstore.New(), memstore.New()
			fill(t, from)
			n := 0
			m := &mortal{Engine: to, left: 1000, change: func() {
				if n++; n == 5 {
					what(from, to)
				}
			}}
			_, err := clone.Run(t.Context(), from, m, clone.Options{Mark: mark()})
			if _, differ := errors.AsType[*clone.DifferError](err); !differ || head(t, to) != "half" {
				t.Errorf("%v, head is %q", err, head(t, to))
			}
			if _, err := clone.Run(t.Context(), from, to, clone.Options{Mark: mark()}); err != nil || head(t, to) != "header" {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// What expires while it is copied may be missing.
func TestExpiresMeanwhile(t *testing.T) {
	ahead := time.Duration(0)
	now := func() time.Time { return time.Now().Add(ahead) }
	from, to := memstore.New(), memstore.NewAt(now)
	fill(t, from)
	n := 0
	m := &mortal{Engine: to, left: 1000, change: func() {
		if n++; n == 10 {
			ahead = 2 * time.Hour
		}
	}}
	r, err := clone.Run(t.Context(), from, m, clone.Options{Mark: mark(), Now: now})
	if err != nil || r.Records != rows+2 {
		t.Errorf("%+v, %v", r, err)
	}
}
