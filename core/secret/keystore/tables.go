package keystore

import (
	"fmt"
	"strconv"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/clone"
)

// Rows of the plain table and of the inner table.
const (
	partHeader = "header"
	partRekey  = "rekey"
	partNames  = "names" // inner: the key that hides names of leases
	partTable  = "table" // inner: one row for each table, so that Rekey and Check find them all
)

// plainTable holds the header, and a mark while the data key changes.
func plainTable() store.Table { return store.Table{Name: "keystore", Plain: true} }

// innerTable is sealed like any other, and holds what the keystore itself needs to remember.
func innerTable() store.Table { return store.Table{Name: "keystore.inner"} }

func headerKey() store.Key { return store.Key{partHeader} }

// halfCopy is in the place of the header while a store is half a copy of another.
const halfCopy = "half a copy of a keystore\n"

// CopyMark is for store/clone: a keystore that is half a copy of another has no header that could be opened, and none
// can be created in its place.
func CopyMark() clone.Mark {
	return clone.Mark{Table: plainTable(), Key: headerKey(), Value: []byte(halfCopy)}
}

// physicalAt is the table that holds t's rows under the data key of an epoch. Plain tables have no epoch.
func physicalAt(t store.Table, epoch uint32) store.Table {
	if !t.Plain {
		t.Name += "@" + strconv.FormatUint(uint64(epoch), 10)
	}
	return t
}

func (k *Keystore) physical(t store.Table) store.Table { return physicalAt(t, k.era.epoch) }

// place is where a role's table lies. The keystore's own tables are out of its reach.
func (k *Keystore) place(t store.Table) (store.Table, error) {
	if t.Name == plainTable().Name || t.Name == innerTable().Name {
		return store.Table{}, fmt.Errorf("table name %q is taken: %w", t.Name, store.ErrKey)
	}
	if _, err := store.CheckPrefix(t, nil); err != nil {
		return store.Table{}, err
	}
	return k.physical(t), nil
}

// tableRecord is the row that remembers a table.
func tableRecord(t store.Table) store.Record {
	flags := byte(0)
	if t.HideKeys {
		flags = 1
	}
	return store.Record{Key: store.Key{partTable, t.Name}, Value: []byte{flags}}
}

func parseTable(r store.Record) (store.Table, error) {
	if len(r.Key) != 2 || len(r.Value) != 1 || r.Value[0] > 1 {
		return store.Table{}, fmt.Errorf("list of tables: %w", store.ErrCorrupt)
	}
	return store.Table{Name: r.Key[1], HideKeys: r.Value[0] == 1}, nil
}
