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
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[issuer]
	if e == nil || e.set == nil {
		return 0
	}
	now := k.now()
	if !now.Before(e.expires) {
		return 0
	}
	if !now.Before(e.refreshAt) && !now.Before(e.retryAt) && e.flight == nil {
		k.start(context.Background(), issuer, e)
	}
	return e.generation
}

// replace puts set in the place of the one before; k.mu is held. The count is of the whole cache and not of the entry,
// so that an entry that was dropped and made anew never repeats a number.
func (k *Keys) replace(e *entry, set *jose.KeySet) {
	if e.set == nil || !sameKeys(e.set, set) {
		k.changes++
		e.generation = k.changes
	}
	e.set = set
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
