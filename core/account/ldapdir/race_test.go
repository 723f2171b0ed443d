//go:build unix

package ldapdir_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestFirstLogins: fifty people at once, each at two provisioners that know nothing of each other.
func TestFirstLogins(t *testing.T) {
	for name, o := range map[string]services.SlapdOptions{
		"plain_schema":   {},
		"counter_schema": {Schema: services.SlapdCounters},
	} {
		t.Run(name, func(t *testing.T) { firstLogins(t, services.Slapd(t, o)) })
	}
}

func firstLogins(t *testing.T, d *services.Directory) {
	const people = 50
	two := []*ldapdir.Dir{open(t, options(d)), open(t, options(d))}
	var wg sync.WaitGroup
	for i := range 2 * people {
		wg.Go(func() {
			who := i / 2
			w := wanted(t, fmt.Sprintf("s%d", who), fmt.Sprintf("u%d", who))
			w.Groups = []string{"vo_all", fmt.Sprintf("team%d", who%7)}
			done, err := two[i%2].Deploy(context.Background(), w)
			if err != nil || done.Account.Name != w.Name || len(done.Account.Groups) != 2 {
				t.Errorf("%s: %+v, %v", w.Name, done, err)
			}
		})
	}
	wg.Wait()
	consistent(t, d, two[0], people)
}

// consistent looks at the directory as its administrator: n accounts, no number and no identity twice, no group lost.
func consistent(t *testing.T, d *services.Directory, dir *ldapdir.Dir, n int) {
	t.Helper()
	count := 0
	err := dir.All(t.Context(), func(a backend.Account) error {
		count++
		if a.Primary != "fed" || len(a.Groups) != 2 {
			t.Errorf("%s is in %q and %q", a.Name, a.Primary, a.Groups)
		}
		return nil
	})
	if err != nil || count != n {
		t.Errorf("%d accounts, want %d: %v", count, n, err)
	}
	for filter, attrs := range map[string][]string{
		"(&(objectClass=posixAccount)(uidNumber>=30000))": {"uidNumber", "gecos"}, "(objectClass=posixGroup)": {"gidNumber", "cn"},
	} {
		base := services.LDAPPeople
		if strings.Contains(filter, "Group") {
			base = services.LDAPGroups
		}
		seen := map[string]bool{}
		for line := range strings.Lines(d.Search(base, filter, attrs...)) {
			if word, _, _ := strings.Cut(line, ":"); word != attrs[0] && word != attrs[1] {
				continue
			}
			if seen[line] {
				t.Errorf("twice: %s", line)
			}
			seen[line] = true
		}
	}
}

// TestKilled ends a provisioner (this test's own program, run again) at any moment, many times, while it makes accounts.
// What is there afterwards the next one completes; no number is given twice.
func TestKilled(t *testing.T) {
	if os.Getenv("LDAPDIR_TEST_URL") != "" {
		killedChild(t)
		return
	}
	d := services.Slapd(t)
	const people, kills = 12, 15
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
		cmd.Env = append(os.Environ(), "LDAPDIR_TEST_URL="+d.URL)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, steps := bufio.NewScanner(out), 0
		for lines.Scan() && steps <= i {
			if strings.HasPrefix(lines.Text(), "step") {
				steps++
			}
		}
		time.Sleep(time.Duration(i*i%11) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	dir := open(t, options(d))
	for i := range people {
		if _, err := dir.Deploy(t.Context(), killedWanted(t, i)); err != nil {
			t.Errorf("after the kills: %v", err)
		}
	}
	consistent(t, d, dir, people)
}

func killedWanted(t *testing.T, i int) backend.Wanted {
	w := wanted(t, fmt.Sprintf("s%d", i), fmt.Sprintf("u%d", i))
	w.Groups = []string{"vo_all", fmt.Sprintf("team%d", i%3)}
	return w
}

func killedChild(t *testing.T) {
	o := options(&services.Directory{URL: os.Getenv("LDAPDIR_TEST_URL")})
	dir := open(t, o)
	for i := range 12 {
		fmt.Println("step", i)
		if _, err := dir.Deploy(t.Context(), killedWanted(t, i)); err != nil && !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("child: %v", err)
		}
	}
	for {
		fmt.Println("step done")
		time.Sleep(time.Millisecond)
	}
}

// TestServerKilled ends the directory while accounts are made, and starts it again: what was answered is kept, and what
// was not is made by the next call.
func TestServerKilled(t *testing.T) {
	d := services.Slapd(t)
	o := options(d)
	dir := open(t, o)
	const people = 20
	for round := range 4 {
		var wg sync.WaitGroup
		for i := range people {
			wg.Go(func() {
				_, err := dir.Deploy(context.Background(), killedWanted(t, i))
				if err != nil && !errors.Is(err, backend.ErrUnavailable) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		time.Sleep(time.Duration(10+20*round) * time.Millisecond)
		d.Kill()
		wg.Wait()
		d.Restart()
	}
	for i := range people {
		if _, err := dir.Deploy(t.Context(), killedWanted(t, i)); err != nil {
			t.Errorf("in the end: %v", err)
		}
	}
	consistent(t, d, dir, people)
}
