package provision

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/store"
)

// maxExternal bounds what a site's own source of names may propose.
const maxExternal = 64

// pool is how far a pool of names is used.
type pool struct {
	Version int `json:"v"`
	Last    int `json:"last"`
}

// choose finds a name for a new account that nobody has or had. The error is a *Rejection or a *Failure.
func (d *Desk) choose(ctx context.Context, p plan, avoid []string) (string, error) {
	candidates, err := d.candidates(ctx, p)
	if err != nil {
		return "", err
	}
	if front := d.o.Rules.Naming.Front; front != "" && d.o.Rules.Naming.Mode != External {
		candidates = fronted(candidates, front)
	}
	name, err := names.Choose(candidates, d.o.Rules.Limits, func(name string) (bool, error) {
		if slices.Contains(avoid, name) {
			return true, nil
		}
		return d.taken(ctx, p.subject.ID, name)
	})
	var none *names.NoNameError
	switch {
	case errors.As(err, &none):
		return "", &Rejection{Message: none.Message(), Err: err}
	case err != nil:
		return "", unread(err)
	}
	return name, nil
}

// taken asks the ledger first: it knows names of requests and of former accounts, and costs no question to a directory.
func (d *Desk) taken(ctx context.Context, id, name string) (bool, error) {
	owner, err := d.owner(ctx, name)
	if err != nil || owner != "" && owner != id {
		return true, err
	}
	holder, err := d.o.System.Holder(ctx, name)
	if err != nil {
		return true, fmt.Errorf("ask who has the name: %w", err)
	}
	return holder.Taken && holder.ID != id, nil
}

func (d *Desk) candidates(ctx context.Context, p plan) (iter.Seq[string], error) {
	n, s := d.o.Rules.Naming, p.subject
	switch n.Mode {
	case External:
		list, err := n.External.Names(ctx, s.Sub, s.Iss, s.Person)
		if err != nil {
			return nil, unread(fmt.Errorf("ask for names: %w", err))
		}
		return slices.Values(list[:min(len(list), maxExternal)]), nil
	case Pooled:
		made, err := names.NewPool(p.prefix(n), n.digits())
		if err != nil {
			return nil, &Rejection{Message: "There is no name for your account on this resource.", Err: err}
		}
		last, err := d.poolLast(ctx, p.prefix(n))
		if err != nil {
			return nil, unread(err)
		}
		return from(made.Propose(), last), nil
	case Friendly:
	}
	return names.Friendly{Shorten: n.Shorten}.Propose(s.Person), nil
}

// fronted puts a text before every name; those that get too long are left out.
func fronted(all iter.Seq[string], front string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range all {
			if len(front)+len(name) <= names.MaxLength && !yield(front+name) {
				return
			}
		}
	}
}

func (p plan) prefix(n Naming) string {
	prefix := n.Prefix
	if prefix == "" {
		prefix = p.primary
	}
	return prefix[:max(0, min(len(prefix), names.MaxLength-n.digits()-len(n.Front)))]
}

// from gives the names after the first n, and then those.
func from(all iter.Seq[string], n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		i := 0
		for name := range all {
			if i++; i > n && !yield(name) {
				return
			}
		}
		i = 0
		for name := range all {
			if i++; i > n || !yield(name) {
				return
			}
		}
	}
}

func (d *Desk) poolLast(ctx context.Context, prefix string) (last int, err error) {
	err = d.o.Store.View(ctx, func(tx store.Tx) error {
		row, _, err := get[pool](tx, tablePools, store.Key{prefix})
		last = row.Last
		return err
	})
	return last, err
}

// poolUsed notes the number in a name of a pool, so that the next one is not looked for from the beginning.
func (d *Desk) poolUsed(tx store.WTx, p plan, name string) error {
	n := d.o.Rules.Naming
	if n.Mode != Pooled || len(name) < n.digits() {
		return nil
	}
	last, err := strconv.Atoi(name[len(name)-n.digits():])
	if err != nil { // a name from before the pool
		return nil
	}
	return put(tx, tablePools, store.Key{p.prefix(n)}, pool{Version: recordVersion, Last: last})
}

func (p pool) version() int { return p.Version }
