package provision

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// TestVerify: who may log in as alice, and with which reason not.
func TestVerify(t *testing.T) {
	alice := subject("alice")
	hand := func(fn func(*backend.Account)) func(*bed) {
		return func(b *bed) { b.host.account(alice.ID, fn) }
	}
	for _, c := range []struct {
		name     string
		prepare  func(*bed)
		username string
		want     Verdict
		reason   string
	}{
		{"deployed", nil, "alice", Verdict{State: state.Deployed, Verified: true, Allowed: true}, ""},
		{"other_name", nil, "bob", Verdict{State: state.Deployed}, "another one"},
		{"no_name", nil, "", Verdict{State: state.Deployed}, "another one"},
		{"prefix_of_the_name", nil, "alic", Verdict{State: state.Deployed}, "another one"},
		{"capitals", nil, "Alice", Verdict{State: state.Deployed}, "another one"},
		{
			"suspended", func(b *bed) { must(b.desk.Suspend(b.Context(), alice.ID, officer())) }, "alice",
			Verdict{State: state.Suspended},
			"suspended",
		},
		{
			"suspended_on_the_host", hand(func(a *backend.Account) { a.Suspended = true }), "alice",
			Verdict{State: state.Suspended},
			"suspended",
		},
		{
			"limited", func(b *bed) { must(b.desk.Limit(b.Context(), alice.ID, officer())) }, "alice",
			Verdict{State: state.Limited, Verified: true, Allowed: true},
			"",
		},
		{
			"undeployed", func(b *bed) { must(b.desk.Undeploy(b.Context(), alice.ID, officer())) }, "alice",
			Verdict{State: state.NotDeployed},
			"no account",
		},
		{
			"removed_from_the_host", func(b *bed) { delete(b.host.accounts, alice.ID) }, "alice",
			Verdict{State: state.NotDeployed},
			"no account",
		},
		{
			"other_name_on_the_host", hand(func(a *backend.Account) { a.Name = "root" }), "alice",
			Verdict{State: state.Unknown},
			ErrMismatch.Error(),
		},
		{
			"other_identity_on_the_host", hand(func(a *backend.Account) { a.ID = subject("bob").ID }), "alice",
			Verdict{State: state.Unknown},
			ErrMismatch.Error(),
		},
		{
			"other_uid_on_the_host", hand(func(a *backend.Account) { a.UID++ }), "alice",
			Verdict{State: state.Unknown},
			ErrMismatch.Error(),
		},
		{
			"uid_of_root", hand(func(a *backend.Account) { a.UID = 0 }), "alice",
			Verdict{State: state.Unknown},
			ErrMismatch.Error(),
		},
		{
			"group_of_root", hand(func(a *backend.Account) { a.GID = 0 }), "alice",
			Verdict{State: state.Unknown},
			ErrMismatch.Error(),
		},
		{
			"host_is_silent", func(b *bed) { b.host.failAt("find", backend.ErrUnavailable) }, "alice",
			Verdict{State: state.Unknown},
			"not available",
		},
		{
			"host_is_silent_and_suspended", func(b *bed) {
				must(b.desk.Suspend(b.Context(), alice.ID, officer()))
				b.host.failAt("find", backend.ErrUnavailable)
			}, "alice", Verdict{State: state.Suspended}, "suspended",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, nil)
			b.deploy(alice)
			if c.prepare != nil {
				c.prepare(b)
			}
			got := b.verify(alice, c.username)
			if got.ID != alice.ID || got.Name != "alice" {
				t.Errorf("about %q, %q", got.ID, got.Name)
			}
			if !strings.Contains(got.Reason, c.reason) || got.Allowed != (got.Reason == "") {
				t.Errorf("reason %q, want %q", got.Reason, c.reason)
			}
			got.ID, got.Name, got.UID, got.Reason = "", "", 0, ""
			if got != c.want {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
			if c.username != "alice" {
				return
			}
			byName, err := b.desk.ByName(t.Context(), "alice")
			if err != nil || byName.Allowed != c.want.Allowed || byName.State != c.want.State {
				t.Errorf("by name: %+v, %v", byName, err)
			}
		})
	}
}

