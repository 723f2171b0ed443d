package pgstore

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/store"
)

// TestVersions: a step that adds lets old and new programs work side by side; one that changes what is there stops the
// old ones, those that run too.
func TestVersions(t *testing.T) {
	url, schema := server(t).URL(""), newSchema()
	adds := append(layout(), step{oldest: 1, sql: "alter table {s}.records add column more text"})
	changes := append(adds, step{oldest: 3, sql: "alter table {s}.records drop column more"})

	old := mustOpen(t, url, Options{Schema: schema})
	works := func(who string, e *Engine) {
		t.Helper()
		if err := e.Update(t.Context(), addOne); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
	works("old program, old tables", old)
	next := mustOpen(t, url, Options{Schema: schema, layout: adds})
	works("new program", next)
	works("old program that ran before", old)
	works("old program that starts now", mustOpen(t, url, Options{Schema: schema}))
	newest := mustOpen(t, url, Options{Schema: schema, layout: changes})
	works("newest program", newest)
	if err := next.Update(t.Context(), addOne); !errors.Is(err, store.ErrVersion) {
		t.Errorf("update by a program that is too old by now: %v", err)
	}
	if err := old.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrVersion) {
		t.Errorf("view by a program that is too old by now: %v", err)
	}
	if _, err := Open(t.Context(), text(url), Options{Schema: schema}); !errors.Is(err, store.ErrVersion) {
		t.Errorf("open by a program that is too old: %v", err)
	}
	wantCount(t, newest, 5, 5)
	sqlDo(t, "update "+schema+".meta set version = 0")
	if _, err := Open(t.Context(), text(url), Options{Schema: schema}); !errors.Is(err, store.ErrVersion) {
		t.Errorf("tables of a version that never was: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	url, schema := server(t).URL(""), newSchema()
	_, err := Open(t.Context(), text(url), Options{Schema: schema, MustExist: true})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("tables that are not there: %v", err)
	}
	mustOpen(t, url, Options{Schema: schema, Role: "one"})
	if _, err = Open(t.Context(), text(url), Options{Schema: schema, Role: "other"}); !errors.Is(err, store.ErrWrongRole) {
		t.Errorf("another role: %v", err)
	}
	sqlDo(t, "delete from "+schema+".meta")
	if _, err = Open(t.Context(), text(url), Options{Schema: schema, Role: "one"}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("no version: %v", err)
	}
	user := newSchema()
	sqlDo(t, "create user "+user)
	weak := strings.Replace(url, "user=oidcbox", "user="+user, 1)
	if _, err = Open(t.Context(), text(weak), Options{Schema: newSchema()}); !errors.Is(err, ErrRights) {
		t.Errorf("user without rights: %v", err)
	}
}

// TestNames: names are bytes, never SQL.
func TestNames(t *testing.T) {
	hostile := `"; drop table x; --` + "é"
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()[:8] + hostile})
	for _, name := range []string{"\x00", "a\x00b", "'; --", "\xff\xfe", `\x00`} {
		tab := store.Table{Name: name}
		key := store.Key{name, "\x00\x01", ""}
		err := e.Update(t.Context(), func(w store.WTx) error {
			if _, err := w.GetForUpdate(tab, key); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return w.Put(tab, store.Record{Key: key, Value: []byte(name)})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = e.View(t.Context(), func(tx store.Tx) error {
			r, err := tx.Get(tab, key)
			if err == nil && string(r.Value) != name {
				t.Errorf("table %q: %q", name, r.Value)
			}
			return err
		})
		if err != nil {
			t.Errorf("table %q: %v", name, err)
		}
		if l, err := e.Lease(t.Context(), name, 1<<40); err != nil || l.Name() != name {
			t.Errorf("lease %q: %v", name, err)
		}
	}
}

// TestDurable: an acknowledged change is on the disk, whatever the database's settings say.
func TestDurable(t *testing.T) {
	sqlDo(t, "alter database postgres set synchronous_commit = off")
	defer sqlDo(t, "alter database postgres reset synchronous_commit")
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()})
	err := e.update(t.Context(), func(tr *tx) error {
		var now string
		_, err := tr.ask(func(r row) error { return r.scan(&now) }, "show synchronous_commit")
		if err != nil || now != "on" {
			t.Errorf("synchronous_commit is %q, %v", now, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
