package custody

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// full is a record with everything in it.
func full() *record {
	r := &record{
		RT: secret.FromString("the token"), Spares: []secret.Text{secret.FromString("a spare"), secret.FromString("b")},
		Family: "family", Generation: 7, Outside: true, Habit: HabitRotates, Kept: 2, Last: 1_700_000_000_000,
		Parent: hashOf(secret.FromString("parent")),
	}
	for i := range 2 * maxOld {
		h := hash{byte(i), byte(i >> 8)}
		r.OldInside, r.OldOutside = r.OldInside.with(h), r.OldOutside.with(h)
	}
	request := hash{9}
	r.Intent = &intent{Sent: hashOf(r.RT), At: 1, Attempt: 3}
	said := flow.Error{Code: "invalid_grant", Description: "<gone> \u2028"}
	r.Refused = &refusal{At: 2, Request: &request, Said: said, Lost: true}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	r := full()
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.encode()
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("differs: %v", err)
	}
	if !back.RT.Equal(r.RT) || len(back.Spares) != 2 || len(back.OldInside) != maxOld ||
		*back.Refused.Request != (hash{9}) {
		t.Errorf("%+v", back)
	}
}

func TestRecordFitsTheStore(t *testing.T) {
	r := full()
	r.RT.Wipe()
	r.RT = secret.New(bytes.Repeat([]byte("x"), maxToken))
	r.Refused.Said.Description = line(strings.Repeat("\x01\u2028", 1000))
	r.Spares = nil
	s := sending{hash: hash{1}, stored: hash{1}, family: r.Family}
	for i := range 20 {
		r.sibling(s, secret.New(bytes.Repeat([]byte{byte(i + 'a')}, maxToken/3)))
	}
	b, err := r.encode()
	if err != nil || len(b) > store.MaxValue {
		t.Errorf("%d bytes, limit %d, %v", len(b), store.MaxValue, err)
	}
	if len(r.Spares) == 0 {
		t.Error("no spare was kept")
	}
}

func TestRecordRefuses(t *testing.T) {
	good, err := full().encode()
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte{recordVersion + 1}, good[1:]...)
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:4], "newer_version": newer, "cut": good[:len(good)-1], "longer": append(good, 'x'),
		"length_beyond_the_end": {recordVersion, 0xff, 0xff, 0xff, 0xff, '{', '}'},
		"no_token":              {recordVersion, 0, 0, 0, 2, '{', '}'},
		"negative_length":       []byte("\x01\x00\x00\x00\x10{\"lengths\":[-1]}"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decode(b); !errors.Is(err, errRecord) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	b, err := full().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x01\x00\x00\x00\x0f{\"lengths\":[1]}x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			return
		}
		once, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(once)
		if err != nil {
			t.Fatalf("does not decode again: %v", err)
		}
		if twice, err := back.encode(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("differs: %v", err)
		}
	})
}

// In the person's keystore neither token nor name of a login is readable, and both come back.
func TestInSealedFile(t *testing.T) {
	v, err := vault.New(vault.Prefer, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	keys, err := v.NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	path := privatePath(t)
	eng, err := boltstore.Open(t.Context(), path, boltstore.Options{Role: "person"})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	b := &bed{t: t, op: newOP(strict), eng: sealed.New(eng, keys)}
	b.Keeper = b.node()
	const name = "a-telling-name"
	if err := b.Put(t.Context(), name, b.op.first()); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := b.Refresh(t.Context(), name, b.op, flow.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.List(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != name || all[0].State.Generation != 6 {
		t.Errorf("%+v, %v", all, err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"of-a-secret-family", name, "refresh/"} {
		if bytes.Contains(file, []byte(s)) {
			t.Errorf("%q is readable in the file", s)
		}
	}
}

func TestLateAnswers(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	send := func(r *record) sending {
		h := hashOf(r.RT)
		return sending{token: r.RT.Clone(), hash: h, stored: h, family: r.Family}
	}
	rt := func(s string) secret.Text { return secret.FromString(s) }
	t.Run("the_later_of_two_siblings_goes_first", func(t *testing.T) {
		r := &record{RT: rt("0"), Family: "f"}
		s := send(r)
		r.answered(s, rt("1"), now)
		r.answered(s, rt("1b"), now)
		if !r.RT.Equal(rt("1b")) || len(r.Spares) != 1 || !r.Spares[0].Equal(rt("1")) {
			t.Errorf("%s, %d spares", r.RT.Expose(), len(r.Spares))
		}
		if again := r.refused(send(r), refusedBy("invalid_grant", 400), now); !again || !r.RT.Equal(rt("1")) {
			t.Error("the spare did not step in")
		}
		if r.refused(send(r), refusedBy("invalid_grant", 400), now) || r.Refused == nil {
			t.Error("refused, and nothing is left, and no mark")
		}
	})
	t.Run("not_before_a_child_of_its_sibling", func(t *testing.T) {
		r := &record{RT: rt("0"), Family: "f"}
		first := send(r)
		r.answered(first, rt("1"), now)
		r.answered(send(r), rt("2"), now)
		r.answered(first, rt("1b"), now)
		if !r.RT.Equal(rt("2")) || len(r.Spares) != 1 {
			t.Errorf("%s, %d spares", r.RT.Expose(), len(r.Spares))
		}
	})
	t.Run("the_same_answer_saved_twice", func(t *testing.T) {
		r := &record{RT: rt("0"), Family: "f"}
		s := send(r)
		for range 3 {
			r.answered(s, rt("1"), now)
		}
		if !r.RT.Equal(rt("1")) || len(r.Spares) != 0 || r.Generation != 1 {
			t.Errorf("%s, %d spares, generation %d", r.RT.Expose(), len(r.Spares), r.Generation)
		}
	})
	t.Run("an_exported_sibling_is_remembered", func(t *testing.T) {
		r := &record{RT: rt("0"), Family: "f"}
		s := send(r)
		r.answered(s, rt("1"), now)
		r.Outside = true
		r.answered(s, rt("1b"), now)
		if !r.superseded(hashOf(rt("1"))) || r.Outside {
			t.Error("it is not")
		}
	})
}
