package verify_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// The whole attack set goes through a cache three times (see judge). Here are the attacks on the cache itself: a token
// that was accepted is presented again after something has changed, and must be refused, and the other way round.

// keyring is a source of keys that the test changes.
type keyring struct {
	mu         sync.Mutex
	set        *jose.KeySet
	generation uint64
	err        error
	asked      int
	during     func() // while Candidates is at work, without the lock
}

func (r *keyring) Candidates(_ context.Context, _ string, h jose.Header) ([]*jose.PublicKey, error) {
	r.mu.Lock()
	r.asked++
	set, err, during := r.set, r.err, r.during
	r.mu.Unlock()
	if during != nil {
		during()
	}
	return set.Candidates(h), err
}

func (r *keyring) Generation(string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation
}

func (r *keyring) turn(f *forge, generation uint64, keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set, r.generation = f.keySet(keys...), generation
}

func (f *forge) keySet(keys ...string) *jose.KeySet {
	var list []string
	for _, k := range keys {
		if !strings.HasPrefix(k, "{") {
			k = f.public[k]
		}
		list = append(list, k)
	}
	set, skipped, err := jose.ParseKeySet([]byte(`{"keys":[` + strings.Join(list, ",") + `]}`))
	if err != nil || len(skipped) > 0 {
		panic(fmt.Sprint(err, skipped))
	}
	return set
}

// scene is a verifier with a cache, and all that can be changed behind its back.
type scene struct {
	*forge
	v     *verify.Verifier
	c     verify.Config
	keys  *keyring
	ahead time.Duration
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{forge: newForge(t), keys: &keyring{}}
	s.keys.turn(s.forge, 7, "e1", "r1", "d1")
	s.c = verify.Config{
		Issuers: []verify.Issuer{{URL: atkIssuer}}, Audiences: []string{atkAud}, Keys: s.keys, Cache: verify.NewCache(0),
		Now: func() time.Time { return time.Unix(atkNow, 0).Add(s.ahead) },
	}
	s.reload(t, nil)
	return s
}

// reload makes a new verifier that takes the cache over.
func (s *scene) reload(t *testing.T, change func(*verify.Config)) {
	t.Helper()
	s.c.Issuers = slices.Clone(s.c.Issuers)
	if change != nil {
		change(&s.c)
	}
	v, err := verify.New(s.c)
	if err != nil {
		t.Fatal(err)
	}
	s.v = v
}

func (s *scene) verify(token string) error {
	_, err := s.v.Verify(context.Background(), []byte(token))
	return err
}

// TestYesThatMustBecomeNo presents a token that was accepted twice, so that it is remembered, after a change.
func TestYesThatMustBecomeNo(t *testing.T) {
	t.Parallel()
	narrow := time.Duration(0)
	for _, c := range []struct {
		name   string
		token  attempt
		change func(t *testing.T, s *scene)
		want   string
	}{
		{"expired between two calls", attempt{}, func(_ *testing.T, s *scene) { s.ahead = 660 * time.Second }, "time"},
		{"WLCG expired between two calls", attempt{base: "wlcg"}, func(_ *testing.T, s *scene) {
			s.ahead = 600 * time.Second
		}, "time"},
		{"the clock was set back before its nbf", attempt{base: "wlcg"}, func(_ *testing.T, s *scene) {
			s.ahead = -3 * time.Minute
		}, "time"},
		{"key rotated away", attempt{}, func(_ *testing.T, s *scene) { s.keys.turn(s.forge, 8, "r1", "d1") }, "key"},
		{"another key under its kid", attempt{}, func(_ *testing.T, s *scene) {
			s.keys.turn(s.forge, 8, s.jwk("e2", "e1", ""))
		}, "signature"},
		{"its key is for encryption now", attempt{}, func(_ *testing.T, s *scene) {
			set, _, err := jose.ParseKeySet([]byte(`{"keys":[` + s.jwk("e1", "e1", `,"use":"enc"`) + `]}`))
			s.keys.set, s.keys.generation = set, 8
			if err != nil {
				panic(err)
			}
		}, "key"},
		{"keys dropped, issuer down", attempt{}, func(_ *testing.T, s *scene) {
			s.keys.generation, s.keys.err = 0, downError{}
		}, "unavailable"},
		{"keys changed, issuer down", attempt{}, func(_ *testing.T, s *scene) {
			s.keys.generation, s.keys.err = 8, downError{}
		}, "unavailable"},
		{"issuer dropped", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].URL = atkOther })
		}, "issuer"},
		{"issuer has other static keys now", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].Keys = s.keySet("r1") })
		}, "key"},
		{"another source whose set has the same number", attempt{}, func(t *testing.T, s *scene) {
			other := &keyring{}
			other.turn(s.forge, 7, "r1")
			s.reload(t, func(c *verify.Config) { c.Keys = other })
		}, "key"},
		{"algorithms narrowed", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].Algs = []jose.Alg{jose.RS256} })
		}, "alg"},
		{"profiles narrowed", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].Profiles = []claims.Profile{claims.WLCG} })
		}, "profile"},
		{"skew taken away", attempt{body: []string{fmt.Sprintf("exp=%d", atkNow-30)}}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].Skew = &narrow })
		}, "time"},
		{"lifetime limited", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].MaxLifetime = time.Minute })
		}, "time"},
		{"audience taken away", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Audiences = []string{"https://else.example.org"} })
		}, "audience"},
		{
			"tokens for everybody no longer taken",
			attempt{base: "wlcg", body: []string{`aud="` + claims.AnyWLCG + `"`}},
			func(t *testing.T, s *scene) {
				s.reload(t, func(c *verify.Config) { c.Audiences = []string{atkAud} })
			}, "audience",
		},
		{"shorter tokens only", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.MaxToken = 100 })
		}, "size"},
		{"a generic token read as a SciToken", attempt{}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].Profiles = []claims.Profile{claims.SciTokens} })
		}, "claim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.reload(t, func(c *verify.Config) { c.Audiences = append(c.Audiences, claims.AnyWLCG) })
			token := s.make(c.token)
			for range 2 {
				if err := s.verify(token); err != nil {
					t.Fatalf("before: %v", err)
				}
			}
			if st := s.c.Cache.Stats(); st.Tokens != 1 || st.Hits != 1 || s.keys.asked != 1 {
				t.Fatalf("it was not remembered: %+v, keys were asked for %d times", st, s.keys.asked)
			}
			c.change(t, s)
			for range 2 {
				if got := refusalClass(s.verify(token)); got != c.want {
					t.Errorf("after: %q, wanted is %q", got, c.want)
				}
			}
		})
	}
}

