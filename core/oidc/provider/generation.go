package provider

import (
	"bytes"
	"context"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Generation returns a number for the key set that Candidates would use for issuer now: as long as it is the same, so
// are the keys, and what they were once used to verify stays verified. A set that differs from the one before gets a
// number that was never given before, also after Drop; a refresh that brings the same keys keeps it. It is 0 when there
// is no set that may be used: nothing was fetched yet, it was dropped, or it is too old. As Set it starts a refresh in
// the background when that is due, because whoever remembers verdicts asks for nothing else. It never waits for the
// network.
func (k *Keys) Generation(issuer string) uint64 {
	found, ok := k.entries.Load(issuer)
	if !ok {
		return 0
	}
	e := found.(*entry)
	now, h := k.now(), e.held.Load()
	if !h.usable(now) {
		return 0
	}
	if !h.fresh(now) {
		_, _, _ = k.decide(context.Background(), e, ask{why: need}) // begins the refresh and waits for nothing
	}
	return h.generation
}

// generationOf numbers the keys in set, which take the place of old. The count is of the whole cache and not of the
// entry, so that an entry that was dropped and made anew never repeats a number.
func (k *Keys) generationOf(set *jose.KeySet, old *held) uint64 {
	if old != nil && sameKeys(old.set, set) {
		return old.generation
	}
	return k.generations.Add(1)
}

// sameKeys reports whether two sets hold the same keys with the same limits on their use, in the same order.
func sameKeys(a, b *jose.KeySet) bool {
	x, err := a.MarshalJSON()
	if err != nil {
		return false
	}
	y, err := b.MarshalJSON()
	return err == nil && bytes.Equal(x, y)
}
