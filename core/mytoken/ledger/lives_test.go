package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// live is the life of a person on a server, again and again. Before each step it says what it is about to do ("to"), and
// after it what is so from now on ("is"), so that who reads both knows what has to be on record.
func (s *server) live(ctx context.Context, side int) error {
	for n := 0; ; n++ {
		who := fmt.Sprintf("person-%d-%d", side, n)
		o := order(s.now(), limit(50), rotating())
		o.OIDCSubject = who
		jwt, c, err := s.minter.Issue(o)
		if err != nil {
			return err
		}
		say("to", who, "begin", jwt.Expose())
		// A provider that keeps refresh tokens: what a lease of the dead does is tested with custody.
		lg := Login{Refresh: secret.FromString(firstRT), Habit: custody.HabitKeeps}
		t, err := s.Begin(ctx, lg, Grant{JWT: jwt, Claims: c})
		if err != nil {
			return err
		}
		say("is", who, "begin", jwt.Expose())
		if err := s.liveOn(ctx, who, jwt, t); err != nil {
			return fmt.Errorf("%s: %w", who, err)
		}
	}
}

func (s *server) liveOn(ctx context.Context, who string, jwt secret.Text, t Token) error {
	for range 3 {
		say("to", who, "rotate", jwt.Expose())
		_, n, err := access(ctx, s.Ledger, s.op, jwt)
		if err != nil {
			return err
		}
		jwt = n.JWT
		say("is", who, "rotate", jwt.Expose())
	}
	c, err := s.MakeCode(ctx, NewCode{Kind: ShortToken, Owner: t.MOMID, Data: []byte("1")})
	if err != nil {
		return err
	}
	say("is", who, "code", c.Text.Expose())
	if err := s.PutCode(ctx, c.Handle, []byte("2"), secret.Text{}); err != nil {
		return err
	}
	say("is", who, "put", c.Text.Expose())
	say("to", who, "take", c.Text.Expose())
	if _, err := s.TakeCode(ctx, ShortToken, c.Text); err != nil {
		return err
	}
	say("is", who, "take", c.Text.Expose())
	child, ct, err := sub(ctx, s.Ledger, s.minter, jwt, limit(2))
	if err != nil {
		return err
	}
	say("is", who, "sub", child.Expose())
	say("to", who, "revoke", child.Expose())
	if _, err := s.Revoke(ctx, ct.MOMID, true, ""); err != nil {
		return err
	}
	say("is", who, "revoke", child.Expose())
	say("to", who, "erase", t.User)
	if err := s.Erase(ctx, t.User); err != nil {
		return err
	}
	say("is", who, "erase", t.User)
	return nil
}

// person is what a killed server has said of one.
type person struct {
	newest, child, code   string
	put, erased           bool
	to                    string // what it was about to do
	taken, revoked, begun bool
}

func (p *person) hear(w []string) {
	p.to = ""
	if w[0] == "to" {
		p.to = w[2]
		if w[2] == "begin" {
			p.newest = w[3]
		}
		return
	}
	switch w[2] {
	case "begin", "rotate":
		p.begun, p.newest = true, w[3]
	case "code":
		p.code = w[3]
	case "put":
		p.put = true
	case "take":
		p.taken = true
	case "sub":
		p.child = w[3]
	case "revoke":
		p.revoked = true
	case "erase":
		p.erased = true
	}
}

// check compares what was said with what is on record.
func (p *person) check(b *bed, who string) {
	b.t.Helper()
	_, _, err := b.access(secret.FromString(p.newest))
	switch {
	case !p.begun && errors.Is(err, ErrUnknown), p.to == "erase" && err != nil:
	case p.erased != errors.Is(err, ErrUnknown), !p.erased && err != nil:
		b.t.Errorf("%s: %+v: the newest mytoken: %v", who, p, err)
	}
	if p.child != "" && p.to != "revoke" && p.to != "erase" {
		_, _, err := b.access(secret.FromString(p.child))
		if ended := errors.Is(err, ErrRevoked) || errors.Is(err, ErrUnknown); ended != p.revoked {
			b.t.Errorf("%s: %+v: its child: %v", who, p, err)
		}
	}
	if p.code != "" && p.to != "take" && p.to != "erase" {
		c, err := b.LookCode(b.t.Context(), ShortToken, secret.FromString(p.code))
		if p.taken != errors.Is(err, ErrUnknown) || !p.taken && p.put && string(c.Data) != "2" {
			b.t.Errorf("%s: %+v: its code: %q, %v", who, p, c.Data, err)
		}
	}
}

// A server is killed while people log in, use rotating mytokens, make and take codes, hand mytokens on, end them and are
// erased: nothing that was acknowledged is lost, and nothing is left half-way that the next one cannot finish.
func TestKillLives(t *testing.T) {
	key := newSigner(t)
	path := boltPath(t)
	url, schema := postgres(t), newSchema()
	kinds := map[string]struct {
		task task
		open func(t testing.TB) store.Engine
	}{
		"boltstore": {task{Do: "live", Bolt: path}, func(t testing.TB) store.Engine { return openBolt(t, path) }},
		"pgstore": {
			task{Do: "live", URL: url, Schema: schema},
			func(t testing.TB) store.Engine { return openPostgres(t, url, schema) },
		},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			for range killRounds() {
				people := map[string]*person{}
				c := kind.task.start(t, key)
				after, lines := 20+rand.IntN(300), 0
				for line := range c.lines {
					if lines++; lines == after {
						c.kill()
					}
					if w := strings.Fields(line); len(w) == 4 {
						if people[w[1]] == nil {
							people[w[1]] = &person{}
						}
						people[w[1]].hear(w)
					}
				}
				eng := kind.open(t)
				b := newBedWith(t, eng, key, Options{Window: 10 * time.Minute})
				for who, p := range people {
					p.check(b, who)
				}
				for who := range people {
					if err := b.Erase(t.Context(), UserID(provider, who)); err != nil && !errors.Is(err, ErrUnknown) {
						t.Error(err)
					}
				}
				b.empty()
				if err := errors.Join(b.Close(t.Context()), eng.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
