package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// known makes what the cache keeps of a token, as examine does.
func known(t testing.TB, number int, payload string) *genuine {
	t.Helper()
	token, err := claims.Parse([]byte(payload))
	must(t, err)
	m := &jose.Message{Header: jose.Header{Alg: jose.ES256, KeyID: "k", HasKeyID: true}, Payload: []byte(payload)}
	g := newGenuine(m, token, &Issuer{}, origin{&jose.KeySet{}, 1}, 1)
	g.share(m.Payload)
	g.digest = digestOf(number)
	return g
}

func digestOf(number int) [sha256.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(number)))
}

// heap returns the bytes in use after a collection.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// many is how many tokens the tests of memory take: a million where all is tested, and fewer where a person waits.
func many() int {
	switch {
	case raceEnabled:
		return 20_000
	case os.Getenv("OIDCBOX_TEST_REQUIRE") != "":
		return 1_000_000
	}
	return 100_000
}

// TestMemoryOfAMillionTokens: whatever the tokens look like, the cache takes what it may and little more.
func TestMemoryOfAMillionTokens(t *testing.T) {
	const limit = 16 << 20
	for name, c := range map[string]struct {
		tokens  int
		payload func(i int) string
		least   int // tokens that must have found room
	}{
		"usual": {1_000_000, func(i int) string {
			return strings.Replace(benchPayload, "e1eb758b", fmt.Sprintf("%08x", i), 1)
		}, 4000},
		"smallest": {100_000, func(i int) string { return fmt.Sprintf(`{"sub":"%d","exp":1800003600}`, i) }, 8000},
		"many_scopes": {500, func(i int) string {
			return fmt.Sprintf(`{"exp":1800003600,"sub":"%d","scope":"%s"}`, i, strings.Repeat("a ", 9000))
		}, 30},
		"many_groups": {500, func(i int) string {
			return fmt.Sprintf(`{"exp":1800003600,"sub":"%d","wlcg.ver":"1.0","wlcg.groups":[%s"/z"]}`, i,
				strings.Repeat(`"/g",`, 5000))
		}, 30},
		"all_escaped": {2000, func(i int) string {
			return fmt.Sprintf(`{"exp":1800003600,"sub":"%d","aud":["%s"]}`, i, strings.Repeat(`\u00e9`, 3000))
		}, 200},
		"many_claims": {2000, func(i int) string {
			var b strings.Builder
			for j := range 900 {
				fmt.Fprintf(&b, `"c%d":1,`, j)
			}
			return fmt.Sprintf(`{%s"sub":"%d","exp":1800003600}`, b.String(), i)
		}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			c.tokens = min(c.tokens, many())
			before, cache := heap(), NewCache(limit)
			for i := range c.tokens {
				cache.put(known(t, i, c.payload(i)), time.Unix(1_555_060_000, 0))
			}
			st := cache.Stats()
			took := heap() - before
			t.Logf("%s, %d tokens: %d kept, %.1f MiB counted, %.1f MiB taken", name, c.tokens, st.Tokens,
				float64(st.Bytes)/(1<<20), float64(took)/(1<<20))
			if st.Bytes > limit || took > limit*5/4 {
				t.Errorf("%d bytes counted, %d taken, %d allowed", st.Bytes, took, limit)
			}
			if st.Tokens < c.least || int(st.Evicted)+st.Tokens != c.tokens {
				t.Errorf("%d of %d tokens kept, %d evicted", st.Tokens, c.tokens, st.Evicted)
			}
			runtime.KeepAlive(cache)
		})
	}
}

// TestMemoryOfAMillionRefusals goes the whole way: bad tokens, each another, leave nothing that grows.
func TestMemoryOfAMillionRefusals(t *testing.T) {
	n := many()
	v := verifier(t, func(c *Config) { c.Cache = NewCache(0) })
	before := heap()
	for i := range n {
		if _, err := v.Verify(t.Context(), fmt.Appendf(nil, "e30.e30.%012d", i)); err == nil {
			t.Fatal("accepted")
		}
	}
	if st := v.c.Cache.Stats(); st.Tokens != 0 || v.refused.count() > 2*denialMax || v.refused.count() < denialMax {
		t.Errorf("%+v, %d refusals", st, v.refused.count())
	}
	if took := heap() - before; took > 2<<20 {
		t.Errorf("%d bytes taken", took)
	}
	runtime.KeepAlive(v)
}

