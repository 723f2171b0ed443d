package worker

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/mark"
)

// say sends what is no request of the client's to the worker, and returns its answer.
func (b *bed) say(raw []byte) string {
	b.t.Helper()
	conn, err := net.Dial("unix", b.File(workerSocket))
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _, _ = conn.Write(raw) }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "error: " + err.Error()
	}
	return line
}

// files is what a taken-over client must not have changed, and "" when it cannot be read.
func (b *bed) files() string {
	var all bytes.Buffer
	for _, name := range []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid"} {
		text, err := os.ReadFile(b.File(name))
		if err != nil {
			b.t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestTakenOver plays whoever has taken over the side that talks to strangers: it may say anything to the worker.
func TestTakenOver(t *testing.T) {
	b := newBed(t, nil)
	local := b.AddUser("local", "x")
	b.Run("groupadd", "projects")
	b.Run("groupadd", "-r", "lowgroup")
	b.Run("useradd", "-r", "-c", identity(t, "lowuser"), "-M", "lowuser")
	b.Run("useradd", "-c", identity(t, "stranger"), "-M", "stranger") // has an identity, and is not in the ledger
	victim := b.deploy(b.wanted("victim", "physics"))
	before := b.files()

	type attack struct {
		w    backend.Wanted
		want error
	}
	with := func(change func(*backend.Wanted)) backend.Wanted {
		w := b.wanted("mallory")
		change(&w)
		return w
	}
	group := func(names ...string) backend.Wanted { return with(func(w *backend.Wanted) { w.Groups = names }) }
	named := func(name string) backend.Wanted { return with(func(w *backend.Wanted) { w.Name = name }) }
	attacks := map[string]attack{
		"another_identity_takes_a_name":     {named("victim"), backend.ErrTaken},
		"name_of_local_user":                {named("local"), backend.ErrTaken},
		"name_of_unmarked_user":             {named("stranger"), backend.ErrTaken},
		"name_of_group":                     {named("projects"), backend.ErrTaken},
		"group_of_victim_as_name":           {named("physics"), backend.ErrTaken},
		"identity_of_unmarked_user":         {b.wanted("stranger"), backend.ErrMismatch},
		"identity_of_low_user":              {b.wanted("lowuser"), backend.ErrMismatch},
		"group_not_made_here":               {group("projects"), backend.ErrRefused},
		"private_group_of_local_user":       {group("local"), backend.ErrRefused},
		"group_below_floor":                 {group("lowgroup"), backend.ErrRefused},
		"primary_not_made_here":             {with(func(w *backend.Wanted) { w.Primary = "projects" }), backend.ErrRefused},
		"no_primary":                        {with(func(w *backend.Wanted) { w.Primary = "" }), backend.ErrRefused},
		"uid_of_root":                       {with(func(w *backend.Wanted) { w.UID, w.GID = 0, 0; w.Name = "root" }), backend.ErrRefused},
		"uid_of_local_user":                 {with(func(w *backend.Wanted) { w.UID = uint32(local) }), backend.ErrMismatch},
		"uid_of_victim":                     {with(func(w *backend.Wanted) { w.UID = victim.Account.UID }), backend.ErrMismatch},
		"uid_of_somebody_who_is_gone":       {with(func(w *backend.Wanted) { w.UID = b.play.High }), backend.ErrMismatch},
		"no_tier":                           {with(func(w *backend.Wanted) { w.Tier = "root" }), backend.ErrRefused},
		"too_many_groups":                   {group(many("g", 300)...), backend.ErrRefused},
		"too_many_keys":                     {with(func(w *backend.Wanted) { w.Keys = make([]backend.Key, 100) }), backend.ErrRefused},
		"huge_key":                          {with(func(w *backend.Wanted) { w.Keys = []backend.Key{{Value: strings.Repeat("a", 20<<10)}} }), backend.ErrRefused},
		"request_of_a_megabyte":             {with(func(w *backend.Wanted) { w.Person.Full = strings.Repeat("a", 1<<20) }), backend.ErrRefused},
		"identity_that_is_none":             {with(func(w *backend.Wanted) { w.ID = "mallory" }), backend.ErrRefused},
		"identity_in_another_spelling":      {with(func(w *backend.Wanted) { w.ID = "%6Dallory@https%3A%2F%2Fop.example%2F" }), backend.ErrRefused},
		"identity_with_a_line_break":        {with(func(w *backend.Wanted) { w.ID += "\nroot::0:0::/:/bin/sh" }), backend.ErrRefused},
		"identity_with_a_colon":             {with(func(w *backend.Wanted) { w.ID += ":/:/bin/sh" }), backend.ErrRefused},
		"identity_of_nobody":                {with(func(w *backend.Wanted) { w.ID = "" }), backend.ErrRefused},
		"deployed_with_another_users_group": {with(func(w *backend.Wanted) { w.Groups = []string{"physics", "sudo"} }), backend.ErrRefused},
	}
	for _, name := range []string{
		"root", "sudo", "wheel", "docker", "adm", "shadow", "disk", "lxd", "systemd-journal", "", "-x", "--root=/", "../etc",
		"a/b", "a b", "a:b", "a\nb", "a;id", "$(id)", "ROOT", "0", "1000", strings.Repeat("a", 33), "\u202eroot", "r\u00f6t", ".", "..", "_",
	} {
		attacks[fmt.Sprintf("name_%q", name)] = attack{named(name), backend.ErrRefused}
		attacks[fmt.Sprintf("group_%q", name)] = attack{group(name), backend.ErrRefused}
		attacks[fmt.Sprintf("primary_%q", name)] = attack{with(func(w *backend.Wanted) { w.Primary = name }), backend.ErrRefused}
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			done, err := b.client.Deploy(t.Context(), a.w)
			if !errors.Is(err, a.want) {
				t.Errorf("%+v, %v; want %v", done, err, a.want)
			}
		})
	}
	b.attackAccounts(victim.Account)
	if after := b.files(); after != before {
		t.Errorf("files of the host were changed:\n%s\n%s", before, after)
	}
}

