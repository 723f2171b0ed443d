package provision

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// crowd are n people, several of whom would like the same name, in groups of their own choice.
func crowd(n int) []Subject {
	var out []Subject
	for i := range n {
		out = append(out, subject(fmt.Sprintf("sub%02d", i), func(s *Subject) {
			s.Person = names.Person{
				PreferredUsername: fmt.Sprintf("user%d", i%10), Given: fmt.Sprintf("G%c%c", 'a'+i/26, 'a'+i%26), Family: "Berg",
			}
			s.Groups = []string{"crew", fmt.Sprintf("g%d", i%7), fmt.Sprintf("own%d", i)}
		}))
	}
	return out
}

// flaky fails at every fourth point.
func flaky() func(string, string) error {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	return func(point, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(4) == 0 {
			return fmt.Errorf("%w at %s", errBroken, point)
		}
		return nil
	}
}

// untilDeployed tries again as long as it is worth trying.
func untilDeployed(b *bed, d *Desk, s Subject) error {
	for {
		_, err := d.Deploy(b.Context(), s)
		var failure *Failure
		if err == nil || !errors.As(err, &failure) || b.Context().Err() != nil {
			return err
		}
	}
}

// consistent asserts that each of the crowd has exactly the account that is meant.
func (b *bed) consistent(people []Subject) {
	b.Helper()
	seenNames, seenUIDs := map[string]string{}, map[uint32]string{}
	for _, s := range people {
		e, a := b.show(s), b.host.account(s.ID, nil)
		if a.Name != e.Name || a.UID != e.UID || a.UID == 0 || e.Unfinished != "" {
			b.Errorf("%s: ledger %+v, host %+v", s.Sub, e, a)
		}
		want := slices.Sorted(slices.Values(s.Groups))
		if !slices.Equal(a.Groups, want) || !slices.Equal(e.Groups, want) {
			b.Errorf("%s: groups %v on the host, %v in the ledger, want %v", s.Sub, a.Groups, e.Groups, want)
		}
		if other := seenNames[a.Name] + seenUIDs[a.UID]; other != "" {
			b.Errorf("%s shares name or uid with %s", s.Sub, other)
		}
		seenNames[a.Name], seenUIDs[a.UID] = s.Sub, s.Sub
		if v := b.verify(s, e.Name); !v.Allowed {
			b.Errorf("%s is not let in: %+v", s.Sub, v)
		}
	}
	if len(b.host.accounts) != len(people) {
		b.Errorf("%d accounts for %d people", len(b.host.accounts), len(people))
	}
	rows := 0
	err := b.eng.View(b.Context(), func(tx store.Tx) error {
		for _, err := range tx.Scan(table(tableNames), nil) {
			if err != nil {
				return err
			}
			rows++
		}
		return nil
	})
	if err != nil || rows != len(people) {
		b.Errorf("%d names are reserved, %v", rows, err)
	}
}

// TestTogether: 50 people log in for the first time at once, and one of them 50 times, at two desks, on a host that
// fails at every fourth step.
func TestTogether(t *testing.T) {
	engines := map[string]func(t *testing.T) store.Engine{
		"memstore": func(*testing.T) store.Engine { return memstore.New() },
		"boltstore": func(t *testing.T) store.Engine {
			e, err := boltstore.Open(t.Context(), filepath.Join(t.TempDir(), "ledger", "file"), boltstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			return e
		},
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, nil)
			b.eng = open(t)
			b.desk = b.another(nil)
			desks := []*Desk{b.desk, b.another(nil)}
			b.host.fault = flaky()
			people := crowd(50)
			var all sync.WaitGroup
			problems := make(chan error, 200)
			start := func(i int, s Subject) {
				all.Go(func() {
					if err := untilDeployed(b, desks[i%2], s); err != nil {
						problems <- fmt.Errorf("%s: %w", s.Sub, err)
					}
				})
			}
			for i, s := range people {
				start(i, s)
			}
			for i := range 50 {
				start(i, people[0])
			}
			all.Wait()
			close(problems)
			for err := range problems {
				t.Error(err)
			}
			b.host.mended()
			b.consistent(people)
		})
	}
}

// TestAllAtOnce: deployments, suspensions, resumptions and decisions of one identity at once leave it in a state that
// both sides agree about, and a suspension that came last holds.
func TestAllAtOnce(t *testing.T) {
	b := newBed(t, nil)
	b.host.fault = flaky()
	alice := subject("alice", inGroups("vo"))
	other := b.another(nil)
	var all sync.WaitGroup
	for i := range 60 {
		d := []*Desk{b.desk, other}[i%2]
		all.Go(func() {
			switch i % 6 {
			case 0, 1:
				_, _ = d.Deploy(t.Context(), alice)
			case 2:
				_, _ = d.Suspend(t.Context(), alice.ID, officer())
			case 3:
				_, _ = d.Resume(t.Context(), alice.ID, officer())
			case 4:
				_, _ = d.Undeploy(t.Context(), alice.ID, officer())
			case 5:
				_, _ = d.Mend(t.Context())
			}
		})
	}
	all.Wait()
	b.host.mended()
	if _, err := b.desk.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(b.desk.Resume(t.Context(), alice.ID, officer()))
	b.deploy(alice)
	b.consistent([]Subject{alice})
	must(b.desk.Suspend(t.Context(), alice.ID, officer()))
	if v := b.verify(alice, "alice"); v.Allowed {
		t.Error("let in")
	}
}

