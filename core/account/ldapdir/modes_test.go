//go:build unix

package ldapdir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func TestReadOnly(t *testing.T) {
	d := services.Slapd(t)
	d.Add(services.PersonLDIF("alice", 30001, 20000, "gecos: "+id(t, "a")))
	o := options(d)
	o.Mode, o.BindDN, o.Password = ldapdir.ReadOnly, services.LDAPReader, secret.FromString(services.LDAPReaderPassword)
	dir := open(t, o)
	before := d.Search(services.LDAPBase, "(objectClass=*)", "*", "+")
	done, err := dir.Deploy(t.Context(), wanted(t, "a", "other"))
	if err != nil || done.Created || done.Account.Name != "alice" || done.Account.Primary != "existing" {
		t.Errorf("account that is there: %+v, %v", done, err)
	}
	ref := backend.Ref{ID: id(t, "a"), Name: "alice"}
	for name, c := range map[string]struct{ got, want error }{
		"deploy":   {second(dir.Deploy(t.Context(), wanted(t, "b", "bob"))), backend.ErrReadOnly},
		"suspend":  {dir.Suspend(t.Context(), ref, false), backend.ErrUnsupported},
		"resume":   {dir.Resume(t.Context(), ref), backend.ErrUnsupported},
		"tier":     {dir.SetTier(t.Context(), ref, backend.Limited), backend.ErrReadOnly},
		"undeploy": {dir.Undeploy(t.Context(), ref), backend.ErrReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(c.got, c.want) {
				t.Errorf("got %v, want %v", c.got, c.want)
			}
		})
	}
	if after := d.Search(services.LDAPBase, "(objectClass=*)", "*", "+"); after != before {
		t.Error("the directory was changed")
	}
}

func second(_ backend.Done, err error) error { return err }

