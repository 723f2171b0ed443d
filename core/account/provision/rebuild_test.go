package provision

import (
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// TestRebuild: with a ledger that is lost everybody is the same local user as before.
func TestRebuild(t *testing.T) {
	b := newBed(t, nil)
	members, _ := b.people(5)
	must(b.desk.Suspend(t.Context(), members[1].ID, officer()))
	before := map[string]Entry{}
	for _, s := range members {
		before[s.ID] = b.show(s)
	}
	b.eng = memstore.New()
	b.desk = b.another(nil)
	if _, err := b.desk.Deploy(t.Context(), members[0]); !errors.Is(err, ErrMismatch) {
		t.Fatalf("deployed without a ledger: %v", err)
	}
	b.host.trust = backend.ErrEditable
	if _, err := b.desk.Rebuild(t.Context(), RebuildOptions{By: officer()}); !errors.Is(err, backend.ErrEditable) {
		t.Fatalf("believed what users can edit: %v", err)
	}
	b.host.trust = nil
	report, err := b.desk.Rebuild(t.Context(), RebuildOptions{DryRun: true})
	if err != nil || len(report.Restored) != 6 {
		t.Fatalf("%+v, %v", report, err)
	}
	if list, err := b.desk.List(t.Context(), Filter{}); len(list) != 0 || err != nil {
		t.Errorf("a dry run wrote %v, %v", list, err)
	}
	report, err = b.desk.Rebuild(t.Context(), RebuildOptions{By: officer()})
	if err != nil || len(report.Restored) != 6 || len(report.Refused) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, s := range members {
		b.deploy(s)
		after := b.show(s)
		if after.Name != before[s.ID].Name || after.UID != before[s.ID].UID {
			t.Errorf("was %+v\nis %+v", before[s.ID], after)
		}
		if v := b.verify(s, after.Name); v.Allowed != (i != 1) {
			t.Errorf("%s: %+v", after.Name, v)
		}
	}
	report, err = b.desk.Rebuild(t.Context(), RebuildOptions{By: officer()})
	if err != nil || report.Agreed != 6 || len(report.Restored)+len(report.Refused) != 0 {
		t.Errorf("again: %+v, %v", report, err)
	}
	must(b.desk.Resume(t.Context(), members[1].ID, officer()))
	if s := b.status(members[1]); s.State != state.Deployed {
		t.Errorf("%+v", s)
	}
}

// TestRebuildRefuses: accounts that no federated identity may have, and those that contradict each other or the ledger.
func TestRebuildRefuses(t *testing.T) {
	b := newBed(t, nil)
	b.deploy(subject("known"))
	b.deploy(subject("gone"))
	must(b.desk.Undeploy(t.Context(), subject("gone").ID, officer()))
	id := func(sub string) string { return subject(sub).ID }
	plant := func(as string, a backend.Account) { b.host.accounts[as] = &a }
	plant("root", backend.Account{ID: id("evil0"), Name: "root", UID: 0, GID: 0})
	plant("uid0", backend.Account{ID: id("evil1"), Name: "evil", UID: 0, GID: 1000})
	plant("gid0", backend.Account{ID: id("evil2"), Name: "evil2", UID: 3000, GID: 0})
	plant("name", backend.Account{ID: id("evil3"), Name: "-rf", UID: 3001, GID: 3001})
	plant("text", backend.Account{ID: "Alice,Room 5", Name: "local", UID: 3002, GID: 3002})
	plant("twice1", backend.Account{ID: id("twin"), Name: "twin1", UID: 3003, GID: 3003})
	plant("twice2", backend.Account{ID: id("twin"), Name: "twin2", UID: 3004, GID: 3004})
	plant("uid1", backend.Account{ID: id("uid1"), Name: "samea", UID: 3005, GID: 3005})
	plant("uid2", backend.Account{ID: id("uid2"), Name: "sameb", UID: 3005, GID: 3005})
	plant("taken", backend.Account{ID: id("thief"), Name: "gone", UID: 3006, GID: 3006})
	plant("takenuid", backend.Account{ID: id("thief2"), Name: "thief2", UID: b.show(subject("gone")).UID, GID: 3006})
	b.host.accounts[id("known")].Name = "other"
	plant("fine", backend.Account{ID: id("fine"), Name: "fine", UID: 3007, GID: 3007})
	report, err := b.desk.Rebuild(t.Context(), RebuildOptions{By: officer()})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Restored) != 1 || report.Restored[0].Name != "fine" || report.Agreed != 0 || len(report.Refused) != 12 {
		t.Errorf("%+v", report)
	}
	for _, r := range report.Refused {
		if r.Reason == "" {
			t.Errorf("%+v without a reason", r)
		}
		if v, err := b.desk.ByName(t.Context(), r.Name); err != nil || v.Allowed {
			t.Errorf("%s is let in: %+v, %v", r.Name, v, err)
		}
	}
}
