package provision

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// nodeLife is how long a node counts that is not heard of.
const nodeLife = 24 * time.Hour

// Node is a machine that works on this ledger.
type Node struct {
	ID    string    `json:"id"`             // of the machine: machine-id
	Name  string    `json:"name"`           // host name
	Local bool      `json:"local,omitzero"` // accounts are made in its own /etc/passwd
	Seen  time.Time `json:"seen"`
}

type nodeRecord struct {
	Version int `json:"v"`
	Node
}

// Announce notes that a node works on this ledger, for a day, and returns all that do, sorted by name. Where two of
// them have Local set, one user has different uids, and groups, on each: [SeveralLocal] is what to say about it.
func (d *Desk) Announce(ctx context.Context, n Node) ([]Node, error) {
	n.Seen = d.now()
	n.ID, n.Name = bounded(n.ID), bounded(n.Name)
	err := d.o.Store.Update(ctx, func(tx store.WTx) error {
		return putUntil(tx, tableNodes, store.Key{n.ID}, nodeRecord{Version: recordVersion, Node: n}, n.Seen.Add(nodeLife))
	})
	if err != nil {
		return nil, fmt.Errorf("write the ledger: %w", err)
	}
	var all []Node
	err = d.o.Store.View(ctx, func(tx store.Tx) error {
		all = nil
		for r, err := range tx.Scan(table(tableNodes), nil) {
			row, _, err := decode[nodeRecord](r, err, tableNodes)
			if err != nil {
				return err
			}
			all = append(all, row.Node)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name+"\x00"+all[i].ID < all[j].Name+"\x00"+all[j].ID })
	return all, nil
}

// SeveralLocal is the warning for nodes that each keep accounts of their own, "" when at most one does.
func SeveralLocal(nodes []Node) string {
	var local []string
	for _, n := range nodes {
		if n.Local {
			local = append(local, n.Name)
		}
	}
	if len(local) < 2 {
		return ""
	}
	return "accounts are kept in /etc/passwd of several nodes (" + strings.Join(local, ", ") + "): an account exists on " +
		"the node only that made it, and uids differ. Use a directory (LDAP), or one node that makes accounts"
}

func (n nodeRecord) version() int { return n.Version }