// TestNoThatMustBecomeYes: what is refused for now is not refused for good.
func TestNoThatMustBecomeYes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		token  attempt
		before func(s *scene)
		after  func(t *testing.T, s *scene)
		want   string
	}{
		{"its key arrives", attempt{}, func(s *scene) { s.keys.turn(s.forge, 3, "r1") }, func(_ *testing.T, s *scene) {
			s.keys.turn(s.forge, 4, "r1", "e1")
		}, "key"},
		{"the issuer is up again", attempt{}, func(s *scene) {
			s.keys.err, s.keys.generation = downError{}, 0
		}, func(_ *testing.T, s *scene) { s.keys.err, s.keys.generation = nil, 1 }, "unavailable"},
		{
			"its time comes",
			attempt{body: []string{fmt.Sprintf("nbf=%d", atkNow+61)}},
			nil,
			func(_ *testing.T, s *scene) { s.ahead = time.Second }, "time",
		},
		{"its issuer is trusted from now on", attempt{}, func(s *scene) {
			s.c.Issuers[0].URL = atkOther
		}, func(t *testing.T, s *scene) {
			s.reload(t, func(c *verify.Config) { c.Issuers[0].URL = atkIssuer })
		}, "issuer"},
		{"a refusal by the same keys is forgotten", attempt{}, func(s *scene) {
			s.keys.turn(s.forge, 3, "r1")
		}, func(_ *testing.T, s *scene) {
			s.keys.turn(s.forge, 3, "r1", "e1") // a fetch for an unknown kid is due again
			s.ahead = 5 * time.Second
		}, "key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			if c.before != nil {
				c.before(s)
				s.reload(t, nil)
			}
			token := s.make(c.token)
			for range 3 {
				if got := refusalClass(s.verify(token)); got != c.want {
					t.Fatalf("before: %q, wanted is %q", got, c.want)
				}
			}
			c.after(t, s)
			if err := s.verify(token); err != nil {
				t.Errorf("after: %v", err)
			}
		})
	}
}

// TestRefusalsAreRemembered: the same bad token again and again costs no key and no signature.
func TestRefusalsAreRemembered(t *testing.T) {
	s := newScene(t)
	bad := s.make(attempt{key: "evil", kid: "e1"})
	for range 100 {
		if got := refusalClass(s.verify(bad)); got != "signature" {
			t.Fatal(got)
		}
	}
	if s.keys.asked != 1 {
		t.Errorf("keys were asked for %d times", s.keys.asked)
	}
	s.ahead = 6 * time.Second
	if got := refusalClass(s.verify(bad)); got != "signature" || s.keys.asked != 2 {
		t.Errorf("later: %q, keys were asked for %d times", got, s.keys.asked)
	}
	if n := s.c.Cache.Stats().Tokens; n != 0 {
		t.Errorf("%d refused tokens lie among the good ones", n)
	}
}

