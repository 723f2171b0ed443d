package verify

import (
	"bytes"
	"crypto/sha256"
	"sync"
	"time"
)

// DefaultCacheBytes is the size of a cache for which none is named: some thirty thousand tokens.
const DefaultCacheBytes = 64 << 20

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
		c.shards[i].entries = map[[sha256.Size]byte]*cached{}
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
	entries map[[sha256.Size]byte]*cached
	bytes   int
	limit   int

	newest, oldest *cached
	hand, broom    *cached // nil: at the oldest

	hits, misses, evicted uint64
}

type cached struct {
	g            *genuine
	used         bool
	newer, older *cached
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
	e.used = true
	return e.g
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
	e := &cached{g: g, older: s.newest}
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	s.entries[g.digest] = e
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
		if !e.used {
			break
		}
		e.used = false
		e = e.newer
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
		s.broom = e.newer
		if now.After(e.g.token.Expiry.Add(MaxSkew)) {
			s.remove(e)
		}
	}
}

func (s *shard) remove(e *cached) {
	if s.hand == e {
		s.hand = e.newer
	}
	if s.broom == e {
		s.broom = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	delete(s.entries, e.g.digest)
	s.bytes -= e.g.cost
}

// size estimates what g takes in memory, rather too much than too little: its payload, of which the claims are pieces,
// the members and lists that point into it, and what each entry costs by itself.
func (g *genuine) size(payload []byte) int {
	const (
		fixed  = 1024 // genuine, cached, their place in the map
		member = 64   // two strings, and as much room that append has left
		room   = 8    // members that the reader makes room for without asking: twice as many
		text   = 16
	)
	n := len(payload) + len(payload)/8 // memory comes in pieces of certain sizes
	if bytes.IndexByte(payload, '\\') >= 0 {
		n *= 2 // a string with escapes is written out beside the payload
	}
	lists := cap(g.token.Audience) + cap(g.token.Scopes) + cap(g.token.Groups)
	return fixed + n + member*max(g.token.All.Len(), room) + text*lists + len(g.header.KeyID)
}
