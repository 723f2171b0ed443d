package ledger

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// killRounds is how many processes a test kills.
func killRounds() int {
	if n, err := strconv.Atoi(os.Getenv("OIDCBOX_KILL_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 6
}

// A server is killed at random while many use a limited mytoken, and started again until nothing is left: never more
// than the limit, nothing acknowledged that is not on record, and what was under way is shown as unknown.
func TestKill(t *testing.T) {
	const k = 200
	path := boltPath(t)
	var (
		jwt secret.Text
		tok Token
	)
	key := newSigner(t)
	with := func(fn func(b *bed)) {
		e := openBolt(t, path)
		defer e.Close()
		fn(newBedWith(t, e, key, Options{}))
	}
	got, kills := 0, 0
	for range killRounds() {
		with(func(b *bed) { jwt, tok = b.begin(limit(k), nil) })
		acked := killOnce(t, path, key, jwt)
		with(func(b *bed) {
			now, err := b.Find(t.Context(), tok.MOMID)
			if err != nil {
				t.Fatal(err)
			}
			c := now.Counters[onlyKey(now)]
			if c.Taken() > k || int64(acked) > c.Used {
				t.Errorf("%d were handed out, on record are %+v", acked, c)
			}
			if c.Taken() < k {
				kills++
			}
			held := c.Held
			b.clock.move(10 * time.Minute)
			more := 0
			for ; ; more++ {
				if _, _, err := b.access(jwt); err != nil {
					break
				}
			}
			now, err = b.Find(t.Context(), tok.MOMID)
			if err != nil || now.Unknown != held || c.Used+held+int64(more) != k {
				t.Errorf("used %d, unknown %d of %d, then %d more, %v", c.Used, now.Unknown, held, more, err)
			}
			got += acked
		})
	}
	if got == 0 || kills == 0 {
		t.Errorf("%d access tokens, %d kills in the middle: the test does not test", got, kills)
	}
	t.Logf("%d rounds, %d killed in the middle, %d access tokens", killRounds(), kills, got)
}

// killOnce returns how many access tokens the child has handed out before it died.
func killOnce(t *testing.T, path string, key *jose.PrivateKey, jwt secret.Text) (acked int) {
	t.Helper()
	c := task{Do: "use", Bolt: path, Texts: []string{jwt.Expose()}}.start(t, key)
	after := 1 + rand.IntN(100) // lines, so that the moment does not depend on the speed of the machine
	lines := 0
	for line := range c.lines {
		if line == "got" {
			acked++
		}
		if lines++; lines == after {
			c.kill()
		}
	}
	return acked
}