// TestAudienceOfEachCall: one verifier, several services. What one may see is no business of the other.
func TestAudienceOfEachCall(t *testing.T) {
	s := newScene(t)
	s.reload(t, func(c *verify.Config) { c.Audiences, c.AudiencesPerCall = nil, true })
	generic, old := s.make(attempt{}), s.make(attempt{base: "scitokens", body: []string{`ver="scitokens:1.0"`, "aud="}})
	noName := s.make(attempt{body: []string{`aud=["","x"]`}})
	everybody := s.make(attempt{base: "wlcg", body: []string{`aud="` + claims.AnyWLCG + `"`}})
	for range 3 {
		for _, c := range []struct {
			token     string
			audiences []string
			want      string
		}{
			{generic, []string{atkAud}, ""},
			{generic, []string{"https://else.example.org"}, "audience"},
			{generic, []string{"https://else.example.org", atkAud}, ""},
			{generic, nil, "audience"},
			{generic, []string{}, "audience"},
			{generic, []string{""}, "audience"},
			{noName, []string{""}, "audience"},
			{old, []string{atkAud}, ""},
			{old, nil, "audience"},
			{everybody, []string{atkAud}, "audience"},
			{everybody, []string{atkAud, claims.AnyWLCG}, ""},
		} {
			_, err := s.v.VerifyFor(t.Context(), []byte(c.token), verify.Check{Audiences: c.audiences})
			if got := refusalClass(err); got != c.want {
				t.Errorf("%v: %q, wanted is %q", c.audiences, got, c.want)
			}
		}
	}
	if got := refusalClass(s.verify(generic)); got != "audience" {
		t.Errorf("without any: %q", got)
	}
	s.reload(t, func(c *verify.Config) { c.Audiences, c.AudiencesPerCall = []string{atkAud}, false })
	_, err := s.v.VerifyFor(t.Context(), []byte(generic), verify.Check{Audiences: []string{"https://else.example.org"}})
	if got := refusalClass(err); got != "audience" {
		t.Errorf("the service's own name counts beside that of the whole: %q", got)
	}
}

// TestChangedByteOfARememberedToken: whatever differs is another token.
func TestChangedByteOfARememberedToken(t *testing.T) {
	s := newScene(t)
	token := s.make(attempt{})
	if err := s.verify(token); err != nil {
		t.Fatal(err)
	}
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		if err := s.verify(string(changed)); err == nil {
			t.Fatalf("accepted with another byte %d", i)
		}
	}
}

// TestKeysThatChangeDuringACheck: a verdict by the old keys must not count for the new ones.
func TestKeysThatChangeDuringACheck(t *testing.T) {
	s := newScene(t)
	token := s.make(attempt{})
	s.keys.during = func() { s.keys.turn(s.forge, 8, "r1") }
	if err := s.verify(token); err != nil { // the old keys were at hand when it came
		t.Fatal(err)
	}
	s.keys.during = nil
	for range 2 {
		if got := refusalClass(s.verify(token)); got != "key" {
			t.Errorf("accepted by keys that are gone: %q", got)
		}
	}
}

// TestRememberedClaimsAreNobodysToChange: a caller gets lists of its own.
func TestRememberedClaimsAreNobodysToChange(t *testing.T) {
	s := newScene(t)
	token := []byte(s.make(attempt{base: "wlcg", body: []string{
		`wlcg.groups=["/a","/b"]`, `scope="storage.read:/a storage.read:/b"`, `aud=["` + atkAud + `","x"]`,
	}}))
	for range 3 {
		id, err := s.v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		c := id.Claims
		if c.Groups[0] != "/a" || c.Scopes[0] != "storage.read:/a" || c.Audience[1] != "x" {
			t.Fatalf("the last caller's changes: %v %v %v", c.Groups, c.Scopes, c.Audience)
		}
		c.Groups[0], c.Scopes[0], c.Audience[1] = "/admin", "storage.modify:/", "y"
	}
	sum := sha256.Sum256(token)
	id, err := s.v.Verify(t.Context(), token)
	if err != nil || id.Digest != sum || id.KeyID != "e1" {
		t.Errorf("digest %x, kid %q, %v", id.Digest, id.KeyID, err)
	}
}

// TestCacheUnderRotation: many requests while keys come and go. A token is accepted only while its key is there.
func TestCacheUnderRotation(t *testing.T) {
	s := newScene(t)
	token := []byte(s.make(attempt{}))
	var all sync.WaitGroup
	var gate sync.RWMutex // held by requests, and alone by who changes the keys
	there := true
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				gate.RLock()
				_, err := s.v.Verify(context.Background(), token)
				if (err == nil) != there {
					t.Errorf("key is there: %v; %v", there, err)
				}
				gate.RUnlock()
			}
		})
	}
	for i := range uint64(200) {
		gate.Lock()
		if there = i%2 == 0; there {
			s.keys.turn(s.forge, 10+i, "e1", "r1")
		} else {
			s.keys.turn(s.forge, 10+i, "r1")
		}
		gate.Unlock()
	}
	close(stop)
	all.Wait()
}