func must(_ Answer, err error) {
	if err != nil {
		panic(err)
	}
}

func TestNobody(t *testing.T) {
	b := newBed(t, nil)
	if v := b.verify(subject("alice"), "alice"); v.Allowed || v.Verified || v.State != state.NotDeployed ||
		v.Reason == "" {
		t.Errorf("%+v", v)
	}
	for _, name := range []string{"", "root", "nobody", "a b", "../etc", strings.Repeat("x", 5000), "a\x00b"} {
		v, err := b.desk.ByName(t.Context(), name)
		if err != nil || v.Allowed || v.Verified || v.ID != "" {
			t.Errorf("%.20q: %+v, %v", name, v, err)
		}
	}
}

// TestCompatVerified: what motley-cue says of a suspended user, and that he is not let in by it.
func TestCompatVerified(t *testing.T) {
	b := newBed(t, func(r *Rules) { r.CompatVerified = true })
	alice := subject("alice")
	b.deploy(alice)
	must(b.desk.Suspend(t.Context(), alice.ID, officer()))
	if v := b.verify(alice, "alice"); !v.Verified || v.Allowed || v.State != state.Suspended {
		t.Errorf("%+v", v)
	}
	if v := b.verify(alice, "bob"); v.Verified || v.Allowed {
		t.Errorf("as bob: %+v", v)
	}
}

// TestFreshness: what the host says is remembered for a while, what the ledger says is not.
func TestFreshness(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	b.verify(alice, "alice")
	asked := b.host.calls["find"]
	for range 10 {
		b.verify(alice, "alice")
	}
	if n := b.host.calls["find"] - asked; n != 0 {
		t.Errorf("the host was asked %d times more", n)
	}
	t.Run("suspended_by_another_process", func(t *testing.T) {
		other := b.another(nil)
		must(other.Suspend(t.Context(), alice.ID, officer()))
		if v := b.verify(alice, "alice"); v.Allowed {
			t.Error("let in")
		}
		must(other.Resume(t.Context(), alice.ID, officer()))
		if v := b.verify(alice, "alice"); !v.Allowed {
			t.Errorf("not let in: %+v", v)
		}
	})
	t.Run("expired_on_the_host", func(t *testing.T) {
		b.host.account(alice.ID, func(a *backend.Account) { a.Suspended = true })
		b.pass(defaultFresh + time.Millisecond)
		if v := b.verify(alice, "alice"); v.Allowed {
			t.Error("let in")
		}
	})
}

