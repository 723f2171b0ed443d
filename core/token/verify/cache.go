package verify

import (
	"bytes"
	"crypto/sha256"
	"sync"
	"time"
)

// DefaultCacheBytes is the size of a cache for which none is named: nearly four thousand tokens in use at a time. A
// token that finds no room costs one check of its signature more; what has room is gone through by the collector of
// garbage now and then, and on a single processor answers are late meanwhile: with eight times as much it was seen in
// their 99th percentile.
const DefaultCacheBytes = 8 << 20

const (
	shards = 16
	// swept is how many old entries are looked at for each new one, to find those whose tokens have expired.
	swept = 2
)

// Cache keeps the claims of tokens whose signature was found right, by the SHA-256 of the token; never the token. What
// it keeps says nothing about time, audience or permission. It has a bound in bytes; what was used since it was last
// looked at stays longer than what was not, so that a crowd of tokens seen once does not drive out those in use.
type Cache struct{ shards [shards]shard }

// CacheStats is what a cache holds and did.
type CacheStats struct {
	Tokens, Bytes, Limit  int
	Hits, Misses, Evicted uint64
}

// NewCache returns an empty cache that takes about that many bytes at most; 0: DefaultCacheBytes.
func NewCache(bytes int) *Cache {
	if bytes <= 0 {
		bytes = DefaultCacheBytes
	}
	c := &Cache{}
	for i := range c.shards {
		c.shards[i].limit = bytes / shards
		c.shards[i].entries = map[[sha256.Size]byte]*genuine{}
	}
	return c
}

// Stats adds up all parts, one after the other.
func (c *Cache) Stats() CacheStats {
	var sum CacheStats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Tokens += len(s.entries)
		sum.Bytes += s.bytes
		sum.Limit += s.limit
		sum.Hits += s.hits
		sum.Misses += s.misses
		sum.Evicted += s.evicted
		s.mu.Unlock()
	}
	return sum
}

func (c *Cache) shard(digest *[sha256.Size]byte) *shard { return &c.shards[digest[0]%shards] }

func (c *Cache) get(digest *[sha256.Size]byte) *genuine { return c.shard(digest).get(digest) }

func (c *Cache) put(g *genuine, now time.Time) { c.shard(&g.digest).put(g, now) }

// shard is a part of the cache with a lock of its own. Its entries form a list from the newest to the oldest, and a
// hand goes through it from the old end and takes out what was not used since it came by (the algorithm SIEVE).
type shard struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]*genuine
	bytes   int
	limit   int

	newest, oldest *genuine
	hand, broom    *genuine // nil: at the oldest

	hits, misses, evicted uint64
}

// place is where an entry is in the list of its shard, guarded by its lock.
type place struct {
	used         bool
	newer, older *genuine
}

func (s *shard) get(digest *[sha256.Size]byte) *genuine {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[*digest]
	if e == nil {
		s.misses++
		return nil
	}
	s.hits++
	e.place.used = true
	return e
}

// put adds g, or puts it in the place of what was known of the same token.
func (s *shard) put(g *genuine, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[g.digest]; old != nil {
		s.remove(old)
	}
	s.sweep(now)
	if g.cost > s.limit {
		return
	}
	for s.bytes+g.cost > s.limit {
		s.evict()
	}
	g.place.older = s.newest
	if s.newest != nil {
		s.newest.place.newer = g
	} else {
		s.oldest = g
	}
	s.newest = g
	s.entries[g.digest] = g
	s.bytes += g.cost
}

// evict takes out the first entry from the hand on that was not used. Those it passes lose their mark, so it comes to
// an end within one round.
func (s *shard) evict() {
	e := s.hand
	for {
		if e == nil {
			e = s.oldest
		}
		if !e.place.used {
			break
		}
		e.place.used = false
		e = e.place.newer
	}
	s.hand = e
	s.remove(e)
	s.evicted++
}

// sweep looks at a few entries, always further on, and takes out those whose time is over beyond every leeway.
func (s *shard) sweep(now time.Time) {
	for range min(swept, len(s.entries)) {
		e := s.broom
		if e == nil {
			e = s.oldest
		}
		s.broom = e.place.newer
		if now.After(e.token.Expiry.Add(MaxSkew)) {
			s.remove(e)
		}
	}
}

func (s *shard) remove(e *genuine) {
	newer, older := e.place.newer, e.place.older
	if s.hand == e {
		s.hand = newer
	}
	if s.broom == e {
		s.broom = newer
	}
	if newer != nil {
		newer.place.older = older
	} else {
		s.newest = older
	}
	if older != nil {
		older.place.newer = newer
	} else {
		s.oldest = newer
	}
	e.place = place{} // whoever still uses e keeps no others in memory
	delete(s.entries, e.digest)
	s.bytes -= e.cost
}

// size estimates what g takes in memory, rather too much than too little: its payload, of which the claims are pieces,
// the members and lists that point into it, and what each entry costs by itself.
func (g *genuine) size(payload []byte) int {
	const (
		fixed  = 1024 // genuine and its place in the map
		member = 32   // two places, and as much room that append has left
		room   = 8    // members that the reader makes room for without asking: twice as many
		text   = 16
	)
	n := len(payload) + len(payload)/8 // memory comes in pieces of certain sizes
	if bytes.IndexByte(payload, '\\') >= 0 {
		n *= 2 // a string with escapes is written out beside the payload
	}
	return fixed + n + member*max(g.token.All.Len(), room) + text*len(g.lists) + len(g.header.KeyID)
}
