package provision

import (
	"errors"
	"slices"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
)

func withApproval(r *Rules) { r.Default.Approval = true }

// mailed returns the notices since the last call, by kind.
func (b *bed) mailed() (kinds []Kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.mails {
		kinds = append(kinds, e.Kind)
	}
	b.mails = nil
	return kinds
}

func (b *bed) wantMail(kinds ...Kind) {
	b.Helper()
	if got := b.mailed(); !slices.Equal(got, kinds) {
		b.Errorf("told of %v, want %v", got, kinds)
	}
}

func TestApproval(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice", inGroups("vo"))
	got := b.deploy(alice)
	if got.State != state.Pending || got.Message != "Request for deployment was submitted for approval." ||
		len(got.Credentials) > 0 || got.Credentials == nil {
		t.Fatalf("%+v", got)
	}
	b.wantMail(Submitted)
	if b.host.calls["deploy"] != 0 {
		t.Error("an account was made")
	}
	if s := b.status(alice); s.State != state.Pending || s.Message != "User deployment is pending approval." {
		t.Errorf("status %+v", s)
	}
	for _, name := range []string{"alice", "deployment", "pending", "User"} {
		if v := b.verify(alice, name); v.Allowed || v.Verified {
			t.Errorf("let in as %q while pending", name)
		}
	}
	if got = b.deploy(alice); got.Message != "Request for deployment was already submitted for approval. No new request was sent." {
		t.Errorf("again: %+v", got)
	}
	b.wantMail()
	first, err := b.desk.PendingOf(t.Context(), alice.ID)
	if err != nil || first.Name != "alice" || !slices.Equal(first.Groups, []string{"vo"}) || first.Primary != "vo" ||
		first.Email != alice.Email || first.Change {
		t.Errorf("%+v, %v", first, err)
	}
	more := subject("alice", inGroups("vo", "admins-of-all"))
	if got = b.deploy(more); got.Message != "Updated request for deployment was submitted for approval." {
		t.Errorf("with other groups: %+v", got)
	}
	b.wantMail(Updated)
	if _, err = b.desk.Decide(t.Context(), alice.ID, first.Revision, true, officer()); !errors.Is(err, ErrChanged) {
		t.Errorf("the link in the first mail decided about the second request: %v", err)
	}
	all, err := b.desk.Pending(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	got, err = b.desk.Decide(t.Context(), alice.ID, all[0].Revision, true, officer())
	if err != nil || got.State != state.Deployed || got.Message != "User '"+alice.ID+"' was accepted." {
		t.Errorf("%+v, %v", got, err)
	}
	b.wantMail(Accepted)
	if a := b.host.account(alice.ID, nil); !slices.Equal(a.Groups, []string{"admins-of-all", "vo"}) {
		t.Errorf("%+v", a)
	}
	if v := b.verify(alice, "alice"); !v.Allowed {
		t.Errorf("%+v", v)
	}
	if _, err = b.desk.Decide(t.Context(), alice.ID, "", true, officer()); !errors.Is(err, ErrNotPending) {
		t.Errorf("decided twice: %v", err)
	}
	if all, err = b.desk.Pending(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

func TestRejection(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice")
	b.deploy(alice)
	got, err := b.desk.Decide(t.Context(), alice.ID, "", false, officer())
	if err != nil || got.State != state.Rejected {
		t.Fatalf("%+v, %v", got, err)
	}
	b.mailed()
	_, err = b.desk.Deploy(t.Context(), alice)
	rejected(t, err, "User deployment was rejected. No new deployment request will be sent.")
	b.wantMail()
	if s := b.status(alice); s.State != state.Rejected || s.Message != "User deployment was rejected." {
		t.Errorf("status %+v", s)
	}
	b.desk = b.another(nil) // approval is switched off
	_, err = b.desk.Deploy(t.Context(), alice)
	rejected(t, err, state.RejectedBefore)
	other := subject("other", func(s *Subject) { s.Person.PreferredUsername = "alice" })
	if b.deploy(other); b.show(other).Name != "alice" {
		t.Error("the name of a rejected request stayed reserved")
	}
	must(b.desk.Undeploy(t.Context(), alice.ID, officer()))
	b.nothingOf(alice)
}

// TestReservedByRequest: a name in a request that waits is nobody else's.
func TestReservedByRequest(t *testing.T) {
	b := newBed(t, withApproval)
	person := func(sub string) Subject {
		return subject(sub, func(s *Subject) {
			s.Person = names.Person{
				PreferredUsername: "anna", Given: "Anna",
				Family: "Berg",
			}
		})
	}
	b.deploy(person("1"))
	b.deploy(person("2"))
	if b.show(person("1")).Name != "anna" || b.show(person("2")).Name != "annber" {
		t.Errorf("%q and %q", b.show(person("1")).Name, b.show(person("2")).Name)
	}
	b.host.locals["anna"] = true // an administrator makes a local user of that name before deciding
	must(b.desk.Decide(t.Context(), person("1").ID, "", true, officer()))
	if got := b.show(person("1")).Name; got == "anna" || got == "annber" ||
		b.host.account(person("1").ID, nil).Name != got {
		t.Errorf("%q", got)
	}
}

// TestGroupsWithApproval: what is added waits, what is taken away does not.
func TestGroupsWithApproval(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice", inGroups("a", "b"))
	b.deploy(alice)
	must(b.desk.Decide(t.Context(), alice.ID, "", true, officer()))
	b.mailed()
	alice.Groups = []string{"b", "c"}
	got := b.deploy(alice)
	want := "User already existed, but groups changed. A request for updating user groups was submitted for approval."
	if got.State != state.Deployed || got.Message != want || got.Credentials["ssh_user"] != "alice" {
		t.Errorf("%+v", got)
	}
	b.wantMail(Submitted)
	if a := b.host.account(alice.ID, nil); !slices.Equal(a.Groups, []string{"b"}) {
		t.Errorf("groups are %v", a.Groups)
	}
	r, err := b.desk.PendingOf(t.Context(), alice.ID)
	if err != nil || !r.Change || !slices.Equal(r.Added, []string{"c"}) || !slices.Equal(r.Groups, []string{"b", "c"}) {
		t.Errorf("%+v, %v", r, err)
	}
	b.deploy(alice)
	b.wantMail()
	if s := b.status(alice); s.State != state.Deployed {
		t.Errorf("%+v", s)
	}
	got, err = b.desk.Decide(t.Context(), alice.ID, r.Revision, false, officer())
	if err != nil || got.State != state.Deployed {
		t.Errorf("%+v, %v", got, err)
	}
	b.wantMail(Rejected)
	if got = b.deploy(alice); got.Message != "User already existed." {
		t.Errorf("after the no: %+v", got)
	}
	b.wantMail()
	alice.Groups = []string{"b", "c", "d"}
	b.deploy(alice)
	b.wantMail(Submitted)
	must(b.desk.Decide(t.Context(), alice.ID, "", true, officer()))
	if a := b.host.account(alice.ID, nil); !slices.Equal(a.Groups, []string{"b", "c", "d"}) {
		t.Errorf("groups are %v", a.Groups)
	}
}

// TestPrimaryWithApproval: a group that nobody approved is not given as the primary one either.
func TestPrimaryWithApproval(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice", inGroups("b"))
	b.deploy(alice)
	must(b.desk.Decide(t.Context(), alice.ID, "", true, officer()))
	alice.Groups = []string{"a"}
	b.deploy(alice)
	if a := b.host.account(alice.ID, nil); a.Primary != "people" || len(a.Groups) > 0 {
		t.Errorf("groups %v, primary %q", a.Groups, a.Primary)
	}
	must(b.desk.Decide(t.Context(), alice.ID, "", true, officer()))
	if a := b.host.account(alice.ID, nil); a.Primary != "a" || !slices.Equal(a.Groups, []string{"a"}) {
		t.Errorf("groups %v, primary %q", a.Groups, a.Primary)
	}
}

// TestGrantIsMended: what was granted is made, although the process that was told so died.
func TestGrantIsMended(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice", inGroups("vo"))
	b.deploy(alice)
	b.host.failAt("deploy half", errBroken)
	if _, err := b.desk.Decide(t.Context(), alice.ID, "", true, officer()); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	b.host.mended()
	if n, err := b.desk.Mend(t.Context()); n != 1 || err != nil {
		t.Fatalf("mended %d, %v", n, err)
	}
	if v := b.verify(alice, "alice"); !v.Allowed || b.event(Accepted).By != "officer" {
		t.Errorf("%+v", v)
	}
}

// TestRefusedGrant: a request that the host refuses goes on waiting, with its name.
func TestRefusedGrant(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice")
	b.deploy(alice)
	b.host.failAt("deploy before", backend.ErrRefused)
	_, err := b.desk.Decide(t.Context(), alice.ID, "", true, officer())
	rejected(t, err, "")
	if n, err := b.desk.Mend(t.Context()); n != 0 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
	if r, err := b.desk.PendingOf(t.Context(), alice.ID); err != nil || r.Name != "alice" ||
		b.show(alice).Name != "alice" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNoApprovalAnyMore: who waits when the site stops asking is let in by the next deployment.
func TestNoApprovalAnyMore(t *testing.T) {
	b := newBed(t, withApproval)
	alice := subject("alice")
	b.deploy(alice)
	b.desk = b.another(nil)
	if got := b.deploy(alice); got.State != state.Deployed {
		t.Errorf("%+v", got)
	}
	if all, err := b.desk.Pending(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}
