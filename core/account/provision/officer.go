package provision

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
	"github.com/oidcbox/oidcbox/store"
)

// Entry is what the ledger knows of an identity. State is the ledger's: [Desk.Status] asks the account system as well.
type Entry struct {
	ID    string      `json:"id"`
	Sub   string      `json:"sub"`
	Iss   string      `json:"iss"`
	Name  string      `json:"name,omitzero"`
	UID   uint32      `json:"uid,omitzero"`
	GID   uint32      `json:"gid,omitzero"`
	State state.State `json:"state"`
	// Former: there was an account, and its name and uid are kept for this identity.
	Former     bool           `json:"former,omitzero"`
	Suspended  *Mark          `json:"suspended,omitempty"`
	Limited    *Mark          `json:"limited,omitempty"`
	Rejected   *Mark          `json:"rejected,omitempty"`
	Unfinished state.Request  `json:"unfinished,omitzero"` // what the account system has not confirmed
	Person     backend.Person `json:"person,omitzero"`
	Primary    string         `json:"primary,omitzero"`
	Groups     []string       `json:"groups,omitempty"`
	Tier       backend.Tier   `json:"tier,omitzero"`
	VOs        []string       `json:"vos,omitempty"`
	VOsCut     bool           `json:"vos_cut,omitzero"` // there are more than are remembered
	Created    time.Time      `json:"created"`
	Changed    time.Time      `json:"changed"`
	Seen       time.Time      `json:"seen,omitzero"` // last deployment, to the day
	Request    *Request       `json:"request,omitempty"`
}

// Mark says who stopped an account, when and why.
type Mark struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitzero"`
	Reason string    `json:"reason,omitzero"`
	Job    string    `json:"job,omitzero"` // the bulk job
}

func (m *mark) public() *Mark {
	if m == nil {
		return nil
	}
	out := Mark(*m)
	return &out
}

func entry(a account, det details) Entry {
	e := Entry{
		ID: a.ID, Name: a.Name, UID: a.UID, GID: a.GID, State: a.facts().State(), Former: a.Had && a.Phase != made,
		Suspended: a.Suspended.public(), Limited: a.Limited.public(), Rejected: a.Rejected.public(),
		Person: det.Person, Primary: det.Primary, Groups: det.Groups, Tier: det.Tier, VOs: det.VOs, VOsCut: det.VOsCut,
		Created: a.Created, Changed: a.Changed, Seen: det.Seen,
	}
	e.Sub, e.Iss, _ = names.Decode(a.ID) // the ledger has no other
	if a.Op != nil {
		e.Unfinished = a.Op.Request
	}
	if a.Pending && det.Request != nil {
		r := det.Request.Request
		e.Request = &r
	}
	return e
}

// Filter chooses entries. The zero value chooses all.
type Filter struct {
	Issuer string
	VO     string // an entitlement, which those satisfy who have it or one below it; or a group
	State  state.State
	Name   string // local name, exactly
	Limit  int    // at most so many, 0 for all
}

// accounts yields every record.
func accounts(tx store.Tx) iter.Seq2[account, error] {
	return func(yield func(account, error) bool) {
		for r, err := range tx.Scan(table(tableAccounts), nil) {
			a, _, err := decode[account](r, err, tableAccounts)
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// List gives entries sorted by name and identity.
func (d *Desk) List(ctx context.Context, f Filter) ([]Entry, error) {
	var out []Entry
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		out = nil
		for a, err := range accounts(tx) {
			if err != nil {
				return err
			}
			if f.Name != "" && a.Name != f.Name || f.State != "" && a.facts().State() != f.State {
				continue
			}
			det, err := detailsOf(tx, a, a.ID)
			if err != nil {
				return err
			}
			e := entry(a, det)
			if f.Issuer != "" && e.Iss != f.Issuer || f.VO != "" && !e.member(f.VO) {
				continue
			}
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	sort.Slice(out, func(i, j int) bool {
		return slices.Compare([]string{out[i].Name, out[i].ID}, []string{out[j].Name, out[j].ID}) < 0
	})
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out, nil
}

// member reports whether the identity is or was known to be in vo.
func (e Entry) member(vo string) bool {
	required, err := entitlement.Parse(vo)
	if err != nil {
		return slices.Contains(e.VOs, vo)
	}
	return slices.ContainsFunc(e.VOs, func(text string) bool {
		has, err := entitlement.Parse(text)
		return err == nil && has.Satisfies(required, true)
	})
}

// Resolve returns the identity for a local name, or for itself. The error is ErrNoIdentity.
func (d *Desk) Resolve(ctx context.Context, idOrName string) (string, error) {
	if _, _, err := names.Decode(idOrName); err == nil {
		return idOrName, nil
	}
	id, err := d.owner(ctx, idOrName)
	if err == nil && id == "" {
		err = ErrNoIdentity
	}
	return id, err
}

// Show gives the entry of an identity or of a local name. The error is ErrNoIdentity.
func (d *Desk) Show(ctx context.Context, idOrName string) (Entry, error) {
	id, err := d.Resolve(ctx, idOrName)
	if err != nil {
		return Entry{}, err
	}
	a, det, err := d.read(ctx, id)
	switch {
	case err != nil:
		return Entry{}, err
	case !a.known():
		return Entry{}, ErrNoIdentity
	}
	return entry(a, det), nil
}
