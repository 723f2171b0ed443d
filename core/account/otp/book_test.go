package otp

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func TestRedeem(t *testing.T) {
	engines(t, func(t *testing.T, one, other store.Engine) {
		a, b := New(one, Options{}), New(other, Options{})
		token := secret.FromString("header.payload.signature")

		t.Run("own_form_made_on_one_node_works_on_the_other_once", func(t *testing.T) {
			p, err := a.Issue(t.Context(), alice, "alice")
			if err != nil {
				t.Fatal(err)
			}
			found, err := redeem(t, b, p.Secret)
			if err != nil || found.ID != alice || found.Name != "alice" || found.Kind != form.Own {
				t.Fatalf("found %+v, %v", found, err)
			}
			wantUnknown(t, a, p.Secret)
			wantUnknown(t, b, p.Secret)
		})
		t.Run("own_form_typed_in_capitals", func(t *testing.T) {
			p, err := a.Issue(t.Context(), alice, "alice")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := redeem(t, b, secret.FromString(strings.ToUpper(p.Secret.Expose()))); err != nil {
				t.Error(err)
			}
		})
		t.Run("compatible_form_brings_its_token", func(t *testing.T) {
			if err := a.Compat(t.Context(), token, alice); err != nil {
				t.Fatal(err)
			}
			var brought string
			_, err := b.Redeem(t.Context(), CompatSecret(token), func(_ context.Context, f Found) error {
				brought = f.Token.Expose()
				return nil
			})
			if err != nil || brought != token.Expose() {
				t.Fatalf("brought %q, %v", brought, err)
			}
			wantUnknown(t, b, CompatSecret(token))
			if err := a.Compat(t.Context(), token, alice); err != nil { // clients ask again for the next login
				t.Fatal(err)
			}
			if _, err := redeem(t, b, CompatSecret(token)); err != nil {
				t.Error(err)
			}
		})
		t.Run("wrong_login_does_not_burn", func(t *testing.T) {
			p, err := a.IssueWith(t.Context(), alice, "alice", token)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := b.Redeem(t.Context(), p.Secret, no); !errors.Is(err, ErrNotRight) {
					t.Fatalf("error %v", err)
				}
			}
			if _, err := redeem(t, b, p.Secret); err != nil {
				t.Error(err)
			}
		})
		t.Run("burn_ends_all_of_one_identity_and_no_other", func(t *testing.T) {
			var mine []secret.Text
			for range 3 {
				p, err := a.Issue(t.Context(), alice, "alice")
				if err != nil {
					t.Fatal(err)
				}
				mine = append(mine, p.Secret)
			}
			if err := a.Compat(t.Context(), token, alice); err != nil {
				t.Fatal(err)
			}
			theirs, err := a.Issue(t.Context(), bob, "bob")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := b.Burn(t.Context(), alice); err != nil || n != 4 {
				t.Fatalf("burnt %d, %v", n, err)
			}
			for _, p := range append(mine, CompatSecret(token)) {
				wantUnknown(t, a, p)
			}
			if _, err := redeem(t, a, theirs.Secret); err != nil {
				t.Errorf("bob's: %v", err)
			}
			if n, err := b.Burn(t.Context(), alice); err != nil || n != 0 {
				t.Errorf("burnt %d more, %v", n, err)
			}
		})
		t.Run("oldest_gives_way", func(t *testing.T) {
			first, err := a.Issue(t.Context(), alice, "alice")
			if err != nil {
				t.Fatal(err)
			}
			var last Password
			for range DefaultKept {
				if last, err = b.Issue(t.Context(), alice, "alice"); err != nil {
					t.Fatal(err)
				}
			}
			wantUnknown(t, a, first.Secret)
			if _, err := redeem(t, a, last.Secret); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestRedeem_together: of many who come at once with one password, one gets in.
func TestRedeem_together(t *testing.T) {
	engines(t, func(t *testing.T, one, other store.Engine) {
		books := []*Book{New(one, Options{}), New(other, Options{})}
		for round := range 5 {
			p, err := books[0].Issue(t.Context(), alice, "alice")
			if err != nil {
				t.Fatal(err)
			}
			var in, out atomic.Int32
			var all sync.WaitGroup
			for i := range 24 {
				all.Go(func() {
					_, err := books[i%2].Redeem(t.Context(), p.Secret, yes)
					switch {
					case err == nil:
						in.Add(1)
					case errors.Is(err, ErrUnknown):
						out.Add(1)
					default:
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			all.Wait()
			if in.Load() != 1 || out.Load() != 23 {
				t.Fatalf("round %d: %d got in, %d not", round, in.Load(), out.Load())
			}
		}
	})
}

// TestBurn_against_redeem: after Burn has returned, no password that was made before gets anybody in.
func TestBurn_against_redeem(t *testing.T) {
	engines(t, func(t *testing.T, one, other store.Engine) {
		a, b := New(one, Options{}), New(other, Options{})
		for range 10 {
			p, err := a.Issue(t.Context(), alice, "alice")
			if err != nil {
				t.Fatal(err)
			}
			burnt := make(chan int, 1)
			var got error
			var all sync.WaitGroup
			all.Go(func() {
				_, got = a.Redeem(t.Context(), p.Secret, yes)
			})
			all.Go(func() {
				n, err := b.Burn(t.Context(), alice)
				if err != nil {
					t.Error(err)
				}
				burnt <- n
			})
			all.Wait()
			if n := <-burnt; got == nil == (n == 1) {
				t.Fatalf("redeemed: %v, burnt: %d", got, n)
			}
			wantUnknown(t, a, p.Secret)
		}
	})
}

func TestBook_ends_by_itself(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	b := New(memstore.NewAt(clock), Options{Now: clock})
	token := secret.FromString("a.b.c")
	p, err := b.Issue(t.Context(), alice, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Compat(t.Context(), token, alice); err != nil {
		t.Fatal(err)
	}
	if want := now.Add(DefaultLife); !p.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", p.Expires, want)
	}
	now = now.Add(DefaultLife)
	wantUnknown(t, b, p.Secret)
	now = now.Add(DefaultCompatLife - DefaultLife - time.Second)
	if err := b.Compat(t.Context(), token, alice); err != nil { // asked again it lives longer
		t.Fatal(err)
	}
	now = now.Add(DefaultCompatLife - time.Second)
	if _, err := b.Redeem(t.Context(), CompatSecret(token), no); !errors.Is(err, ErrNotRight) {
		t.Errorf("in its last second: %v", err)
	}
	now = now.Add(time.Second)
	wantUnknown(t, b, CompatSecret(token))
	if n, err := b.Burn(t.Context(), alice); n != 0 || err != nil {
		t.Errorf("burnt %d, %v", n, err)
	}
}

func TestBook_refuses(t *testing.T) {
	e := memstore.New()
	token := secret.FromString("a.b.c")
	b := New(e, Options{})
	for _, c := range []struct {
		name string
		err  error
		do   func() error
	}{
		{"a_password_for_nobody", ErrIdentity, func() error { _, err := b.Issue(t.Context(), "", "alice"); return err }},
		{"a_password_for_no_user", ErrIdentity, func() error { _, err := b.Issue(t.Context(), alice, ""); return err }},
		{"a_compatible_one_of_nobody", ErrIdentity, func() error { return b.Compat(t.Context(), token, "") }},
		{"a_compatible_one_without_token", ErrIdentity, func() error { return b.Compat(t.Context(), secret.Text{}, alice) }},
		{"the_token_itself", ErrUnknown, func() error { _, err := redeem(t, b, token); return err }},
		{"nothing", ErrUnknown, func() error { _, err := redeem(t, b, secret.Text{}); return err }},
		{"one_nobody_made", ErrUnknown, func() error { _, err := redeem(t, b, secret.New(form.New())); return err }},
		{"making_where_it_is_off", ErrOff, func() error {
			_, err := New(e, Options{Off: true}).Issue(t.Context(), alice, "alice")
			return err
		}},
		{"the_compatible_form_where_it_is_off", ErrOff, func() error {
			return New(e, Options{CompatOff: true}).Compat(t.Context(), token, alice)
		}},
		{"one_made_before_it_was_switched_off", ErrOff, func() error {
			if err := b.Compat(t.Context(), token, alice); err != nil {
				return err
			}
			_, err := redeem(t, New(e, Options{CompatOff: true}), CompatSecret(token))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
		})
	}
}

// TestRecords_are_no_use_without_the_password: who has the records of an unsealed store has neither password nor token,
// and a record in the place of another does not open.
func TestRecords_are_no_use_without_the_password(t *testing.T) {
	e := memstore.New()
	b := New(e, Options{})
	token := secret.FromString("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl")
	p, err := b.IssueWith(t.Context(), alice, "alice", token)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Compat(t.Context(), token, alice); err != nil {
		t.Fatal(err)
	}
	var kept bytes.Buffer
	var records []store.Record
	err = e.View(t.Context(), func(tx store.Tx) error {
		for _, table := range []store.Table{passwords(), owners()} {
			for r, err := range tx.Scan(table, nil) {
				if err != nil {
					return err
				}
				kept.WriteString(strings.Join(r.Key, " "))
				kept.Write(r.Value)
				if table == passwords() {
					records = append(records, r)
				}
			}
		}
		return nil
	})
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, text := range []string{p.Secret.Expose(), CompatSecret(token).Expose(), token.Expose(), "eyJ"} {
		if strings.Contains(kept.String(), text) {
			t.Errorf("the store has %q", text)
		}
	}
	err = e.Update(t.Context(), func(tx store.WTx) error {
		records[0].Value, records[1].Value = records[1].Value, records[0].Value
		return errors.Join(tx.Put(passwords(), records[0]), tx.Put(passwords(), records[1]))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, presented := range []secret.Text{p.Secret, CompatSecret(token)} {
		if _, err := redeem(t, b, presented); !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v, want %v", err, ErrDamaged)
		}
	}
}

func TestCompatSecret_is_what_clients_compute(t *testing.T) {
	// printf abc | sha512sum (FIPS 180-4, appendix C.1 of the former edition)
	want := "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
		"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
	if got := CompatSecret(secret.FromString("abc")).Expose(); got != want {
		t.Errorf("%s", got)
	}
}

func FuzzOpen(f *testing.F) {
	presented := secret.FromString("presented")
	good, err := seal(presented, Found{Kind: form.Own, ID: alice, Name: "alice", Token: secret.FromString("t")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"kind":2,"id":"a@b","token":"AAAA"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		found, err := open(presented, value)
		if err == nil && (found.ID == "" || found.Kind == form.CompatForm && found.Token.Empty()) {
			t.Fatalf("%q opens as %+v", value, found)
		}
	})
}
