package boltstore

import (
	"bytes"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// changes are the writes of one update before they are applied: by bucket, by key; a nil value deletes. The nil
// pointer is an empty set.
type changes struct {
	buckets map[string]map[string][]byte
}

func (c *changes) empty() bool { return c == nil || len(c.buckets) == 0 }

func (c *changes) set(bucket string, key, raw []byte) {
	if c.buckets == nil {
		c.buckets = map[string]map[string][]byte{}
	}
	if c.buckets[bucket] == nil {
		c.buckets[bucket] = map[string][]byte{}
	}
	c.buckets[bucket][string(key)] = raw
}

// get returns a copy of a changed value, and whether there is a change at all.
func (c *changes) get(bucket string, key []byte) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	raw, ok := c.buckets[bucket][string(key)]
	return bytes.Clone(raw), ok
}

// below returns copies of the changes of a bucket below prefix in order of keys, deletions as nil.
func (c *changes) below(bucket string, prefix []byte) []entry {
	if c == nil {
		return nil
	}
	var all []entry
	for k, raw := range c.buckets[bucket] {
		if strings.HasPrefix(k, string(prefix)) {
			all = append(all, entry{key: []byte(k), raw: bytes.Clone(raw)})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	return all
}

// apply writes everything into a transaction.
func (c *changes) apply(t *bolt.Tx) error {
	for name, rows := range c.buckets {
		b, err := t.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		for k, raw := range rows {
			if raw == nil {
				err = b.Delete([]byte(k))
			} else {
				err = b.Put([]byte(k), raw)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
