package dryrun_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/dryrun"
	"github.com/oidcbox/oidcbox/core/account/names"
)

func id(t *testing.T, sub string) string {
	t.Helper()
	text, err := names.Encode(sub, "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func wanted(t *testing.T, sub, name string) backend.Wanted {
	t.Helper()
	return backend.Wanted{ID: id(t, sub), Name: name, Primary: "fed", Tier: backend.Full}
}

func TestDeploy(t *testing.T) {
	var said []string
	s := dryrun.New(dryrun.Options{Would: func(_ context.Context, what string) { said = append(said, what) }})
	w := wanted(t, "a", "alice")
	w.Groups = []string{"atlas", "cms"}
	done, err := s.Deploy(t.Context(), w)
	if err != nil || !done.Created || done.Account.Name != "alice" || done.Account.UID < 1000 {
		t.Fatalf("deploy: %+v, %v", done, err)
	}
	if !slices.Equal(done.Added, w.Groups) || len(said) != 1 || !strings.Contains(said[0], "alice") {
		t.Fatalf("groups %q, said %q", done.Added, said)
	}
	w.Groups = []string{"cms", "fed"}
	again, err := s.Deploy(t.Context(), w)
	if err != nil || again.Created || !slices.Equal(again.Removed, []string{"atlas"}) || len(again.Added) != 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if again.Account.UID != done.Account.UID {
		t.Errorf("uid changed from %d to %d", done.Account.UID, again.Account.UID)
	}
}

func TestRefusals(t *testing.T) {
	s := dryrun.New(dryrun.Options{})
	if _, err := s.Deploy(t.Context(), wanted(t, "a", "alice")); err != nil {
		t.Fatal(err)
	}
	reserved := wanted(t, "b", "bob")
	reserved.Groups = []string{"sudo"}
	low := wanted(t, "b", "bob")
	low.UID = 7
	for name, c := range map[string]struct {
		w    backend.Wanted
		want error
	}{
		"name_of_somebody_else": {wanted(t, "b", "alice"), backend.ErrTaken},
		"root":                  {wanted(t, "b", "root"), backend.ErrRefused},
		"no_name":               {wanted(t, "b", "../x"), backend.ErrRefused},
		"no_identity":           {backend.Wanted{ID: "x", Name: "bob", Primary: "fed"}, backend.ErrRefused},
		"reserved_group":        {reserved, backend.ErrRefused},
		"uid_below_the_floor":   {low, backend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Deploy(t.Context(), c.w); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestUndeploy(t *testing.T) {
	s := dryrun.New(dryrun.Options{})
	done, err := s.Deploy(t.Context(), wanted(t, "a", "alice"))
	if err != nil {
		t.Fatal(err)
	}
	ref := backend.Ref{ID: id(t, "a"), Name: "alice"}
	if err := s.Undeploy(t.Context(), backend.Ref{ID: ref.ID, Name: "bob"}); !errors.Is(err, backend.ErrMismatch) {
		t.Fatalf("wrong name: %v", err)
	}
	if err := s.Undeploy(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), ref.ID); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("find after undeploy: %v", err)
	}
	if h, err := s.Holder(t.Context(), "alice"); err != nil || !h.Taken || h.ID != ref.ID {
		t.Errorf("holder after undeploy: %+v, %v", h, err)
	}
	if _, err := s.Deploy(t.Context(), wanted(t, "b", "alice")); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name given again: %v", err)
	}
	other := wanted(t, "b", "bob")
	other.UID = done.Account.UID
	if _, err := s.Deploy(t.Context(), other); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("uid given again: %v", err)
	}
	back, err := s.Deploy(t.Context(), wanted(t, "a", "alice"))
	if err != nil || back.Account.UID != done.Account.UID || !back.Created {
		t.Errorf("back: %+v, %v", back, err)
	}
}

func TestSuspend(t *testing.T) {
	s := dryrun.New(dryrun.Options{Shells: map[backend.Tier]string{backend.Full: "/bin/bash"}})
	if _, err := s.Deploy(t.Context(), wanted(t, "a", "alice")); err != nil {
		t.Fatal(err)
	}
	ref := backend.Ref{ID: id(t, "a"), Name: "alice"}
	if err := s.Suspend(t.Context(), ref, true); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Deploy(t.Context(), wanted(t, "a", "alice")); err != nil || !done.Account.Suspended {
		t.Errorf("deploying woke it up: %+v, %v", done, err)
	}
	if err := s.Resume(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTier(t.Context(), ref, backend.Limited); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Find(t.Context(), ref.ID); err != nil || a.Suspended || !a.NoLogin {
		t.Errorf("after resume and limit: %+v, %v", a, err)
	}
}

func TestReal(t *testing.T) {
	real := dryrun.New(dryrun.Options{})
	if _, err := real.Deploy(t.Context(), wanted(t, "a", "alice")); err != nil {
		t.Fatal(err)
	}
	s := dryrun.New(dryrun.Options{Real: real})
	if _, err := s.Deploy(t.Context(), wanted(t, "b", "alice")); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name of a real account: %v", err)
	}
	if err := s.Suspend(t.Context(), backend.Ref{ID: id(t, "a"), Name: "alice"}, false); err != nil {
		t.Fatal(err)
	}
	if a, err := real.Find(t.Context(), id(t, "a")); err != nil || a.Suspended {
		t.Errorf("the real account was changed: %+v, %v", a, err)
	}
	n := 0
	err := s.All(t.Context(), func(a backend.Account) error {
		n++
		if !a.Suspended {
			t.Errorf("account as it was: %+v", a)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("all: %d accounts, %v", n, err)
	}
}

func TestParallel(t *testing.T) {
	s := dryrun.New(dryrun.Options{})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := s.Deploy(context.Background(), wanted(t, fmt.Sprint(i%25), fmt.Sprintf("u%d", i%25))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	uids := map[uint32]bool{}
	if err := s.All(t.Context(), func(a backend.Account) error { uids[a.UID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(uids) != 25 {
		t.Errorf("%d uids for 25 identities", len(uids))
	}
}
