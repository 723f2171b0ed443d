package ledger

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

func secretOf(s string) secret.Text { return secret.FromString(s) }

func (b *bed) present(jwt secret.Text) *Presented {
	b.t.Helper()
	p, err := b.Present(b.t.Context(), jwt, origin())
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestRevoke(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		a, at := b.begin(nil, nil)
		bb, bt := b.sub(a, nil)
		c, ct := b.sub(bb, nil)
		d, _ := b.sub(a, nil)
		if got := ct.Path; len(got) != 2 || got[0] != at.MOMID || got[1] != bt.MOMID {
			t.Errorf("path %q", got)
		}
		tree, err := b.Tree(t.Context(), at.MOMID)
		if err != nil || len(tree.Children) != 2 {
			t.Errorf("%+v, %v", tree, err)
		}
		r, err := b.present(a).Revoke(t.Context(), bt.MOMID, true, origin())
		if err != nil || r.LoginEnded || r.Already {
			t.Errorf("%+v, %v", r, err)
		}
		for name, tc := range map[string]struct {
			jwt  secret.Text
			want error
		}{"itself": {bb, ErrRevoked}, "below": {c, ErrRevoked}, "beside": {d, nil}, "above": {a, nil}} {
			if _, _, err := b.access(tc.jwt); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r, err := b.present(a).Revoke(t.Context(), bt.MOMID, true, origin()); err != nil || !r.Already {
			t.Errorf("twice: %+v, %v", r, err)
		}
		if got, err := b.Find(t.Context(), ct.MOMID); err != nil || got.Condition != Ended {
			t.Errorf("below: %+v, %v", got, err)
		}
		// Not with all below it: the child goes on, and the login with it.
		if r, err := b.present(a).Revoke(t.Context(), "", false, origin()); err != nil || r.LoginEnded {
			t.Errorf("%+v, %v", r, err)
		}
		if _, _, err := b.access(d); err != nil {
			t.Errorf("the child of one that ended by itself: %v", err)
		}
		r, err = b.present(d).Revoke(t.Context(), "", false, origin())
		if err != nil || !r.LoginEnded || r.Refresh.Expose() != firstRT {
			t.Errorf("the last one: %+v, %v", r, err)
		}
		if err := b.RevokedAtProvider(t.Context(), r.Login); err != nil {
			t.Fatal(err)
		}
		if s, err := b.LoginState(t.Context(), r.Login); err != nil || s.Ended.IsZero() || !s.AtProvider {
			t.Errorf("%+v, %v", s, err)
		}
		if n := custodyRows(t, inner); n > 0 {
			t.Error("the refresh token of a login that ended is still there")
		}
	})
}

func TestRevokeOfSomebodyElse(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		a, _ := b.begin(nil, nil)
		o := order(b.clock.now(), nil, nil)
		o.OIDCSubject = "bob"
		jwt, c, err := b.minter.Issue(o)
		if err != nil {
			t.Fatal(err)
		}
		bob, err := b.Begin(t.Context(), Login{Refresh: secretOf("rt-of-bob")}, Grant{JWT: jwt, Claims: c})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.present(a).Revoke(t.Context(), bob.MOMID, true, origin()); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
		if all, err := b.List(t.Context(), bob.User); err != nil || len(all) != 1 || all[0].Condition != Live {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// What a sub-token leaves of its allowance when it ends is its parent's again, once, and what it used is not.
func TestAllowanceComesBack(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		for name, finish := range map[string]func(b *bed, parent secret.Text, child Token){
			"revoked": func(b *bed, parent secret.Text, child Token) {
				for range 2 {
					if _, err := b.present(parent).Revoke(b.t.Context(), child.MOMID, true, origin()); err != nil {
						b.t.Fatal(err)
					}
				}
			},
			"expired": func(b *bed, _ secret.Text, _ Token) {
				b.clock.move(2 * time.Hour)
				for range 2 {
					if _, err := b.Sweep(b.t.Context()); err != nil {
						b.t.Fatal(err)
					}
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBed(t, inner, Options{})
				parent, _ := b.begin(limit(10), nil)
				six := int64(6)
				child, ct := b.sub(parent, mytoken.Restrictions{{UsagesAT: &six, Expires: mytoken.At(b.clock.now().Add(time.Hour))}})
				for range 2 {
					if _, _, err := b.access(child); err != nil {
						t.Fatal(err)
					}
				}
				finish(b, parent, ct)
				n := 0
				for ; n < 20; n++ {
					if _, _, err := b.access(parent); err != nil {
						break
					}
				}
				if n != 8 {
					t.Errorf("%d uses left of 10 after 2 by a child", n)
				}
			})
		}
	})
}