// TestCrowdDoesNotDriveOutThoseInUse: a hundred tokens in use, among a hundred thousand that are seen once.
func TestCrowdDoesNotDriveOutThoseInUse(t *testing.T) {
	cache := NewCache(4 << 20)
	const inUse = 100
	payload := `{"sub":"a","exp":1800003600}`
	for i := range inUse {
		cache.put(known(t, i, payload), now)
	}
	lost := 0
	for i := range 100_000 {
		cache.put(known(t, inUse+i, payload), now)
		digest := digestOf(i % inUse)
		if cache.get(&digest) == nil {
			lost++
			cache.put(known(t, i%inUse, payload), now)
		}
	}
	if st := cache.Stats(); lost > 2*inUse || st.Evicted < 50_000 {
		t.Errorf("%d times one in use was gone; %+v", lost, st)
	}
}

// TestExpiredTokensLeave: claims of people do not stay in memory long after they are of use.
func TestExpiredTokensLeave(t *testing.T) {
	cache := NewCache(0)
	payload := func(exp time.Time) string { return fmt.Sprintf(`{"sub":"a","exp":%d}`, exp.Unix()) }
	for i := range 1000 {
		cache.put(known(t, i, payload(now.Add(time.Minute))), now)
	}
	later := now.Add(2*time.Minute + MaxSkew)
	for i := range 2000 {
		cache.put(known(t, 1000+i, payload(later.Add(time.Hour))), later)
	}
	gone := 0
	for i := range 1000 {
		digest := digestOf(i)
		if cache.get(&digest) == nil {
			gone++
		}
	}
	if st := cache.Stats(); gone < 950 || st.Tokens != 3000-gone || st.Evicted != 0 {
		t.Errorf("%d of 1000 gone; %+v", gone, st)
	}
}

// TestCacheList holds the list, the map and the count together through every order of things.
func TestCacheList(t *testing.T) {
	s := shard{limit: 40 * known(t, 0, `{}`).cost, entries: map[[sha256.Size]byte]*genuine{}}
	state := uint64(1)
	random := func(n int) int {
		state = state*6364136223846793005 + 1442695040888963407
		return int(state>>33) % n
	}
	for range 20_000 {
		number, digest := random(80), [sha256.Size]byte{}
		digest = digestOf(number)
		switch random(3) {
		case 0:
			s.get(&digest)
		case 1:
			s.put(known(t, number, `{"exp":1800000000}`), now.Add(time.Duration(random(3))*MaxSkew))
		default:
			s.put(known(t, number, `{"exp":1800003600,"scope":"`+strings.Repeat("x ", random(40))+`"}`), now)
		}
		if err := s.sound(); err != nil {
			t.Fatal(err)
		}
	}
	if s.evicted == 0 || s.hits == 0 {
		t.Errorf("%d evicted, %d hits", s.evicted, s.hits)
	}
}

// sound reports what does not fit together.
func (s *shard) sound() error {
	sum, n, hand, broom := 0, 0, s.hand == nil, s.broom == nil
	var newer *genuine
	for e := s.newest; e != nil; e = e.place.older {
		if e.place.newer != newer || s.entries[e.digest] != e {
			return errors.New("the list is broken")
		}
		sum, n, hand, broom, newer = sum+e.cost, n+1, hand || s.hand == e, broom || s.broom == e, e
	}
	switch {
	case s.oldest != newer || n != len(s.entries):
		return fmt.Errorf("%d in the list, %d in the map", n, len(s.entries))
	case sum != s.bytes || sum > s.limit:
		return fmt.Errorf("%d bytes in the list, %d counted, %d allowed", sum, s.bytes, s.limit)
	case !hand || !broom:
		return errors.New("the hand or the broom is at an entry that has left")
	}
	return nil
}

// TestLargeTokenIsNotKept: what would push all others out of its part is verified each time instead.
func TestLargeTokenIsNotKept(t *testing.T) {
	cache := NewCache(shards * 4096)
	cache.put(known(t, 1, `{"sub":"`+strings.Repeat("a", 4096)+`"}`), now)
	if st := cache.Stats(); st.Tokens != 0 || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
}

// TestCachedRepeatAllocates no more than the lists that the caller gets for itself, in one piece.
func TestCachedRepeatAllocates(t *testing.T) {
	v := verifier(t, func(c *Config) { c.Cache = NewCache(0) })
	token := sign(t, testKey(t, jose.ES256), "", base(claims.WLCG).with("wlcg.groups", []string{"/a"}).with("scope", "x"))
	again := func() {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	again()
	if n := testing.AllocsPerRun(100, again); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
