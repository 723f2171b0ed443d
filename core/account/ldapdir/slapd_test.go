//go:build unix

package ldapdir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"

func id(t testing.TB, sub string) string {
	t.Helper()
	text, err := names.Encode(sub, "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func wanted(t testing.TB, sub, name string) backend.Wanted {
	t.Helper()
	return backend.Wanted{ID: id(t, sub), Name: name, Primary: "fed", Tier: backend.Full}
}

// options are those of a provisioner that owns the directory.
func options(d *services.Directory) ldapdir.Options {
	return ldapdir.Options{
		Servers: []string{d.URL}, BindDN: services.LDAPWriter, Password: secret.FromString(services.LDAPWriterPassword),
		Mode: ldapdir.FullAccess, UserBase: services.LDAPPeople, GroupBase: services.LDAPGroups,
		Limits:       names.Limits{MinUID: 30000, MinGID: 31000},
		KeyAttribute: "sshPublicKey", Shells: map[backend.Tier]string{backend.Full: "/bin/bash"},
		Timeout: 20 * time.Second,
	}
}

func open(t testing.TB, o ldapdir.Options) *ldapdir.Dir {
	t.Helper()
	dir, err := ldapdir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	return dir
}

// TestAccount takes one account through its life, with the schema for counters and without.
func TestAccount(t *testing.T) {
	for name, o := range map[string]services.SlapdOptions{
		"plain_schema":   {},
		"counter_schema": {Schema: services.SlapdCounters},
	} {
		t.Run(name, func(t *testing.T) { life(t, services.Slapd(t, o)) })
	}
}

func life(t *testing.T, d *services.Directory) {
	dir := open(t, options(d))
	if err := dir.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := wanted(t, "a/b c", "alice")
	w.Groups = []string{"atlas", "cms"}
	w.Keys = []backend.Key{{Value: goodKey}, {Value: "no key"}}
	w.Person = backend.Person{Given: "Alice", Family: "Ä: x", Email: "alice@example.org"}
	done, err := dir.Deploy(t.Context(), w)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	a := done.Account
	if !done.Created || a.UID < 30000 || a.GID < 31000 || a.Home != "/home/alice" || a.Shell != "/bin/bash" ||
		a.Primary != "fed" || !slices.Equal(a.Groups, w.Groups) || !slices.Equal(done.Added, w.Groups) || len(done.Keys) != 1 {
		t.Fatalf("deployed: %+v", done)
	}
	w.Groups, w.Keys = []string{"cms", "lhcb"}, []backend.Key{}
	again, err := dir.Deploy(t.Context(), w)
	if err != nil || again.Created || again.Account.UID != a.UID || !slices.Equal(again.Added, []string{"lhcb"}) ||
		!slices.Equal(again.Removed, []string{"atlas"}) {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if entry := d.Search(services.LDAPPeople, "(uid=alice)"); strings.Contains(entry, "sshPublicKey") ||
		!strings.Contains(entry, "gecos: a%2Fb+c@https%3A%2F%2Fop.example%2F\n") || !strings.Contains(entry, "sn:: ") {
		t.Errorf("entry:\n%s", entry)
	}
	ref := backend.Ref{ID: w.ID, Name: "alice"}
	suspension(t, dir, w)
	if err := dir.SetTier(t.Context(), ref, backend.Limited); err != nil {
		t.Fatal(err)
	}
	found, err := dir.Find(t.Context(), w.ID)
	if err != nil || !found.NoLogin || found.Primary != "fed" || !slices.Equal(found.Groups, w.Groups) {
		t.Errorf("found: %+v, %v", found, err)
	}
	undeploy(t, dir, w, a.UID)
}

func suspension(t *testing.T, dir *ldapdir.Dir, w backend.Wanted) {
	t.Helper()
	ref := backend.Ref{ID: w.ID, Name: w.Name}
	if err := dir.Suspend(t.Context(), backend.Ref{ID: w.ID, Name: "bob"}, false); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("suspend under another name: %v", err)
	}
	if err := dir.Suspend(t.Context(), ref, false); err != nil {
		t.Fatal(err)
	}
	if err := dir.Suspend(t.Context(), ref, true); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("suspend with sessions: %v", err)
	}
	if done, err := dir.Deploy(t.Context(), w); err != nil || !done.Account.Suspended {
		t.Errorf("deploying woke it up: %+v, %v", done, err)
	}
	for range 2 {
		if err := dir.Resume(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := dir.Find(t.Context(), w.ID); err != nil || a.Suspended {
		t.Errorf("after resuming: %+v, %v", a, err)
	}
}

func undeploy(t *testing.T, dir *ldapdir.Dir, w backend.Wanted, uid uint32) {
	t.Helper()
	ref := backend.Ref{ID: w.ID, Name: w.Name}
	if err := dir.Undeploy(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Find(t.Context(), w.ID); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("find after undeploying: %v", err)
	}
	if h, err := dir.Holder(t.Context(), w.Name); err != nil || h != (backend.Holder{Taken: true, ID: w.ID}) {
		t.Errorf("holder after undeploying: %+v, %v", h, err)
	}
	if _, err := dir.Deploy(t.Context(), wanted(t, "other", w.Name)); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name given again: %v", err)
	}
	thief := wanted(t, "thief", "thief")
	thief.UID = uid
	if _, err := dir.Deploy(t.Context(), thief); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("uid given again: %v", err)
	}
	bob, err := dir.Deploy(t.Context(), wanted(t, "bob", "bob"))
	if err != nil || bob.Account.UID == uid {
		t.Errorf("next account: %+v, %v", bob, err)
	}
	back, err := dir.Deploy(t.Context(), w)
	if err != nil || !back.Created || back.Account.UID != uid || back.Account.Name != w.Name {
		t.Errorf("back: %+v, %v", back, err)
	}
	var all []string
	err = dir.All(t.Context(), func(a backend.Account) error { all = append(all, a.Name+" "+a.Primary); return nil })
	if slices.Sort(all); err != nil || !slices.Equal(all, []string{w.Name + " fed", "bob fed"}) {
		t.Errorf("all: %q, %v", all, err)
	}
}
