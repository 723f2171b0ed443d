package service

import (
	"container/list"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Bounds of the access-token cache. A client chooses scopes and audience freely, so without a bound it could make the
// agent grow.
const (
	maxCachedPerLogin = 64
	maxCached         = 1024
)

// cacheKey is what makes two requests want the same token. Lists are in the form of setOf. The serial tells a login
// from an earlier one of its name, whose refresh may still be under way.
type cacheKey struct {
	login, scope, audience string
	serial                 uint64
}

// token is an access token as it is handed out.
type token struct {
	access  secret.Text
	issuer  string
	scope   string    // what the provider said it granted; "" when it said nothing
	less    bool      // somebody chose that it has less than the login
	expires time.Time // zero: unknown
}

type cacheEntry struct {
	key     cacheKey
	sealed  vault.Sealed
	issuer  string
	scope   string
	less    bool
	expires time.Time
}

// cache keeps access tokens sealed until they expire; the one used longest ago goes first when it is full.
type cache struct {
	vault *vault.Vault
	now   func() time.Time

	mu    sync.Mutex
	rows  map[cacheKey]*list.Element
	order *list.List // front: used last
	count map[string]int
}

func newCache(v *vault.Vault, now func() time.Time) *cache {
	return &cache{
		vault: v, now: now,
		rows: make(map[cacheKey]*list.Element), order: list.New(), count: make(map[string]int),
	}
}

// get returns a token that is valid for longer than minValid. The caller wipes it.
func (c *cache) get(k cacheKey, minValid time.Duration) (token, bool) {
	e, ok := c.find(k, minValid)
	if !ok {
		return token{}, false
	}
	access, err := c.vault.Open(e.sealed)
	if err != nil {
		// Nothing is lost: a token that does not open is fetched again.
		c.drop(k)
		return token{}, false
	}
	return token{access: access, issuer: e.issuer, scope: e.scope, less: e.less, expires: e.expires}, true
}

func (c *cache) find(k cacheKey, minValid time.Duration) (cacheEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.rows[k]
	if !ok {
		return cacheEntry{}, false
	}
	e := el.Value.(cacheEntry)
	left := remaining(e.expires, c.now())
	if left <= 0 {
		c.remove(el)
		return cacheEntry{}, false
	}
	if left <= minValid {
		return cacheEntry{}, false
	}
	c.order.MoveToFront(el)
	return e, true
}

// latest is when the last token of a login that is at hand expires, zero when there is none.
func (c *cache) latest(login string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last time.Time
	for el := c.order.Front(); el != nil; el = el.Next() {
		if e := el.Value.(cacheEntry); e.key.login == login && e.expires.After(last) {
			last = e.expires
		}
	}
	if remaining(last, c.now()) <= 0 {
		return time.Time{}
	}
	return last
}

// put keeps t, unless its expiry is unknown: such a token may be dead at any time.
func (c *cache) put(k cacheKey, t token) {
	if t.expires.IsZero() || remaining(t.expires, c.now()) <= 0 {
		return
	}
	sealed, err := c.vault.Seal(t.access)
	if err != nil {
		return // an uncached token costs a refresh, nothing more
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.rows[k]; ok {
		c.remove(el)
	}
	if c.count[k.login] >= maxCachedPerLogin {
		c.removeOldest(func(e cacheEntry) bool { return e.key.login == k.login })
	}
	if c.order.Len() >= maxCached {
		c.removeOldest(func(cacheEntry) bool { return true })
	}
	c.rows[k] = c.order.PushFront(cacheEntry{
		key: k, sealed: sealed, issuer: t.issuer, scope: t.scope, less: t.less, expires: t.expires,
	})
	c.count[k.login]++
}

func (c *cache) drop(k cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.rows[k]; ok {
		c.remove(el)
	}
}

// forget drops every token of a login.
func (c *cache) forget(login string) {
	c.dropIf(func(e cacheEntry) bool { return e.key.login == login })
}

func (c *cache) clear() { c.dropIf(func(cacheEntry) bool { return true }) }

// sweep drops what has expired.
func (c *cache) sweep() {
	now := c.now()
	c.dropIf(func(e cacheEntry) bool { return remaining(e.expires, now) <= 0 })
}

func (c *cache) dropIf(match func(cacheEntry) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for el := c.order.Front(); el != nil; {
		next := el.Next()
		if match(el.Value.(cacheEntry)) {
			c.remove(el)
		}
		el = next
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

func (c *cache) removeOldest(match func(cacheEntry) bool) {
	for el := c.order.Back(); el != nil; el = el.Prev() {
		if match(el.Value.(cacheEntry)) {
			c.remove(el)
			return
		}
	}
}

func (c *cache) remove(el *list.Element) {
	e := c.order.Remove(el).(cacheEntry)
	delete(c.rows, e.key)
	if c.count[e.key.login]--; c.count[e.key.login] == 0 {
		delete(c.count, e.key.login)
	}
}
