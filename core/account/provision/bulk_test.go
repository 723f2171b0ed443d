package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/state"
)

// people deploys n members of a VO, and one who is none.
func (b *bed) people(n int) (members []Subject, stranger Subject) {
	b.Helper()
	for i := range n {
		s := subject(fmt.Sprintf("member%02d", i), func(s *Subject) {
			s.Entitlements = []string{"urn:geant:h-df.de:group:vo:sub#aai.example"}
		})
		b.deploy(s)
		members = append(members, s)
	}
	stranger = subject("stranger", func(s *Subject) { s.Entitlements = []string{"urn:geant:h-df.de:group:other"} })
	b.deploy(stranger)
	return members, stranger
}

func (b *bed) allowed(subjects []Subject) (n int) {
	b.Helper()
	for _, s := range subjects {
		if b.verify(s, b.show(s).Name).Allowed {
			n++
		}
	}
	return n
}

func TestBulk(t *testing.T) {
	b := newBed(t, nil)
	members, stranger := b.people(10)
	must(b.desk.Suspend(t.Context(), members[0].ID, By{Who: "officer", Reason: "abuse"}))
	job, err := b.desk.StartBulk(t.Context(), Selector{VO: "urn:geant:h-df.de:group:vo"}, state.Suspend, officer())
	if err != nil || job.Total != 10 || !job.Ended.IsZero() {
		t.Fatalf("%+v, %v", job, err)
	}
	job, err = b.desk.Continue(t.Context(), job.ID)
	if err != nil || job.Done != 10 || job.Failed+job.Skipped != 0 || job.Ended.IsZero() {
		t.Fatalf("%+v, %v", job, err)
	}
	if n := b.allowed(members); n != 0 {
		t.Errorf("%d of the VO are let in", n)
	}
	if b.allowed([]Subject{stranger}) != 1 {
		t.Error("the stranger is not let in")
	}
	again, err := b.desk.Continue(t.Context(), job.ID)
	if err != nil || again.Done != 10 || !again.Ended.Equal(job.Ended) {
		t.Errorf("continued after its end: %+v, %v", again, err)
	}
	back, err := b.desk.StartBulk(t.Context(), Selector{Issuer: testIssuer}, state.Resume, officer())
	if err != nil {
		t.Fatal(err)
	}
	if back, err = b.desk.Continue(t.Context(), back.ID); err != nil || back.Done != 9 || back.Skipped != 2 {
		t.Errorf("%+v, %v", back, err)
	}
	if b.verify(members[0], "member00").Allowed || b.allowed(members) != 9 {
		t.Error("who was stopped by name was let in again by a job")
	}
	jobs, err := b.desk.Jobs(t.Context())
	if err != nil || len(jobs) != 2 {
		t.Errorf("%v, %v", jobs, err)
	}
}

// TestBulkGoesOn: a job that is interrupted, and one of which something failed, are finished by the next Continue.
func TestBulkGoesOn(t *testing.T) {
	b := newBed(t, nil)
	members, _ := b.people(12)
	job, err := b.desk.StartBulk(t.Context(), Selector{VO: "urn:geant:h-df.de:group:vo"}, state.Suspend, officer())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	b.host.mu.Lock()
	b.host.fault = func(point, id string) error {
		if point != "suspend before" {
			return nil
		}
		if n++; n == 5 {
			cancel()
		}
		if n == 3 {
			return errBroken
		}
		return nil
	}
	b.host.mu.Unlock()
	if _, err = b.desk.Continue(ctx, job.ID); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	half, err := b.desk.Job(t.Context(), job.ID)
	if err != nil || half.Done != 4 || half.Failed != 1 || !half.Ended.IsZero() || len(half.Problems) != 1 {
		t.Errorf("%+v, %v", half, err)
	}
	b.host.mended()
	other := b.another(nil) // another process
	done, err := other.Continue(t.Context(), job.ID)
	if err != nil || done.Done != 12 || done.Failed != 0 || done.Ended.IsZero() {
		t.Errorf("%+v, %v", done, err)
	}
	if n := b.allowed(members); n != 0 {
		t.Errorf("%d are let in", n)
	}
	if killed := slices.Compact(slices.Sorted(slices.Values(b.host.killed))); len(killed) != 12 {
		t.Errorf("sessions of %d were ended", len(killed))
	}
}