func many(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%s%d", prefix, i))
	}
	return all
}

// attackAccounts asks for changes of accounts that are not the identity's, or nobody's.
func (b *bed) attackAccounts(victim backend.Account) {
	ctx := b.t.Context()
	for name, r := range map[string]backend.Ref{
		"root":                    {ID: identity(b.t, "root"), Name: "root"},
		"local_user":              {ID: identity(b.t, "local"), Name: "local"},
		"unmarked_user":           b.ref("stranger"),
		"low_user":                b.ref("lowuser"),
		"victim_by_another":       {ID: identity(b.t, "mallory"), Name: "victim"},
		"root_by_identity_of_one": {ID: victim.ID, Name: "root"},
		"local_by_identity":       {ID: victim.ID, Name: "local"},
		"no_identity":             {Name: "victim"},
		"no_name":                 {ID: victim.ID},
		"option":                  {ID: victim.ID, Name: "--root"},
	} {
		b.t.Run("account_"+name, func(t *testing.T) {
			for what, err := range map[string]error{
				"tier": b.client.SetTier(ctx, r, backend.NoShell), "suspend": b.client.Suspend(ctx, r, true),
				"resume": b.client.Resume(ctx, r), "undeploy": b.client.Undeploy(ctx, r),
			} {
				if !errors.Is(err, backend.ErrMismatch) && !errors.Is(err, backend.ErrNoAccount) &&
					!errors.Is(err, backend.ErrRefused) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	if m, err := mark.Read(b.File(workerState+"/marks"), "victim"); err != nil || m.ID != victim.ID || m.UID != victim.UID {
		b.t.Errorf("mark of the victim: %+v, %v", m, err)
	}
	for _, name := range []string{"root", "local", "stranger", "lowuser", "mallory"} {
		if _, err := mark.Read(b.File(workerState+"/marks"), name); !errors.Is(err, mark.ErrNone) {
			b.t.Errorf("mark of %s: %v", name, err)
		}
	}
	seen := 0
	if err := b.client.All(ctx, func(backend.Account) error { seen++; return nil }); err != nil || seen != 1 {
		b.t.Errorf("list has %d accounts: %v", seen, err)
	}
}

// TestProtocolAbuse says what no client says: the worker answers with a fault or not at all, and goes on.
func TestProtocolAbuse(t *testing.T) {
	b := newBed(t, nil)
	for name, raw := range map[string]string{
		"nothing_but_a_line":     "\n",
		"no_json":                "GET / HTTP/1.1\r\n\r\n",
		"array":                  "[]\n",
		"other_version":          `{"v":2,"op":"trust"}` + "\n",
		"no_version":             `{"op":"trust"}` + "\n",
		"unknown_op":             `{"v":1,"op":"exec"}` + "\n",
		"unknown_member":         `{"v":1,"op":"trust","command":"id"}` + "\n",
		"two_objects":            `{"v":1,"op":"trust"}{"v":1,"op":"trust"}` + "\n",
		"deploy_of_nothing":      `{"v":1,"op":"deploy"}` + "\n",
		"number_that_is_none":    `{"v":1,"op":"deploy","wanted":{"uid":-1}}` + "\n",
		"number_out_of_range":    `{"v":1,"op":"deploy","wanted":{"uid":4294967296}}` + "\n",
		"deep":                   strings.Repeat(`[`, 200_000) + "\n",
		"longer_than_the_bound":  strings.Repeat("a", maxLine+10) + "\n",
		"zeros":                  strings.Repeat("\x00", 1000) + "\n",
		"shell_of_the_ones_own":  `{"v":1,"op":"deploy","wanted":{"shell":"/bin/sh"}}` + "\n",
		"no_line_break_and_then": rand.Text() + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := b.say([]byte(raw)); !strings.Contains(got, `"protocol"`) {
				t.Errorf("answer %q", got)
			}
		})
	}
	if err := b.client.Trust(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFlood holds more connections than the worker serves and says nothing: it is in nobody's way for longer than the
// worker's patience.
func TestFlood(t *testing.T) {
	b := newBed(t, nil)
	var silent []net.Conn
	for range maxConns - 1 {
		conn, err := net.Dial("unix", b.File(workerSocket))
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	begin := time.Now()
	b.deploy(b.wanted("alice"))
	if took := time.Since(begin); took >= readTimeout {
		t.Errorf("beside silent connections it took %v", took)
	}
	for _, c := range silent {
		_ = c.Close()
	}
}

// TestRate makes accounts until the worker has enough.
func TestRate(t *testing.T) {
	b := newBed(t, func(p *play) { p.Rate = Rate{Creates: 5, Changes: 20} })
	made := 0
	for i := range 8 {
		_, err := b.client.Deploy(t.Context(), b.wanted(fmt.Sprintf("u%d", i)))
		if err == nil {
			made++
		} else if !errors.Is(err, backend.ErrRefused) {
			t.Error(err)
		}
	}
	if made != 5 {
		t.Errorf("%d accounts were made", made)
	}
	refusals := 0
	for range 30 {
		if err := b.client.Resume(t.Context(), b.ref("u0")); errors.Is(err, backend.ErrRefused) {
			refusals++
		}
	}
	if refusals == 0 {
		t.Error("changes of one account are not bounded")
	}
	for range 30 {
		if err := b.client.Suspend(t.Context(), b.ref("u0"), false); err != nil {
			t.Errorf("suspending is never bounded: %v", err)
		}
	}
}

// TestParallel makes 50 accounts at once, and 50 times the same one.
func TestParallel(t *testing.T) {
	b := newBed(t, nil)
	const n = 50
	var wg sync.WaitGroup
	errs := make(chan error, 2*n)
	for i := range n {
		wg.Go(func() {
			w := b.wanted(fmt.Sprintf("user%d", i), "everyone-here", fmt.Sprintf("group%d", i%7))
			_, err := b.client.Deploy(t.Context(), w)
			errs <- err
		})
		wg.Go(func() {
			_, err := b.client.Deploy(t.Context(), b.wanted("same", "everyone-here"))
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	b.consistent(n+1, func(a backend.Account) {
		want := []string{"everyone-here"}
		if a.Name != "same" {
			var i int
			_, _ = fmt.Sscanf(a.Name, "user%d", &i)
			want = append(want, fmt.Sprintf("group%d", i%7))
		}
		if fmt.Sprint(a.Groups) != fmt.Sprint(want) {
			t.Errorf("groups of %s: %v, want %v", a.Name, a.Groups, want)
		}
	})
}

// consistent looks at all accounts there are: each whole, each uid once.
func (b *bed) consistent(want int, each func(backend.Account)) {
	b.t.Helper()
	uids, n := map[uint32]string{}, 0
	err := b.client.All(b.t.Context(), func(a backend.Account) error {
		n++
		if other := uids[a.UID]; other != "" {
			b.t.Errorf("%s and %s have uid %d", other, a.Name, a.UID)
		}
		uids[a.UID] = a.Name
		b.whole(a)
		each(a)
		return nil
	})
	if err != nil || n != want {
		b.t.Errorf("%d accounts, want %d: %v", n, want, err)
	}
	users, err := b.db().Users()
	if err != nil {
		b.t.Fatal(err)
	}
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for _, u := range users {
		if u.UID < b.play.Low || u.UID > b.play.High {
			continue
		}
		if names[u.Name] || numbers[u.UID] {
			b.t.Errorf("%s, uid %d, is there twice", u.Name, u.UID)
		}
		names[u.Name], numbers[u.UID] = true, true
	}
	for _, args := range [][]string{{"pwck", "-r", "-q"}, {"grpck", "-r"}} {
		if out, err := b.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.t.Errorf("%s: %v: %s", args[0], err, out)
		}
	}
}

// whole looks at what belongs to one account.
func (b *bed) whole(a backend.Account) {
	b.t.Helper()
	text, err := os.ReadFile(b.File("/etc/shadow"))
	if err != nil || strings.Count(string(text), "\n"+a.Name+":") != 1 {
		b.t.Errorf("%s has not one entry in shadow: %v", a.Name, err)
	}
	info, err := os.Stat(b.File(a.Home))
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		b.t.Errorf("home of %s: %v, %v", a.Name, info, err)
	} else if uid := ownerOf(info); uid != a.UID {
		b.t.Errorf("home of %s belongs to %d", a.Name, uid)
	}
	if _, err := os.Stat(b.File(a.Home + "/.profile")); err != nil {
		b.t.Errorf("home of %s: %v", a.Name, err)
	}
	m, err := mark.Read(b.File(workerState+"/marks"), a.Name)
	if err != nil || m.UID != a.UID || m.ID != a.ID {
		b.t.Errorf("mark of %s: %+v, %v", a.Name, m, err)
	}
}
