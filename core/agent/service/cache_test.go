package service

import (
	"fmt"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

func newTestCache(t *testing.T) *cache {
	t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return newCache(v, time.Now)
}

func keyNo(login string, n int) cacheKey { return cacheKey{login: login, scope: fmt.Sprint("s", n)} }

func (c *cache) fill(login string, from, to int) {
	for n := from; n < to; n++ {
		c.put(keyNo(login, n), token{access: secret.FromString("at"), expires: time.Now().Add(time.Hour)})
	}
}

func (c *cache) has(k cacheKey) bool {
	t, ok := c.get(k, 0)
	t.access.Wipe()
	return ok
}

// TestCacheBounds: whoever asks for ever new scopes or audiences makes nothing grow, and takes no other login's place.
func TestCacheBounds(t *testing.T) {
	c := newTestCache(t)
	c.fill("quiet", 0, 1)
	c.fill("greedy", 0, maxCachedPerLogin)
	if !c.has(keyNo("greedy", 0)) { // used now: the next to go is number 1
		t.Fatal("the first token is gone before there were too many")
	}
	c.fill("greedy", maxCachedPerLogin, maxCachedPerLogin+1)
	for n, want := range map[int]bool{0: true, 1: false, 2: true, maxCachedPerLogin: true} {
		if got := c.has(keyNo("greedy", n)); got != want {
			t.Errorf("token %d is there: %v", n, got)
		}
	}
	if n := c.len(); n != maxCachedPerLogin+1 || !c.has(keyNo("quiet", 0)) {
		t.Errorf("%d tokens", n)
	}
	for n := range 3 * maxCached / maxCachedPerLogin {
		c.fill(fmt.Sprint("login", n), 0, maxCachedPerLogin)
	}
	if n := c.len(); n != maxCached {
		t.Errorf("%d tokens in all", n)
	}
	c.forget("login47")
	if c.has(keyNo("login47", 5)) || len(c.rows) != c.len() {
		t.Error("a login was not forgotten")
	}
}

func TestCacheUnknownExpiry(t *testing.T) {
	c := newTestCache(t)
	c.put(keyNo("a", 0), token{access: secret.FromString("at")})
	c.put(keyNo("a", 1), token{access: secret.FromString("at"), expires: time.Now().Add(-time.Second)})
	if c.len() != 0 {
		t.Errorf("%d tokens whose life nobody knows, or that are dead", c.len())
	}
}