func TestBulkSelectors(t *testing.T) {
	b := newBed(t, nil)
	b.people(2)
	for _, c := range []struct {
		sel    Selector
		action state.Request
	}{
		{Selector{}, state.Suspend},
		{Selector{Issuer: testIssuer}, state.Deploy},
		{Selector{Issuer: testIssuer}, state.Accept},
		{Selector{Issuer: testIssuer}, ""},
	} {
		if _, err := b.desk.StartBulk(t.Context(), c.sel, c.action, officer()); !errors.Is(err, ErrSelector) {
			t.Errorf("%+v %s: %v", c.sel, c.action, err)
		}
	}
	for sel, want := range map[Selector]int{
		{Issuer: testIssuer}:                                           3,
		{Issuer: testIssuer + "/"}:                                     0,
		{VO: "urn:geant:h-df.de:group:vo"}:                             2,
		{VO: "urn:geant:h-df.de:group:vo:sub"}:                         2,
		{VO: "urn:geant:h-df.de:group:v"}:                              0,
		{VO: "urn:geant:h-df.de:group:vo:sub:more"}:                    0,
		{Issuer: testIssuer, VO: "urn:geant:h-df.de:group:other"}:      1,
		{Issuer: "https://other", VO: "urn:geant:h-df.de:group:other"}: 0,
		{Job: "nosuchjob"}:                                             0,
	} {
		job, err := b.desk.StartBulk(t.Context(), sel, state.Limit, officer())
		if err != nil || job.Total != want {
			t.Errorf("%+v: %d, %v; want %d", sel, job.Total, err, want)
		}
	}
	if _, err := b.desk.Continue(t.Context(), "nosuchjob"); !errors.Is(err, ErrNoJob) {
		t.Errorf("%v", err)
	}
}

// TestUnsure: of whom not all memberships are remembered nobody says that they are not in the VO.
func TestUnsure(t *testing.T) {
	b := newBed(t, func(r *Rules) { r.Groups.Max = 10_000 })
	s := subject("alice", func(s *Subject) {
		for i := range 600 {
			s.Entitlements = append(s.Entitlements, fmt.Sprintf("urn:x:y:z:group:%s%d", strings.Repeat("g", i%10), i))
		}
	})
	s.Groups = nil
	if _, err := b.desk.Deploy(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	job, err := b.desk.StartBulk(t.Context(), Selector{VO: "urn:x:y:z:group:missing"}, state.Suspend, officer())
	if err != nil || job.Total != 0 || !slices.Equal(job.Unsure, []string{"alice"}) {
		t.Errorf("%+v, %v", job, err)
	}
}

func TestList(t *testing.T) {
	b := newBed(t, nil)
	members, _ := b.people(3)
	must(b.desk.Suspend(t.Context(), members[1].ID, officer()))
	for name, c := range map[string]struct {
		f    Filter
		want []string
	}{
		"all":       {Filter{}, []string{"member00", "member01", "member02", "stranger"}},
		"limit":     {Filter{Limit: 2}, []string{"member00", "member01"}},
		"state":     {Filter{State: state.Suspended}, []string{"member01"}},
		"name":      {Filter{Name: "stranger"}, []string{"stranger"}},
		"vo":        {Filter{VO: "urn:geant:h-df.de:group:other"}, []string{"stranger"}},
		"no_issuer": {Filter{Issuer: "https://other"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := b.desk.List(t.Context(), c.f)
			var got []string
			for _, e := range list {
				got = append(got, e.Name)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
	if e, err := b.desk.Show(t.Context(), "member01"); err != nil || e.ID != members[1].ID || e.Suspended == nil ||
		e.Suspended.By != "officer" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, no := range []string{"", "nobody", "root", subject("nobody").ID} {
		if _, err := b.desk.Show(t.Context(), no); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("%q: %v", no, err)
		}
	}
}

// TestBulkTwice: two processes that carry out one job at once do each person once.
func TestBulkTwice(t *testing.T) {
	b := newBed(t, nil)
	members, _ := b.people(10)
	job, err := b.desk.StartBulk(t.Context(), Selector{VO: "urn:geant:h-df.de:group:vo"}, state.Suspend, officer())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan Job, 2)
	for _, d := range []*Desk{b.desk, b.another(nil)} {
		go func() {
			j, err := d.Continue(t.Context(), job.ID)
			if err != nil {
				t.Error(err)
			}
			ended <- j
		}()
	}
	for range 2 {
		if j := <-ended; j.Done != 10 || j.Total != 10 || j.Failed+j.Skipped != 0 {
			t.Errorf("%+v", j)
		}
	}
	if len(b.host.killed) != 10 || b.allowed(members) != 0 {
		t.Errorf("%d were stopped", len(b.host.killed))
	}
}