// TestHostile: whatever claims say, nothing but names reaches the account system, the ledger's names and messages.
func TestHostile(t *testing.T) {
	pieces := []string{
		"root", "..", "../", "/", "\n", "\r", "\x00", "\x1b[2J", ";", "|", "&", "$(id)", "`id`", "'", "\"", "*",
		")(uid=*", "\\", " ", "\t", ":", ",",
		"=", "--help", "-rf", "-", "_", ".", "~", "%n", "%2F", "+", "\u202e", "\u200b", "ａｄｍｉｎ", "北京", "é", "ﬁ", "K",
		"sudo", "docker",
		"wheel", "adm", "urn:geant:x:group:", ":role=", "#", strings.Repeat("a", 40), "A", "0", "alice", "systemd-", "@",
		"\xff\xfe",
	}
	random := rand.New(rand.NewPCG(7, 11))
	text := func() string {
		var b strings.Builder
		for range random.IntN(5) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	list := func(most int) (out []string) {
		for range random.IntN(most) {
			out = append(out, text())
		}
		return out
	}
	b := newBed(t, nil)
	pending := b.another(withApproval)
	for range 600 {
		s := Subject{
			Sub: text() + "x", Iss: "https://" + text(), Email: text(), Assurance: list(4), Entitlements: list(20),
			Groups: list(20),
			Person: names.Person{PreferredUsername: text(), Given: text(), Family: text(), Name: text(), Email: text()},
		}
		for _, value := range list(3) {
			s.Keys = append(s.Keys, backend.Key{Name: text(), ID: text(), Value: value})
		}
		s.ID, _ = names.Encode(s.Sub, s.Iss)
		d := []*Desk{b.desk, pending}[random.IntN(2)]
		answer, err := d.Deploy(t.Context(), s)
		if err != nil {
			var r *Rejection
			if !errors.As(err, &r) {
				t.Fatalf("%+v: %v", s, err)
			}
			answer.Message = r.Message
		}
		if i := strings.IndexFunc(answer.Message, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Errorf("message %q", answer.Message)
		}
		if name := answer.Credentials["ssh_user"]; name != "" && (names.Limits{}).CheckName(name) != nil {
			t.Errorf("local user %q for %+v", name, s)
		}
	}
	for _, a := range b.host.accounts {
		for _, name := range append([]string{a.Name}, a.Groups...) {
			if err := (names.Limits{}).CheckName(name); err != nil {
				t.Errorf("%q on the host: %v", name, err)
			}
		}
	}
	if len(b.host.accounts) < 50 {
		t.Errorf("only %d accounts were made: the test shows little", len(b.host.accounts))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		line := string(e.AppendTo(nil, []byte("now")))
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == '\u202e' || r == '\u200b' || r == 0x7f }) {
			t.Errorf("audit line %q", line)
		}
	}
}

// TestTenThousandGroups is bounded in what it does and in what it keeps.
func TestTenThousandGroups(t *testing.T) {
	b := newBed(t, nil)
	s := subject("alice")
	for i := range 10_000 {
		s.Groups = append(s.Groups, fmt.Sprintf("group-%d", i))
	}
	_, err := b.desk.Deploy(t.Context(), s)
	rejected(t, err, "You are in too many groups for this resource.")
	b.nothingOf(s)
}

// TestLargestSubject: what is as large as allowed still fits the ledger.
func TestLargestSubject(t *testing.T) {
	b := newBed(t, withApproval)
	s := subject(strings.Repeat("/", 255), func(s *Subject) {
		s.Iss = "https://" + strings.Repeat("/", 1016)
		long := strings.Repeat("\x01", 250)
		s.Person = names.Person{PreferredUsername: "alice", Given: long, Family: long, Name: long, Email: long}
		s.Email = long
		for i := range 256 {
			s.Groups = append(s.Groups, fmt.Sprintf("g%030d", i))
		}
		for i := range 700 {
			s.Entitlements = append(s.Entitlements, fmt.Sprintf("%0200d", i))
		}
		for range 40 {
			s.Keys = append(s.Keys, backend.Key{Name: long, Value: "ssh-rsa " + strings.Repeat("A", 800)})
		}
	})
	s.ID, _ = names.Encode(s.Sub, s.Iss)
	b.deploy(s)
	must(b.desk.Decide(t.Context(), s.ID, "", true, officer()))
	s.Groups = s.Groups[:255]
	s.Groups = append(s.Groups, "another")
	b.deploy(s)
	if v := b.verify(s, "alice"); !v.Allowed {
		t.Errorf("%+v", v)
	}
}
