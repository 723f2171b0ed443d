package custody

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Learn takes over what another keeper knows of replaced refresh tokens of the login id, which has moved from there: its
// tokens are replaced here too, except the one that is current here. A login that the other one does not know teaches
// nothing. It fails with ErrUnknownLogin when the login is not here.
func (k *Keeper) Learn(ctx context.Context, id string, from *Keeper) error {
	other, err := from.load(ctx, id)
	if errors.Is(err, ErrUnknownLogin) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("learn of replaced refresh tokens of %s: %w", id, err)
	}
	defer other.wipe()
	err = k.change(ctx, id, func(rec *record) error { rec.learn(other); return nil })
	if err != nil {
		return fmt.Errorf("learn of replaced refresh tokens of %s: %w", id, err)
	}
	return nil
}

// learn notes the tokens of another record of the same login as replaced, its own ones excepted.
func (r *record) learn(other *record) {
	outside, inside := slices.Clone(other.OldOutside), slices.Clone(other.OldInside)
	if other.Outside {
		outside = outside.with(hashOf(other.RT))
	} else {
		inside = inside.with(hashOf(other.RT))
	}
	for _, t := range other.Spares {
		inside = inside.with(hashOf(t))
	}
	current := func(h hash) bool { return h == hashOf(r.RT) || r.isSpare(h) }
	for _, h := range slices.Backward(outside) {
		if !current(h) {
			r.OldOutside = r.OldOutside.with(h)
		}
	}
	for _, h := range slices.Backward(inside) {
		if !current(h) && !slices.Contains(r.OldOutside, h) {
			r.OldInside = r.OldInside.with(h)
		}
	}
}
