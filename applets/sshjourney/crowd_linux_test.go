package sshjourney

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// guest is one of many people who log in for the first time.
type guest struct {
	user   issuer.User
	id     string // identity
	token  string
	groups []string // that claims give
}

// crowd makes n users of an issuer. Every fifth would like the same local name.
func crowd(n int) []issuer.User {
	var all []issuer.User
	for i := range n {
		all = append(all, issuer.User{
			Name: fmt.Sprintf("guest%02d", i), Subject: fmt.Sprintf("sub-%02d", i),
			FullName: fmt.Sprintf("G%c%c Berg", 'a'+i/26, 'a'+i%26), Email: fmt.Sprintf("g%02d@example.org", i),
			Entitlements: []string{
				fmt.Sprintf("urn:geant:example.org:group:team%d#aai.example.org", i%7),
				"urn:geant:example.org:group:crew#aai.example.org",
			},
		})
	}
	return all
}

// newCrowd starts a site with n guests who have their tokens.
func newCrowd(t *testing.T, n int, o siteOptions) (*site, []guest) {
	t.Helper()
	users := crowd(n)
	o.issuer = func(i *issuer.Options) { i.Users = append(issuer.SampleUsers(), users...) }
	s := newSite(t, o)
	var all []guest
	for i, u := range users {
		id, err := names.Encode(u.Subject, s.op.URL)
		if err != nil {
			t.Fatal(err)
		}
		g := guest{user: u, id: id, token: s.at(u.Name)}
		g.groups = []string{"example-org_crew", fmt.Sprintf("example-org_team%d", i%7)}
		all = append(all, g)
	}
	return s, all
}

// untilDeployed asks for an account again and again: servers that are killed are back soon.
func (s *site) untilDeployed(ctx context.Context, i int, g guest) error {
	last, server := answer{}, s.url
	if s.second != "" && i%2 == 1 {
		server = s.second
	}
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/user/deploy", nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+g.token)
		if last = s.send(r); last.status == http.StatusOK && last.member("state") == "deployed" {
			return nil
		}
		if !last.again && (last.status == http.StatusUnauthorized || last.status == http.StatusForbidden) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: %s", g.user.Name, last)
}

// passwd are the lines of the host's passwd by the identity in them.
func (s *site) passwd() map[string][][]string {
	all := map[string][][]string{}
	for line := range strings.Lines(s.Read("/etc/passwd")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 {
			all[f[4]] = append(all[f[4]], f)
		}
	}
	return all
}

// groups tells the groups of a user with a primary group, sorted.
func (s *site) groups() func(name, gid string) []string {
	file := s.Read("/etc/group")
	return func(name, gid string) (all []string) {
		for line := range strings.Lines(file) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) == 4 && (f[2] == gid || slices.Contains(strings.Split(f[3], ","), name)) {
				all = append(all, f[0])
			}
		}
		slices.Sort(all)
		return all
	}
}

// whole asserts that every guest has exactly one account, alone with its name and number, in exactly its groups, with a
// home, and that the ledger says the same.
func (s *site) whole(t *testing.T, guests []guest) {
	t.Helper()
	passwd, ledger, groups := s.passwd(), s.officer(t, "list"), s.groups()
	seen := map[string]string{}
	for _, g := range guests {
		lines := passwd[g.id]
		if len(lines) != 1 {
			t.Errorf("%s has %d accounts", g.user.Name, len(lines))
			continue
		}
		name, uid, home := lines[0][0], lines[0][2], lines[0][5]
		for _, one := range []string{"name " + name, "uid " + uid} {
			if other, ok := seen[one]; ok {
				t.Errorf("%s and %s share %s", g.user.Name, other, one)
			}
			seen[one] = g.user.Name
		}
		if n, err := strconv.Atoi(uid); err != nil || n < s.FirstUID || n > s.LastUID {
			t.Errorf("%s has uid %s", g.user.Name, uid)
		}
		if want := append(slices.Clone(g.groups), "federated"); !slices.Equal(groups(name, lines[0][3]), want) {
			t.Errorf("%s is in %v, want %v", name, groups(name, lines[0][3]), want)
		}
		if info, err := os.Stat(s.File(home)); err != nil || fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Errorf("the home of %s: %v, %v", name, info, err)
		}
		listed := slices.ContainsFunc(strings.Split(ledger, "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) > 4 && f[0] == name && f[1] == uid && f[2] == "deployed" && strings.Contains(line, g.user.Subject)
		})
		if !listed {
			t.Errorf("the ledger has not %s with uid %s for %s:\n%s", name, uid, g.user.Subject, ledger)
		}
	}
}

