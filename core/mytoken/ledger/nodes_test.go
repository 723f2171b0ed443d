package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// nodes is a ledger on PostgreSQL that other processes share.
type nodes struct {
	*bed
	key    *jose.PrivateKey
	schema string
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	n := &nodes{key: newSigner(t), schema: newSchema()}
	n.bed = newBedWith(t, openPostgres(t, postgres(t), n.schema), n.key, Options{})
	return n
}

// run starts one process for each task on the same database, kills the last after some lines, where after is not 0, and
// returns what all of them said.
func (n *nodes) run(after int, tasks ...task) (said []string) {
	n.t.Helper()
	t := n.t.(*testing.T)
	all := make(chan string)
	done := make(chan struct{})
	for i, c := range tasks {
		c.URL, c.Schema = postgres(t), n.schema
		p := c.start(t, n.key)
		go func() {
			lines := 0
			for line := range p.lines {
				if lines++; i == len(tasks)-1 && lines == after {
					p.kill()
				}
				all <- line
			}
			done <- struct{}{}
		}()
	}
	for running := len(tasks); running > 0; {
		select {
		case line := <-all:
			said = append(said, line)
		case <-done:
			running--
		}
	}
	return said
}

func count(said []string, what string) (n int) {
	for _, s := range said {
		if s == what {
			n++
		}
	}
	return n
}

// Three servers on one database, one of which is killed: never more uses than may be, also through sub-tokens, and none
// that was acknowledged is lost.
func TestThreeProcessesUse(t *testing.T) {
	n := newNodes(t)
	killed := 0
	for _, k := range []int64{1, 3, 50, 120} {
		for round := range max(killRounds()/3, 2) {
			jwt, tok := n.begin(limit(k), nil)
			texts := []string{jwt.Expose()}
			after := 1 + rand.IntN(int(k))
			said := n.run(after, task{Do: "use", Texts: texts}, task{Do: "subs", Texts: texts}, task{Do: "use", Texts: texts})
			all, err := n.List(t.Context(), tok.User)
			if err != nil {
				t.Fatal(err)
			}
			var used, open int64
			for _, x := range all {
				if x.MOMID != tok.MOMID && x.Parent() != tok.MOMID {
					continue
				}
				for _, c := range x.Counters {
					used += c.Used
					open += c.Held + c.Lost
				}
			}
			now, err := n.Find(t.Context(), tok.MOMID)
			if err != nil {
				t.Fatal(err)
			}
			got, calls := int64(count(said, "got")), int64(count(said, "call"))
			// The sub-token of a use counts as a use of another kind.
			made := now.Counters[rules.CounterKey{Clause: rules.KeyOf(now.Restrictions[0]), Kind: rules.Other}].Used
			taken := now.Counters[onlyKey(now)].Taken()
			if got > k || calls > k || used-made > k || got > used-made || taken != k {
				t.Errorf("limit %d, round %d: %d access tokens, %d calls, on record %d, taken %d", k, round, got, calls, used-made, taken)
			}
			if got < k {
				killed++
			}
		}
	}
	if killed == 0 {
		t.Error("no process was killed in the middle: the test does not test")
	}
	if d := deadlocks(t); d > 0 {
		t.Errorf("%d deadlocks", d)
	}
}

// Three servers are asked with the same mytokens: each is replaced once, and all say by what.
func TestThreeProcessesRotate(t *testing.T) {
	n := newNodes(t)
	var texts []string
	for range 20 {
		jwt, _ := n.begin(nil, rotating())
		texts = append(texts, jwt.Expose())
	}
	c := task{Do: "rotate", Texts: texts, Sides: 4}
	newest := make([]string, len(texts))
	answers := 0
	for _, line := range n.run(20+rand.IntN(60), c, c, c) {
		var (
			i   int
			jwt string
		)
		if _, err := fmt.Sscanf(line, "got %d %s", &i, &jwt); err != nil {
			continue
		}
		if answers++; newest[i] != "" && newest[i] != jwt {
			t.Errorf("mytoken %d was replaced by two", i)
		}
		newest[i] = jwt
	}
	if answers < 2*4*len(texts) {
		t.Errorf("%d answers", answers)
	}
	for i, jwt := range newest {
		p, err := n.Present(t.Context(), secret.FromString(jwt), origin())
		if err != nil {
			t.Errorf("the newest of mytoken %d: %v", i, err)
			continue
		}
		if p.Replayed || p.Claims.SeqNo != 2 {
			t.Errorf("mytoken %d was replaced again: %d", i, p.Claims.SeqNo)
		}
		p.Close()
	}
}

// Of three servers one gets what is under a code.
func TestThreeProcessesTake(t *testing.T) {
	n := newNodes(t)
	var texts []string
	for i := range 100 {
		c, err := n.MakeCode(t.Context(), NewCode{Kind: PollingCode, TTL: time.Hour, Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, c.Text.Expose())
	}
	c := task{Do: "take", Texts: texts}
	times := map[string]int{}
	for _, line := range n.run(1+rand.IntN(20), c, c, c) {
		if times[line]++; times[line] > 1 {
			t.Errorf("%s: twice", line)
		}
		if w := strings.Fields(line); len(w) != 3 || w[1] != w[2] {
			t.Errorf("%s", line)
		}
	}
	if len(times) < len(texts)-8 { // what the killed one took and did not say
		t.Errorf("%d of %d", len(times), len(texts))
	}
	for _, text := range texts {
		if _, err := n.LookCode(t.Context(), PollingCode, secret.FromString(text)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
	}
}

// Three servers do everything at once with the mytokens of one person, who is erased meanwhile, and one of them is
// killed. PostgreSQL has no deadlock to end, and of the person nothing is left.
func TestThreeProcessesMix(t *testing.T) {
	n := newNodes(t)
	before := deadlocks(t)
	for range 2 {
		var texts []string
		var user string
		for range 4 {
			jwt, tok := n.begin(limit(1000), nil)
			texts, user = append(texts, jwt.Expose()), tok.User
		}
		erased := make(chan error, 1)
		c := task{Do: "mix", Texts: texts, Sides: 4, Rounds: 27, Sweeps: true}
		last := c
		last.Sweeps = false
		go func() {
			time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond) // any moment is good
			erased <- n.Erase(t.Context(), user)
		}()
		said := n.run(1+rand.IntN(60), c, c, last)
		if err := <-erased; err != nil {
			t.Errorf("erase: %v", err)
		}
		if got := count(said, "got"); got < 2*4*27 {
			t.Errorf("%d steps", got)
		}
		if err := n.Erase(t.Context(), user); err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("erase: %v", err)
		}
		n.empty()
	}
	if d := deadlocks(t) - before; d > 0 {
		t.Errorf("%d deadlocks", d)
	}
}
