package provision

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
)

func TestSuspend(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	got, err := b.desk.Suspend(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.Suspended || got.Message != "User '"+alice.ID+"' was suspended." {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(b.host.killed) != 1 || len(b.otp.burned) != 1 || !b.host.account(alice.ID, nil).Suspended {
		t.Errorf("killed %v, burned %v", b.host.killed, b.otp.burned)
	}
	if e := b.event(Suspended); e.ID != alice.ID || e.Name != "alice" || e.By != "officer" ||
		e.Remote != "192.0.2.1" || e.Reason != "incident" {
		t.Errorf("audit has %+v", e)
	}
	if got := b.deploy(alice); got.State != state.Deployed || got.Message != "User already existed." {
		t.Errorf("deploy: %+v", got)
	}
	if v := b.verify(alice, "alice"); v.Allowed {
		t.Error("let in after a deployment")
	}
	if s := b.status(alice); s.State != state.Suspended || s.Message != "username alice" {
		t.Errorf("status %+v", s)
	}
	got, err = b.desk.Undeploy(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.Suspended ||
		!strings.Contains(got.Message, "was not possible from the 'suspended' state") {
		t.Errorf("undeploy: %+v, %v", got, err)
	}
	got, err = b.desk.Resume(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.Deployed || got.Message != "User '"+alice.ID+"' was resumed." {
		t.Errorf("resume: %+v, %v", got, err)
	}
	if v := b.verify(alice, "alice"); !v.Allowed || b.host.account(alice.ID, nil).Suspended {
		t.Errorf("after resuming: %+v", v)
	}
}

func TestNotPossible(t *testing.T) {
	b := newBed(t, nil)
	id := subject("alice").ID
	for word, do := range map[string]func(context.Context, string, By) (Answer, error){
		"Suspending": b.desk.Suspend, "Resuming": b.desk.Resume, "Limiting": b.desk.Limit, "Unlimiting": b.desk.Unlimit,
	} {
		got, err := do(t.Context(), id, officer())
		want := word + " user '" + id + "' was not possible from the 'not_deployed' state. User was not changed."
		if err != nil || got.State != state.NotDeployed || got.Message != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
	b.nothingOf(subject("alice"))
	if len(b.otp.burned) != 0 || len(b.events) != 0 {
		t.Errorf("burned %v, events %v", b.otp.burned, b.events)
	}
}

// TestSuspendWithoutHost: who is to be stopped is kept out although the host does not answer, and Mend does the rest.
func TestSuspendWithoutHost(t *testing.T) {
	for _, point := range []string{"suspend before", "suspend done", "find"} {
		t.Run(strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
			b := newBed(t, nil)
			alice := subject("alice")
			b.deploy(alice)
			b.host.failAt(point, backend.ErrUnavailable)
			got, err := b.desk.Suspend(t.Context(), alice.ID, officer())
			var failure *Failure
			if point != "find" && !errors.As(err, &failure) || got.State != state.Suspended {
				t.Errorf("%+v, %v", got, err)
			}
			if v := b.verify(alice, "alice"); v.Allowed || v.State != state.Suspended {
				t.Errorf("%+v", v)
			}
			if n, err := b.desk.Mend(t.Context()); point != "find" && (n != 0 || err == nil) {
				t.Errorf("mended %d, %v", n, err)
			}
			b.host.mended()
			if n, err := b.desk.Mend(t.Context()); err != nil || point != "find" && n != 1 {
				t.Errorf("mended %d, %v", n, err)
			}
			if a := b.host.account(alice.ID, nil); !a.Suspended || len(b.host.killed) == 0 {
				t.Errorf("%+v", a)
			}
			if n, err := b.desk.Mend(t.Context()); n != 0 || err != nil {
				t.Errorf("mended %d again, %v", n, err)
			}
		})
	}
}

// TestLedgerAlone: a directory that has no suspension leaves it to the ledger.
func TestLedgerAlone(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	b.host.failAt("suspend before", backend.ErrUnsupported)
	if got, err := b.desk.Suspend(t.Context(), alice.ID, officer()); err != nil || got.State != state.Suspended {
		t.Fatalf("%+v, %v", got, err)
	}
	if v := b.verify(alice, "alice"); v.Allowed {
		t.Error("let in")
	}
	if n, err := b.desk.Mend(t.Context()); n != 0 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
	b.host.failAt("resume before", backend.ErrUnsupported)
	if got, err := b.desk.Resume(t.Context(), alice.ID, officer()); err != nil || got.State != state.Deployed {
		t.Errorf("%+v, %v", got, err)
	}
	b.host.failAt("tier before", backend.ErrUnsupported)
	if got, err := b.desk.Limit(t.Context(), alice.ID, officer()); err == nil {
		t.Errorf("limited by a ledger: %+v", got)
	}
	b.host.mended()
	if s := b.status(alice); s.State != state.Deployed {
		t.Errorf("%+v", s)
	}
}

// TestSuspendDuringDeployment: nobody has to wait for a host that is slow.
func TestSuspendDuringDeployment(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	inside, goOn := make(chan struct{}), make(chan struct{})
	b.host.mu.Lock()
	b.host.fault = func(point, _ string) error {
		if point == "deploy half" {
			close(inside)
			<-goOn
		}
		return nil
	}
	b.host.mu.Unlock()
	deployed, suspended := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.desk.Deploy(t.Context(), subject("alice", inGroups("vo")))
		deployed <- err
	}()
	<-inside
	go func() {
		_, err := b.desk.Suspend(t.Context(), alice.ID, officer())
		suspended <- err
	}()
	for b.verify(alice, "alice").Allowed { // the mark is there before the deployment ends
	}
	close(goOn)
	if err := errors.Join(<-deployed, <-suspended); err != nil {
		t.Fatal(err)
	}
	if v := b.verify(alice, "alice"); v.Allowed || v.State != state.Suspended {
		t.Errorf("the deployment took the suspension away: %+v", v)
	}
	if !b.host.account(alice.ID, nil).Suspended {
		t.Error("the host was not told")
	}
}

func TestLimit(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	got, err := b.desk.Limit(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.Limited || b.host.account(alice.ID, nil).Shell != "/shell/none" {
		t.Fatalf("%+v, %v", got, err)
	}
	b.deploy(subject("alice", inGroups("vo")))
	if s := b.status(alice); s.State != state.Limited || b.host.account(alice.ID, nil).Shell != "/shell/none" {
		t.Errorf("a deployment gave the shell back: %+v", s)
	}
	must(b.desk.Suspend(t.Context(), alice.ID, officer()))
	if got, err = b.desk.Resume(t.Context(), alice.ID, officer()); err != nil || got.State != state.Limited {
		t.Errorf("resumed as %+v, %v", got, err)
	}
	got, err = b.desk.Unlimit(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.Deployed || b.host.account(alice.ID, nil).Shell != "/shell/full" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLimitIsMended(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	b.host.failAt("tier before", backend.ErrUnavailable)
	if _, err := b.desk.Limit(t.Context(), alice.ID, officer()); err == nil {
		t.Fatal("no error")
	}
	b.host.mended()
	if n, err := b.desk.Mend(t.Context()); n != 1 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
	if a := b.host.account(alice.ID, nil); !a.NoLogin {
		t.Errorf("%+v", a)
	}
}

// TestUndeploy: name and uid of somebody who left are nobody else's, whatever the host remembers.
func TestUndeploy(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	uid := b.show(alice).UID
	got, err := b.desk.Undeploy(t.Context(), alice.ID, officer())
	if err != nil || got.State != state.NotDeployed || got.Message != "User '"+alice.ID+"' was undeployed." {
		t.Fatalf("%+v, %v", got, err)
	}
	if b.host.account(alice.ID, nil).ID != "" || len(b.otp.burned) != 1 {
		t.Error("something is left")
	}
	if e := b.show(alice); !e.Former || e.Person != (backend.Person{}) || len(e.VOs) > 0 || e.State != state.NotDeployed {
		t.Errorf("ledger has %+v", e)
	}
	delete(b.host.former, "alice") // the host forgets
	other := subject("other", func(s *Subject) {
		s.Person = names.Person{PreferredUsername: "alice", Given: "Al", Family: "Ice"}
	})
	if b.deploy(other); b.show(other).Name == "alice" {
		t.Error("the name was given to somebody else")
	}
	b.host.nextUID = uid - 1 // and would give the number again
	if _, err := b.desk.Deploy(t.Context(), subject("third")); !errors.Is(err, ErrMismatch) {
		t.Errorf("the uid was given to somebody else: %v", err)
	}
	b.host.nextUID = uid + 10
	if b.deploy(alice); b.show(alice).Name != "alice" || b.show(alice).UID != uid {
		t.Errorf("came back as %+v", b.show(alice))
	}
}

func TestUndeployIsMended(t *testing.T) {
	for _, point := range []string{"undeploy before", "undeploy done"} {
		t.Run(strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
			b := newBed(t, nil)
			alice := subject("alice")
			b.deploy(alice)
			b.host.failAt(point, errBroken)
			if _, err := b.desk.Undeploy(t.Context(), alice.ID, officer()); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			if v := b.verify(alice, "alice"); v.Allowed {
				t.Error("let in")
			}
			b.host.mended()
			if n, err := b.desk.Mend(t.Context()); n != 1 || err != nil {
				t.Errorf("mended %d, %v", n, err)
			}
			if b.host.account(alice.ID, nil).ID != "" {
				t.Error("the account is there")
			}
		})
	}
}

// TestMismatchOfOfficers: an account that is not the identity's is not touched.
func TestMismatchOfOfficers(t *testing.T) {
	b := newBed(t, nil)
	alice := subject("alice")
	b.deploy(alice)
	b.host.account(alice.ID, func(a *backend.Account) { a.Name = "victim" })
	for name, do := range map[string]func(context.Context, string, By) (Answer, error){
		"unlimit": b.desk.Unlimit, "undeploy": b.desk.Undeploy,
	} {
		if _, err := do(t.Context(), alice.ID, officer()); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.desk.Suspend(t.Context(), alice.ID, officer()); err == nil {
		t.Error("suspend: no error")
	}
	if a := b.host.account(alice.ID, nil); a.Suspended || a.NoLogin || a.Name != "victim" {
		t.Errorf("%+v", a)
	}
	if v := b.verify(alice, "alice"); v.Allowed {
		t.Error("let in")
	}
}