// rush has fifty people log in for the first time at once, one of them fifty times, while hurt harms the site,
// at most so many times.
func (s *site) rush(t *testing.T, guests []guest, times int, hurt func(*rand.Rand)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all, harm sync.WaitGroup
	var done atomic.Bool
	problems := make(chan error, 100)
	for i := range 100 {
		all.Go(func() {
			g := guests[0]
			if i < 50 {
				g = guests[i]
			}
			if err := s.untilDeployed(ctx, i, g); err != nil {
				problems <- err
			}
		})
	}
	harm.Go(func() {
		random := rand.New(rand.NewPCG(5, 8))
		for n := 0; n < times && !done.Load(); n++ {
			time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond) // chance, not a wait for something
			hurt(random)
		}
	})
	all.Wait()
	done.Store(true)
	harm.Wait()
	close(problems)
	for err := range problems {
		t.Error(err)
	}
}

// TestCrowd: fifty first logins at once, while server and worker are killed at random.
func TestCrowd(t *testing.T) {
	s, guests := newCrowd(t, 50, siteOptions{})
	s.rush(t, guests, 8, func(random *rand.Rand) {
		if random.IntN(2) == 0 {
			s.kill(s.worker)
			s.startWork()
		} else {
			s.kill(s.serve)
			s.startFront()
		}
	})
	s.whole(t, guests)
	s.onePassword(t, guests[0], "/run/oidcbox/login.sock")
}

// TestCrowdAtTwoServers: the same with two servers on one database, of which one is killed twice. What it was at
// is free for the other one when its leases have run out.
func TestCrowdAtTwoServers(t *testing.T) {
	pg := services.PostgreSQL(t)
	host, port := pg.Socket, pg.Port
	const database = "postgres: {url_file: database-url}, "
	const file = "file: /var/lib/oidcbox/provisioner/state.keys, "
	s, guests := newCrowd(t, 50, siteOptions{
		provisioner: with(file, database),
		before: func(s *journey) {
			address := fmt.Sprintf("postgres:///postgres?host=%s&port=%d&user=oidcbox\n", url.QueryEscape(host), port)
			s.Write("/etc/oidcbox/database-url", address, 0o600)
			s.Run("chown", serveUser, "/etc/oidcbox/database-url")
		},
	})
	s.startSecond(t)
	s.rush(t, guests, 2, func(*rand.Rand) {
		s.kill(s.serve)
		s.startFront()
	})
	s.whole(t, guests)
	s.onePassword(t, guests[0], "/run/oidcbox/login.sock", "/run/oidcbox-second/login.sock")
}

// startSecond starts another server beside the first one.
func (s *site) startSecond(t *testing.T) {
	t.Helper()
	s.second = "http://127.0.0.1:" + freePort(t)
	address := func(url string) string { return strings.TrimPrefix(url, "http://") }
	config := strings.ReplaceAll(s.Read(serveFile), address(s.url), address(s.second))
	config = strings.Replace(config, "audit.log", "audit2.log", 1) +
		"login: /run/oidcbox-second/login.sock\ncontrol: /run/oidcbox-second/control.sock\n"
	s.Write("/etc/oidcbox/second.yaml", config, 0o644)
	s.Run("install", "-d", "-o", serveUser, "-g", serveUser, "-m", "0755", "/run/oidcbox-second")
	s.Background("second serve", s.as(serveUser, "provisioner", "serve", "--config", "/etc/oidcbox/second.yaml"))
	s.awaitSocket("/run/oidcbox-second/login.sock")
}

// onePassword asserts that of many who come with one password at once, at all sockets, a single one is let in.
func (s *site) onePassword(t *testing.T, g guest, sockets ...string) {
	t.Helper()
	name, password := s.nameOf(g.user.Name), s.password(g.user.Name)
	var all sync.WaitGroup
	var in atomic.Int32
	for i := range 20 {
		all.Go(func() {
			q := login.Question{Phase: login.Auth, User: name, Secret: secret.FromString(password)}
			a, err := login.Ask(t.Context(), s.File(sockets[i%len(sockets)]), q, login.AskOptions{
				Trust: func(uint32) bool { return true },
			})
			if err != nil {
				t.Error(err)
			}
			if a.Allowed {
				in.Add(1)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("%d were let in by one password", in.Load())
	}
}
