package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/escrow"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
)

func escrowKey(t *testing.T) (*escrow.Key, *escrow.Recipient) {
	t.Helper()
	private, public, err := escrow.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := escrow.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := escrow.ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	return k, r
}

func TestEscrow(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		key, recipient := escrowKey(t)
		b := newBed(t, inner, Options{Escrow: recipient})
		jwt, tok := b.begin(nil, nil)
		only := func(want string) Escrowed {
			t.Helper()
			all, err := b.Escrowed(t.Context())
			if err != nil || len(all) != 1 || all[0].ID != tok.Login || all[0].Key != key.ID() {
				t.Fatalf("%+v %v", all, err)
			}
			d, err := key.Open(all[0].ID, all[0].Box)
			if err != nil || d.Refresh.Expose() != want || d.Subject != "alice" || d.Issuer != provider {
				t.Fatalf("%+v %v", d, err)
			}
			return all[0]
		}
		only(firstRT)
		b.op.rotate = true
		for i := range 3 {
			if _, _, err := b.access(jwt); err != nil {
				t.Fatal(err)
			}
			only(fmt.Sprintf("the-refresh-token-of-alice-rotated-%d", i+1))
		}
		// Ended by the operator, with no mytoken in hand: the deposit is all that is left of it.
		r, err := b.Revoke(t.Context(), tok.MOMID, true, "lost")
		if err != nil || !r.LoginEnded || !r.Refresh.Empty() {
			t.Fatalf("%+v %v", r, err)
		}
		if e := only("the-refresh-token-of-alice-rotated-3"); e.Ended.IsZero() || e.AtProvider {
			t.Fatalf("%+v", e)
		}
		if err := b.RevokedAtProvider(t.Context(), tok.Login); err != nil {
			t.Fatal(err)
		}
		if all, err := b.Escrowed(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("%+v %v", all, err)
		}
	})
}

// TestEscrowGoes is what removes a deposit beside a revocation: retention, and the erasure of a person.
func TestEscrowGoes(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		_, recipient := escrowKey(t)
		b := newBed(t, inner, Options{Escrow: recipient, Retention: time.Hour})
		left := func() int {
			t.Helper()
			all, err := b.Escrowed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		_, one := b.begin(nil, nil)
		if _, err := b.Revoke(t.Context(), one.MOMID, true, "over"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sweep(t.Context()); err != nil || left() != 1 {
			t.Fatalf("%v, %d left", err, left())
		}
		b.clock.move(2 * time.Hour)
		if _, err := b.Sweep(t.Context()); err != nil || left() != 0 {
			t.Fatalf("after the retention: %v, %d left", err, left())
		}
		_, two := b.begin(nil, nil)
		if left() != 1 {
			t.Fatal("no deposit")
		}
		if err := b.Erase(t.Context(), two.User); err != nil || left() != 0 {
			t.Fatalf("after the erasure: %v, %d left", err, left())
		}
	})
}

// What a thief of the file and of the server's key finds of the escrow: nothing without the other half of its key.
func TestEscrowStolen(t *testing.T) {
	path := boltPath(t)
	_, recipient := escrowKey(t)
	b := newBed(t, openBolt(t, path), Options{Escrow: recipient})
	b.begin(nil, nil)
	secrets := map[string]string{"refresh token": firstRT}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	search(t, "file", file, secrets)
	all, err := b.Escrowed(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	search(t, "box", all[0].Box, map[string]string{"refresh token": firstRT, "subject": "alice"})
	thief, _ := escrowKey(t)
	if _, err := thief.Open(all[0].ID, all[0].Box); !errors.Is(err, escrow.ErrSealed) {
		t.Fatalf("got %v", err)
	}
}

// refuser is a provider that nobody reaches.
type refuser struct{ err error }

func (r refuser) Refresh(context.Context, secret.Text, flow.Request) (flow.Tokens, error) {
	return flow.Tokens{}, r.err
}

// TestUnreached is a use for which the provider was never called: it is given back, however little is left.
func TestUnreached(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		jwt, _ := b.begin(limit(1), nil)
		use := func(ref custody.Refresher) (*Reservation, error) {
			t.Helper()
			r, err := b.present(jwt).Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Refresh(t.Context(), ref, flow.Request{})
			return r, err
		}
		for range 3 {
			r, err := use(refuser{&httpc.Error{Method: "POST", URL: "https://op.example", Err: errors.New("connection refused")}})
			if !httpc.Unsent(err) {
				t.Fatalf("got %v", err)
			}
			if err := r.GiveBack(t.Context()); err != nil {
				t.Fatalf("the provider has not seen it, and %v", err)
			}
		}
		r, err := use(refuser{&httpc.Error{Method: "POST", URL: "https://op.example", Sent: true, Err: errors.New("cut off")}})
		if err == nil || strings.Contains(err.Error(), firstRT) {
			t.Fatalf("got %v", err)
		}
		if err := r.GiveBack(t.Context()); !errors.Is(err, ErrCalled) {
			t.Fatalf("the provider may have seen it, and %v", err)
		}
		if err := r.Burn(t.Context(), "no answer", origin()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.access(jwt); !errors.Is(err, rules.ErrRestricted) {
			t.Fatalf("a use more than there is: %v", err)
		}
	})
}