func TestSweepAndRetention(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{Retention: 24 * time.Hour})
		jwt, tok := b.begin(mytoken.Restrictions{{Expires: mytoken.At(b.clock.now().Add(time.Hour))}}, nil)
		_, _ = b.sub(jwt, nil)
		if _, _, err := b.access(jwt); err != nil {
			t.Fatal(err)
		}
		if _, err := b.MakeCode(t.Context(), NewCode{Kind: ShortToken, Length: 64, Owner: tok.MOMID, Secret: jwt}); err != nil {
			t.Fatal(err)
		}
		b.clock.move(2 * time.Hour)
		if n, err := b.Sweep(t.Context()); err != nil || n.Tokens != 0 || n.Logins != 1 {
			t.Errorf("after it expired: %+v, %v", n, err)
		}
		if got, err := b.Find(t.Context(), tok.MOMID); err != nil || got.Condition != Expired {
			t.Errorf("%+v, %v", got, err)
		}
		b.clock.move(48 * time.Hour)
		if n, err := b.Sweep(t.Context()); err != nil || n.Tokens != 2 {
			t.Errorf("after its retention: %+v, %v", n, err)
		}
		b.empty()
	})
}

// empty looks for rows of any kind.
func (b *bed) empty() {
	b.t.Helper()
	for _, name := range []string{
		tableUsers, tableLogins, tableTokens, tableStates, tableMarks, tableOwned, tableEvents, tableCodes, tableAliases,
		tableSettings, tableEscrow,
	} {
		if keys, err := b.keys(b.t.Context(), name); err != nil || len(keys) > 0 {
			b.t.Errorf("%s has %q, %v", name, keys, err)
		}
	}
	if n := custodyRows(b.t, b.inner); n > 0 {
		b.t.Errorf("%d refresh tokens are kept", n)
	}
}

func custodyRows(t testing.TB, inner store.Engine) (n int) {
	t.Helper()
	err := inner.View(t.Context(), func(tx store.Tx) error {
		for _, err := range tx.Scan(store.Table{Name: "custody", HideKeys: true, Sealed: true}, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestErase(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		jwt, tok := b.begin(nil, nil)
		for range 70 { // more rows than one transaction takes
			if _, _, err := b.access(jwt); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = b.sub(jwt, nil)
		err := b.ChangeSetting(t.Context(), tok.User, "email", func(json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`"alice@example.org"`), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.MakeCode(t.Context(), NewCode{Kind: ShortToken, Length: 64, Owner: tok.MOMID, Secret: jwt}); err != nil {
			t.Fatal(err)
		}
		p := b.present(jwt)
		r, err := p.Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{})
		if err != nil {
			t.Fatal(err)
		}
		if custodyRows(t, inner) != 1 {
			t.Fatal("there is nothing to erase")
		}
		if err := b.Erase(t.Context(), tok.User); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Commit(t.Context(), Event{Name: "AT_created"}); !errors.Is(err, ErrUnknown) {
			t.Errorf("a use that was under way: %v", err)
		}
		b.empty()
		if err := b.Erase(t.Context(), tok.User); !errors.Is(err, ErrUnknown) {
			t.Errorf("twice: %v", err)
		}
	})
}
