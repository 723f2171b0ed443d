package dpop_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/dpop"
)

// clock is a time that the test moves.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(atNow+c.Load(), 0) }

// TestReplayForAsLongAsTheProofIsGood plays a proof again in every second of its life, wherever in the life of the
// memory it was used first.
func TestReplayForAsLongAsTheProofIsGood(t *testing.T) {
	for _, start := range []int64{0, 1, 45, 89, 90, 91, 92, 181} {
		for _, ahead := range []int64{0, 30} {
			var at clock
			h, c := newHand(t), checker(t, func(o *dpop.Options) { o.Now = at.now })
			fresh := func() error { // another client keeps the memory turning
				return c.Check([]string{h.sign(h.header(), payload(edit{"iat", fmt.Sprint(atNow + at.Load())}))}, h.request())
			}
			if err := fresh(); err != nil {
				t.Fatal(err)
			}
			at.Store(start)
			proof := h.sign(h.header(), payload(edit{"iat", fmt.Sprint(atNow + start + ahead)}))
			if err := c.Check([]string{proof}, h.request()); err != nil {
				t.Fatal(err)
			}
			for second := range int64(100) {
				at.Store(start + second)
				err := c.Check([]string{proof}, h.request())
				if err == nil || second <= ahead+60 && !errors.Is(err, dpop.ErrReplay) {
					t.Fatalf("used at %d, iat %d ahead, played again after %d s: %v", start, ahead, second, err)
				}
				if err := fresh(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestReplayAtOnce(t *testing.T) {
	h, c := newHand(t), checker(t)
	proof := h.sign(h.header(), payload())
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if c.Check([]string{proof}, h.request()) == nil {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 {
		t.Errorf("one proof was good for %d requests", taken.Load())
	}
}

// TestSameNameOfTwoKeys: the names that one client gives its proofs are nobody else's.
func TestSameNameOfTwoKeys(t *testing.T) {
	c := checker(t)
	for range 2 {
		h := newHand(t)
		if err := c.Check([]string{h.sign(h.header(), payload(edit{"jti", `"same"`}))}, h.request()); err != nil {
			t.Error(err)
		}
	}
}

// TestMemoryOfProofsIsBounded: what does not fit is refused, and never forgotten instead.
func TestMemoryOfProofsIsBounded(t *testing.T) {
	var at clock
	c := checker(t, func(o *dpop.Options) { o.Now, o.Remember, o.PerKey = at.now, 45, 10 })
	a, b, d := newHand(t), newHand(t), newHand(t)
	use := func(h *hand) error {
		return c.Check([]string{h.sign(h.header(), payload(edit{"iat", fmt.Sprint(atNow + at.Load())}))}, h.request())
	}
	first := a.sign(a.header(), payload())
	if err := c.Check([]string{first}, a.request()); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if err := use(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := use(a); !errors.Is(err, dpop.ErrTooMany) {
		t.Errorf("the eleventh of one key: %v", err)
	}
	if err := c.Check([]string{first}, a.request()); !errors.Is(err, dpop.ErrReplay) {
		t.Errorf("the first was forgotten: %v", err)
	}
	for range 10 {
		if err := use(b); err != nil {
			t.Fatalf("one key spoils it for another: %v", err)
		}
	}
	if err := use(d); err != nil {
		t.Fatal(err)
	}
	for range 24 {
		if err := use(newHand(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := use(newHand(t)); !errors.Is(err, dpop.ErrTooMany) || c.Remembered() != 45 {
		t.Errorf("beyond the whole: %v, %d remembered", err, c.Remembered())
	}
	at.Store(182)
	if err := use(a); err != nil || c.Remembered() != 1 {
		t.Errorf("when all have ended: %v, %d remembered", err, c.Remembered())
	}
}

// TestFewKeysLeaveRoom: a client that uses as many keys as it likes does not take the room of others away.
func TestFewKeysLeaveRoom(t *testing.T) {
	c := checker(t, func(o *dpop.Options) { o.Remember, o.PerKey = 1024, 64 })
	use := func(h *hand) error { return c.Check([]string{h.sign(h.header(), payload())}, h.request()) }
	for range 32 {
		greedy, n := newHand(t), 0
		for n < 65 && use(greedy) == nil {
			n++
		}
		if n > 64 {
			t.Fatalf("%d of one key", n)
		}
	}
	honest := newHand(t)
	for i := range 5 {
		if err := use(honest); err != nil {
			t.Errorf("request %d beside 32 greedy keys: %v, %d remembered", i, err, c.Remembered())
		}
	}
}

func TestNonce(t *testing.T) {
	var at clock
	h, c := newHand(t), checker(t, func(o *dpop.Options) { o.Nonces, o.Now = true, at.now })
	try := func(edits ...edit) (string, error) {
		edits = append(edits, edit{"iat", fmt.Sprint(atNow + at.Load())})
		err := c.Check([]string{h.sign(h.header(), payload(edits...))}, h.request())
		var n *dpop.NonceError
		if errors.As(err, &n) {
			return n.Next, err
		}
		return "", err
	}
	nonce, err := try()
	if nonce == "" || !errors.Is(err, dpop.ErrProof) {
		t.Fatalf("without a nonce: %q, %v", nonce, err)
	}
	quoted := `"` + nonce + `"`
	for range 3 {
		if _, err := try(edit{"nonce", quoted}); err != nil {
			t.Fatalf("with the nonce we gave: %v", err)
		}
	}
	for name, bad := range map[string]string{
		"empty": `""`, "invented": `"abcdef"`, "as_long": `"` + nonce[:31] + `-"`, "changed": `"B` + nonce[1:] + `"`,
		"twice": `"` + nonce + nonce + `"`,
	} {
		if next, err := try(edit{"nonce", bad}); next == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := try(edit{"nonce", "1"}); !errors.Is(err, dpop.ErrProof) {
		t.Errorf("a number: %v", err)
	}
	at.Store(301)
	next, err := try(edit{"nonce", quoted})
	if next == "" || next == nonce {
		t.Errorf("an old nonce: %v", err)
	}
	if c.Nonce() != next {
		t.Error("the nonce for the next answer is another")
	}
	if other := checker(t, func(o *dpop.Options) { o.Nonces = true }); other.Nonce() == checker(t,
		func(o *dpop.Options) { o.Nonces = true }).Nonce() {
		t.Error("two services give the same nonce")
	}
	if n := checker(t).Nonce(); n != "" {
		t.Errorf("a nonce where none are wanted: %q", n)
	}
}

// TestNonceOfASharedKey: daemons behind one name take each other's.
func TestNonceOfASharedKey(t *testing.T) {
	shared := func(o *dpop.Options) {
		o.Nonces, o.NonceKey = true, secret.New([]byte("0123456789abcdef0123456789abcdef"))
	}
	a, b, h := checker(t, shared), checker(t, shared), newHand(t)
	proof := h.sign(h.header(), payload(edit{"nonce", `"` + a.Nonce() + `"`}))
	if err := b.Check([]string{proof}, h.request()); err != nil {
		t.Error(err)
	}
	_, err := dpop.New(dpop.Options{Nonces: true, NonceKey: secret.New([]byte("short"))})
	if !errors.Is(err, dpop.ErrOptions) {
		t.Errorf("a short key: %v", err)
	}
}