func TestPreCreated(t *testing.T) {
	d := services.Slapd(t)
	d.Add(services.PersonLDIF("alice", 30001, 20000))
	d.Add(services.PersonLDIF("bob", 30002, 20000, "gecos: Bob of the second floor"))
	d.Add(services.PersonLDIF("low", 50, 20000))
	d.Add(services.PersonLDIF("nobodys", 30003, 20000, "description: not for federated users"))
	o := options(d)
	o.Mode, o.Filter = ldapdir.PreCreated, "(!(description=not for*))"
	dir := open(t, o)
	for name, c := range map[string]struct {
		w    backend.Wanted
		want error
	}{
		"entry_of_somebody_local": {wanted(t, "b", "bob"), backend.ErrTaken},
		"no_such_entry":           {wanted(t, "b", "dora"), backend.ErrReadOnly},
		"uid_below_the_floor":     {wanted(t, "b", "low"), backend.ErrRefused},
		"outside_of_the_filter":   {wanted(t, "b", "nobodys"), backend.ErrReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := dir.Deploy(t.Context(), c.w); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	w := wanted(t, "a", "alice")
	w.Groups = []string{"existing"}
	done, err := dir.Deploy(t.Context(), w)
	if err != nil || !done.Created || done.Account.UID != 30001 || len(done.Account.Groups) != 0 {
		t.Fatalf("claim: %+v, %v", done, err)
	}
	if again, err := dir.Deploy(t.Context(), w); err != nil || again.Created {
		t.Errorf("again: %+v, %v", again, err)
	}
	if err := second(dir.Deploy(t.Context(), wanted(t, "b", "alice"))); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("second identity: %v", err)
	}
	if err := dir.Undeploy(t.Context(), backend.Ref{ID: w.ID, Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	if err := second(dir.Deploy(t.Context(), wanted(t, "b", "alice"))); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("second identity after undeploying: %v", err)
	}
	if h, err := dir.Holder(t.Context(), "alice"); err != nil || h.ID != w.ID {
		t.Errorf("holder after undeploying: %+v, %v", h, err)
	}
	if back, err := dir.Deploy(t.Context(), w); err != nil || !back.Created {
		t.Errorf("back: %+v, %v", back, err)
	}
}

// TestPreCreatedRace: the attribute takes several values, so the directory does not decide who was first.
func TestPreCreatedRace(t *testing.T) {
	d := services.Slapd(t)
	o := options(d)
	o.Mode, o.IDAttribute = ldapdir.PreCreated, "federatedIdentity"
	two := []*ldapdir.Dir{open(t, o), open(t, o)}
	for round := range 15 {
		name := fmt.Sprintf("pre%d", round)
		d.Add(services.PersonLDIF(name, 30100+round, 20000))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range 2 {
			wg.Go(func() {
				_, errs[i] = two[i].Deploy(context.Background(), wanted(t, fmt.Sprintf("r%d-%d", round, i), name))
			})
		}
		wg.Wait()
		if errs[0] == nil && errs[1] == nil {
			t.Errorf("round %d: both identities have it", round)
		}
		values := strings.Count(d.Search(services.LDAPPeople, "(uid="+name+")", "federatedIdentity"), "federatedIdentity:")
		if won := errs[0] == nil || errs[1] == nil; won && values != 1 || values > 1 {
			t.Errorf("round %d: %d identities in the entry, %v", round, values, errs)
		}
	}
}

func TestSuspensions(t *testing.T) {
	d := services.Slapd(t)
	for name, c := range map[string]struct {
		s    ldapdir.Suspension
		want error
		line string
	}{
		"attribute": {
			ldapdir.Suspension{Method: ldapdir.Attribute, Name: "employeeType", Value: "suspended"},
			nil,
			"employeeType: suspended",
		},
		"shadow":             {ldapdir.Suspension{Method: ldapdir.ShadowExpire}, nil, "shadowExpire: 1"},
		"chosen_by_schema":   {ldapdir.Suspension{}, nil, "shadowExpire: 1"},
		"none":               {ldapdir.Suspension{Method: ldapdir.NoMethod}, backend.ErrUnsupported, ""},
		"not_in_this_schema": {ldapdir.Suspension{Method: ldapdir.LockedTime}, errors.ErrUnsupported, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(d)
			o.Suspension = c.s
			dir := open(t, o)
			w := wanted(t, name, "u"+strings.ReplaceAll(name, "_", ""))
			if _, err := dir.Deploy(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			ref := backend.Ref{ID: w.ID, Name: w.Name}
			err := dir.Suspend(t.Context(), ref, false)
			if c.want == errors.ErrUnsupported { // any error: it must not be taken for a suspension
				if a, _ := dir.Find(t.Context(), w.ID); err == nil || a.Suspended {
					t.Errorf("suspended: %v", err)
				}
				return
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
			entry := d.Search(services.LDAPPeople, "(uid="+w.Name+")")
			if c.line != "" && !strings.Contains(entry, c.line+"\n") {
				t.Errorf("entry:\n%s", entry)
			}
			if a, err := dir.Find(t.Context(), w.ID); err != nil || a.Suspended != (c.want == nil) {
				t.Errorf("found %+v, %v", a, err)
			}
			if err := dir.Resume(t.Context(), ref); !errors.Is(err, c.want) {
				t.Errorf("resume: %v", err)
			}
			if a, err := dir.Find(t.Context(), w.ID); err != nil || a.Suspended {
				t.Errorf("resumed: %+v, %v", a, err)
			}
		})
	}
}

// TestTrust asks directories in which users may and may not change their gecos.
func TestTrust(t *testing.T) {
	probe := &ldapdir.Login{DN: services.LDAPUser, Password: secret.FromString(services.LDAPUserPassword)}
	wrong := &ldapdir.Login{DN: services.LDAPUser, Password: secret.FromString("wrong")}
	own := services.SlapdOptions{Database: "access to attrs=gecos by self write by dn.exact=\"" + services.LDAPWriter +
		"\" write by * read\n"}
	strict, lax := services.Slapd(t), services.Slapd(t, own)
	for name, c := range map[string]struct {
		d    *services.Directory
		edit func(*ldapdir.Options)
		want error
	}{
		"nobody_vouches":        {strict, func(*ldapdir.Options) {}, backend.ErrEditable},
		"administrator_does":    {lax, func(o *ldapdir.Options) { o.NotEditable = true }, nil},
		"tried_and_refused":     {strict, func(o *ldapdir.Options) { o.Probe = probe }, nil},
		"tried_and_allowed":     {lax, func(o *ldapdir.Options) { o.Probe = probe }, backend.ErrEditable},
		"probe_does_not_get_in": {strict, func(o *ldapdir.Options) { o.Probe = wrong }, backend.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(c.d)
			c.edit(&o)
			before := c.d.Search(services.LDAPPeople, "(uid=olduser)")
			if err := open(t, o).Trust(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if after := c.d.Search(services.LDAPPeople, "(uid=olduser)"); after != before {
				t.Error("the entry was changed")
			}
		})
	}
}

// TestEntriesOfOthers: what the directory has beside our accounts is left alone and never taken for one.
func TestEntriesOfOthers(t *testing.T) {
	d := services.Slapd(t)
	d.Add(services.PersonLDIF("low", 50, 20000, "gecos: "+id(t, "low")))
	d.Add(services.PersonLDIF("grouped", 30009, 0, "gecos: "+id(t, "grouped")))
	d.Add(services.PersonLDIF("first", 30001, 20000, "gecos: "+id(t, "twice")))
	d.Add(services.PersonLDIF("second", 30002, 20000, "gecos: "+id(t, "twice")))
	d.Add(services.PersonLDIF("upper", 30003, 20000, "gecos: "+id(t, "CASE")))
	d.Add("dn: cn=powerful," + services.LDAPGroups + "\nobjectClass: posixGroup\ncn: powerful\ngidNumber: 27\n\n")
	dir := open(t, options(d))
	power := wanted(t, "p", "paul")
	power.Groups = []string{"powerful"}
	for name, c := range map[string]struct{ got, want error }{
		"identity_on_a_system_account": {findErr(t, dir, "low"), backend.ErrRefused},
		"primary_group_of_root":        {findErr(t, dir, "grouped"), backend.ErrRefused},
		"identity_twice":               {findErr(t, dir, "twice"), backend.ErrMismatch},
		"identity_in_another_case":     {findErr(t, dir, "case"), backend.ErrNoAccount},
		"name_of_somebody":             {second(dir.Deploy(t.Context(), wanted(t, "x", "olduser"))), backend.ErrTaken},
		"name_of_a_group":              {second(dir.Deploy(t.Context(), wanted(t, "x", "existing"))), backend.ErrTaken},
		"group_below_the_floor":        {second(dir.Deploy(t.Context(), power)), backend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(c.got, c.want) {
				t.Errorf("got %v, want %v", c.got, c.want)
			}
		})
	}
	if d.Search(services.LDAPGroups, "(&(cn=powerful)(memberUid=*))") != "" {
		t.Error("powerful has members")
	}
	var all []string
	if err := dir.All(t.Context(), func(a backend.Account) error { all = append(all, a.Name); return nil }); err != nil ||
		slices.Contains(all, "low") || slices.Contains(all, "olduser") {
		t.Errorf("all: %q, %v", all, err)
	}
}

func findErr(t *testing.T, dir *ldapdir.Dir, sub string) error {
	t.Helper()
	_, err := dir.Find(t.Context(), id(t, sub))
	return err
}

// TestForeignMembership: a membership that an administrator gave in a group of the system stays.
func TestForeignMembership(t *testing.T) {
	d := services.Slapd(t)
	d.Add("dn: cn=games," + services.LDAPGroups + "\nobjectClass: posixGroup\ncn: games\ngidNumber: 60\nmemberUid: alice\n\n")
	dir := open(t, options(d))
	done, err := dir.Deploy(t.Context(), wanted(t, "a", "alice"))
	if err != nil || done.Removed != nil || !slices.Equal(done.Account.Groups, []string{"games"}) {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestPrimary: who loses the claim behind the primary group loses the group.
func TestPrimary(t *testing.T) {
	dir := open(t, options(services.Slapd(t)))
	w := wanted(t, "a", "alice")
	w.Primary = "vo_one"
	if _, err := dir.Deploy(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	w.Primary, w.Groups = "vo_two", []string{"vo_one"}
	kept, err := dir.Deploy(t.Context(), w)
	if err != nil || kept.Account.Primary != "vo_one" || kept.Removed != nil {
		t.Errorf("still a member: %+v, %v", kept, err)
	}
	w.Groups = nil
	done, err := dir.Deploy(t.Context(), w)
	if err != nil || done.Account.Primary != "vo_two" || done.Account.GID == kept.Account.GID ||
		!slices.Equal(done.Removed, []string{"vo_one"}) || !slices.Equal(done.Added, []string{"vo_two"}) {
		t.Errorf("a member no longer: %+v, %v", done, err)
	}
}

// TestAdopted: an account of another provisioner's making is remembered from its first deployment on, so that its name
// stays its own when somebody deletes the entry.
func TestAdopted(t *testing.T) {
	d := services.Slapd(t)
	d.Add(services.PersonLDIF("alice", 30077, 20000, "gecos: "+id(t, "a")))
	dir := open(t, options(d))
	w := wanted(t, "a", "alice")
	if done, err := dir.Deploy(t.Context(), w); err != nil || done.Created || done.Account.UID != 30077 {
		t.Fatalf("%+v, %v", done, err)
	}
	d.Add("dn: uid=alice," + services.LDAPPeople + "\nchangetype: delete\n\n")
	if err := second(dir.Deploy(t.Context(), wanted(t, "b", "alice"))); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name of a deleted entry: %v", err)
	}
	if back, err := dir.Deploy(t.Context(), w); err != nil || back.Account.UID != 30077 {
		t.Errorf("back: %+v, %v", back, err)
	}
}

// TestRenamed: an identity whose account never came to be may get another name later, and a number once.
func TestRenamed(t *testing.T) {
	d := services.Slapd(t)
	o := options(d)
	o.Limits.MaxUID = 30000
	o.FixedGroups = map[string]uint32{"fed": 100}
	dir := open(t, o)
	if done, err := dir.Deploy(t.Context(), wanted(t, "a", "alice")); err != nil || done.Account.GID != 100 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := second(dir.Deploy(t.Context(), wanted(t, "b", "bob"))); !errors.Is(err, ldapdir.ErrFull) ||
		!errors.Is(err, backend.ErrRefused) {
		t.Fatalf("range is used up: %v", err)
	}
	o.Limits = names.Limits{MinUID: 30000, MinGID: 31000}
	wide := open(t, o)
	if err := second(wide.Deploy(t.Context(), wanted(t, "b", "robert"))); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("another name at once: %v", err)
	}
	o.Now = later
	done, err := open(t, o).Deploy(t.Context(), wanted(t, "b", "robert"))
	if err != nil || done.Account.Name != "robert" {
		t.Errorf("another name later: %+v, %v", done, err)
	}
	if err := second(wide.Deploy(t.Context(), wanted(t, "c", "bob"))); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name that was reserved: %v", err)
	}
}