// TestLedgerGone: without a ledger nobody is let in.
func TestLedgerGone(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	if err := b.eng.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := b.desk.Verify(t.Context(), alice.ID, "alice")
	if !errors.Is(err, store.ErrClosed) || v.Allowed || v.Verified || v.State != state.Unknown {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err = b.desk.ByName(t.Context(), "alice"); err == nil || v.Allowed || v.Verified {
		t.Errorf("by name: %+v, %v", v, err)
	}
	if _, err = b.desk.Deploy(t.Context(), alice); err == nil {
		t.Error("deployed")
	}
	if a, err := b.desk.Status(t.Context(), alice); err == nil || a.State != "" {
		t.Errorf("status %+v, %v", a, err)
	}
}

// TestNewerRecord: what a newer version wrote is not guessed at.
func TestNewerRecord(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	err := b.eng.Update(t.Context(), func(tx store.WTx) error {
		return put(tx, tableAccounts, key(alice.ID), account{
			Version: recordVersion + 1, ID: alice.ID, Name: "alice",
			Phase: made, Rev: 9,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := b.desk.Verify(t.Context(), alice.ID, "alice"); !errors.Is(err, ErrRecord) || v.Allowed {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := b.desk.Deploy(t.Context(), alice); !errors.Is(err, ErrRecord) {
		t.Errorf("deploy: %v", err)
	}
}

// TestMismatchAtDeployment: nothing is changed where ledger and host do not agree.
func TestMismatchAtDeployment(t *testing.T) {
	alice := subject("alice", inGroups("vo"))
	for name, change := range map[string]func(*backend.Account){
		"name": func(a *backend.Account) { a.Name = "bob" },
		"uid":  func(a *backend.Account) { a.UID = 4711 },
		"root": func(a *backend.Account) { a.UID = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, nil)
			b.deploy(alice)
			b.host.account(alice.ID, change)
			before := b.host.calls["deploy"]
			_, err := b.desk.Deploy(t.Context(), subject("alice", inGroups("vo", "new")))
			rejected(t, err, "There is a problem with your account. Please contact the administrator.")
			if !errors.Is(err, ErrMismatch) || b.host.calls["deploy"] != before {
				t.Errorf("%v; %d calls", err, b.host.calls["deploy"]-before)
			}
			if s := b.status(alice); s.State != state.Unknown || s.Message != "No message" {
				t.Errorf("status %+v", s)
			}
		})
	}
	t.Run("name_given_away", func(t *testing.T) {
		b := newBed(t, nil)
		b.deploy(alice)
		delete(b.host.accounts, alice.ID)
		delete(b.host.former, "alice")
		b.host.locals["alice"] = true
		_, err := b.desk.Deploy(t.Context(), alice)
		if rejected(t, err, ""); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
	})
	t.Run("removed_comes_back_as_it_was", func(t *testing.T) {
		b := newBed(t, nil)
		b.deploy(alice)
		uid := b.show(alice).UID
		delete(b.host.accounts, alice.ID)
		b.deploy(subject("bob"))
		if got := b.deploy(alice); got.Message != "User was created and was added to groups vo." || b.show(alice).UID != uid {
			t.Errorf("%+v, uid %d, want %d", got, b.show(alice).UID, uid)
		}
	})
	t.Run("host_gives_anothers_uid", func(t *testing.T) {
		b := newBed(t, nil)
		b.deploy(alice)
		b.host.nextUID--
		_, err := b.desk.Deploy(t.Context(), subject("bob"))
		if rejected(t, err, ""); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
		if v := b.verify(subject("bob"), "bob"); v.Allowed {
			t.Error("let in")
		}
	})
}

// TestUnknownToTheLedger: an account that carries an identity proves nothing.
func TestUnknownToTheLedger(t *testing.T) {
	alice := subject("alice")
	planted := func(t *testing.T, change func(*Rules)) *bed {
		b := newBed(t, change)
		b.host.accounts[alice.ID] = &backend.Account{ID: alice.ID, Name: "victim", UID: 3000, GID: 3000}
		b.host.former["victim"] = alice.ID
		return b
	}
	t.Run("refused", func(t *testing.T) {
		b := planted(t, nil)
		_, err := b.desk.Deploy(t.Context(), alice)
		if rejected(t, err, ""); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
		if v := b.verify(alice, "victim"); v.Allowed {
			t.Error("let in")
		}
	})
	t.Run("adopted", func(t *testing.T) {
		b := planted(t, func(r *Rules) { r.Adopt = true })
		if got := b.deploy(alice); got.Credentials["ssh_user"] != "victim" || got.Message != "User already existed." {
			t.Errorf("%+v", got)
		}
		if v := b.verify(alice, "victim"); !v.Allowed {
			t.Errorf("%+v", v)
		}
	})
	t.Run("not_adopted_when_users_edit_it", func(t *testing.T) {
		b := planted(t, func(r *Rules) { r.Adopt = true })
		b.host.trust = backend.ErrEditable
		_, err := b.desk.Deploy(t.Context(), alice)
		if rejected(t, err, ""); !errors.Is(err, backend.ErrEditable) {
			t.Errorf("%v", err)
		}
	})
	t.Run("not_adopted_below_the_floor", func(t *testing.T) {
		b := planted(t, func(r *Rules) { r.Adopt = true })
		b.host.accounts[alice.ID].UID = 0
		_, err := b.desk.Deploy(t.Context(), alice)
		if rejected(t, err, ""); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
		b.host.accounts[alice.ID].UID, b.host.accounts[alice.ID].Name = 3000, "root"
		_, err = b.desk.Deploy(t.Context(), alice)
		if rejected(t, err, ""); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
	})
}
