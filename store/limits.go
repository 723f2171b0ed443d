package store

import (
	"fmt"
	"time"
)

// Limits of the contract.
const (
	// MaxParts is how many parts a key may have.
	MaxParts = 16
	// MaxKey is the longest encoded key in bytes: the parts, one byte for each part, and one more for each byte of a
	// part that is 0x00 or 0x01.
	MaxKey = 512
	// MaxValue is the longest value in bytes.
	MaxValue = 64 << 10
	// MaxWrites is how many Put and Delete calls one Update may make.
	MaxWrites = 64
	// MaxTable is the longest name of a table, and of a lease, in bytes.
	MaxTable = 128
	// MaxSealing is what store/sealed may add to a key and to a value of a table that it marked as Sealed.
	MaxSealing = 1 << 10
)

// CheckKey returns the encoded key, or ErrKey for a table or key without a name and ErrTooLarge above the limits.
// Engines call it for every key they are given.
func CheckKey(t Table, k Key) ([]byte, error) {
	if len(k) == 0 {
		return nil, fmt.Errorf("table %q: key has no part: %w", t.Name, ErrKey)
	}
	return CheckPrefix(t, k)
}

// CheckPrefix is CheckKey for the prefix of a Scan, which may have no part at all.
func CheckPrefix(t Table, k Key) ([]byte, error) {
	if t.Name == "" {
		return nil, fmt.Errorf("table has no name: %w", ErrKey)
	}
	if len(t.Name) > MaxTable {
		return nil, fmt.Errorf("table name of %d bytes, limit %d: %w", len(t.Name), MaxTable, ErrTooLarge)
	}
	if len(k) > MaxParts {
		return nil, fmt.Errorf("table %q: key of %d parts, limit %d: %w", t.Name, len(k), MaxParts, ErrTooLarge)
	}
	b := k.Encode()
	if limit := t.room(MaxKey); len(b) > limit {
		return nil, fmt.Errorf("table %q: key of %d bytes, limit %d: %w", t.Name, len(b), limit, ErrTooLarge)
	}
	return b, nil
}

// CheckValue returns ErrTooLarge for a value above the limit. Engines call it in Put.
func CheckValue(t Table, value []byte) error {
	if limit := t.room(MaxValue); len(value) > limit {
		return fmt.Errorf("table %q: value of %d bytes, limit %d: %w", t.Name, len(value), limit, ErrTooLarge)
	}
	return nil
}

// CheckWrites returns ErrTooLarge for the nth write of an Update when that is one too many. Engines call it in Put and
// Delete.
func CheckWrites(n int) error {
	if n > MaxWrites {
		return fmt.Errorf("more than %d writes in one update: %w", MaxWrites, ErrTooLarge)
	}
	return nil
}

// CheckLeaseName returns ErrKey for an empty name and ErrTooLarge for one above MaxTable bytes.
func CheckLeaseName(name string) error {
	if name == "" {
		return fmt.Errorf("lease has no name: %w", ErrKey)
	}
	if len(name) > MaxTable {
		return fmt.Errorf("lease name of %d bytes, limit %d: %w", len(name), MaxTable, ErrTooLarge)
	}
	return nil
}

func (t Table) room(limit int) int {
	if t.Sealed {
		return limit + MaxSealing
	}
	return limit
}

// Millis returns an expiry as engines keep it: milliseconds since 1970, 0 for never. A time that would give 0 or less
// becomes 1, so that what expired long ago never turns into what never expires.
func Millis(expires time.Time) int64 {
	if expires.IsZero() {
		return 0
	}
	return max(expires.UnixMilli(), 1)
}

// FromMillis reverses Millis, in UTC.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Expired reports whether a record or lease with this Millis value is over at now. At the very millisecond it is.
func Expired(ms int64, now time.Time) bool {
	return ms != 0 && now.UnixMilli() >= ms
}
