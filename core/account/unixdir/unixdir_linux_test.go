package unixdir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

const (
	alice = "alice@https%3A%2F%2Fop.example%2F"
	bob   = "bob@https%3A%2F%2Fop.example%2F"
)

// host is the account system of files below a directory. Nothing may be changed with it: the programs work on this
// machine.
func host(t *testing.T, passwd, shadow, loginDefs string) *System {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": passwd, "shadow": shadow, "login.defs": loginDefs, "group": "users:x:100:\nphysics:x:2000:alice,bob\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Options{
		Users: sysuser.DB{Root: root}, HomeBase: filepath.Join(root, "home"), NoLogin: "/usr/sbin/nologin",
		Now: func() time.Time { return time.Unix(20000*86400, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.tools.path {
		s.tools.path[name] = "/bin/false"
	}
	return s
}

func TestFind(t *testing.T) {
	line := func(name, uid, gecos, shell string) string {
		return name + ":x:" + uid + ":100:" + gecos + ":/home/" + name + ":" + shell + "\n"
	}
	mine := line("alice", "2001", alice, "/bin/sh")
	for name, c := range map[string]struct {
		passwd, shadow string
		want           error
		is             func(backend.Account) bool
	}{
		"plain":           {mine, "alice:*:1::::::\n", nil, func(a backend.Account) bool { return !a.Suspended && !a.NoLogin && a.Primary == "users" }},
		"groups":          {mine, "", nil, func(a backend.Account) bool { return slices.Equal(a.Groups, []string{"physics"}) }},
		"expired":         {mine, "alice:*:1:::::1:\n", nil, func(a backend.Account) bool { return a.Suspended }},
		"expires_today":   {mine, "alice:*:1:::::20000:\n", nil, func(a backend.Account) bool { return a.Suspended }},
		"expires_later":   {mine, "alice:*:1:::::20001:\n", nil, func(a backend.Account) bool { return !a.Suspended }},
		"no_shell":        {line("alice", "2001", alice, "/usr/sbin/nologin"), "", nil, func(a backend.Account) bool { return a.NoLogin }},
		"other_nologin":   {line("alice", "2001", alice, "/sbin/nologin"), "", nil, func(a backend.Account) bool { return a.NoLogin }},
		"chfn_was_here":   {line("alice", "2001", alice+",room,1,2", "/bin/sh"), "", nil, func(a backend.Account) bool { return a.ID == alice }},
		"nobody":          {line("bob", "2001", bob, "/bin/sh"), "", backend.ErrNoAccount, nil},
		"part_of_it":      {line("alice", "2001", alice+"x", "/bin/sh"), "", backend.ErrNoAccount, nil},
		"low_uid":         {line("alice", "999", alice, "/bin/sh"), "", backend.ErrMismatch, nil},
		"root":            {line("root", "0", alice, "/bin/sh"), "", backend.ErrMismatch, nil},
		"name_of_system":  {line("sudo", "2001", alice, "/bin/sh"), "", backend.ErrMismatch, nil},
		"twice":           {mine + line("alice2", "2002", alice, "/bin/sh"), "", backend.ErrMismatch, nil},
		"twice_with_room": {mine + line("alice2", "2002", alice+",1", "/bin/sh"), "", backend.ErrMismatch, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := host(t, c.passwd, c.shadow, "").Find(t.Context(), alice)
			if !errors.Is(err, c.want) || err == nil && !c.is(a) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	if _, err := host(t, mine, "", "").Find(t.Context(), "alice"); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("by what is no identity: %v", err)
	}
}

func TestAllLeavesOutWhatIsNotOurs(t *testing.T) {
	s := host(t, "root:x:0:0:"+bob+":/root:/bin/sh\nalice:x:2001:100:"+alice+":/home/alice:/bin/sh\n"+
		"local:x:2002:100:Local User:/home/local:/bin/sh\n", "", "")
	var got []string
	if err := s.All(t.Context(), func(a backend.Account) error { got = append(got, a.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"alice"}) {
		t.Error(got)
	}
	stop := errors.New("stop")
	if err := s.All(t.Context(), func(backend.Account) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files that belong to root")
	}
	for defs, want := range map[string]error{
		"":                        nil,
		"CHFN_RESTRICT rwh\n":     nil,
		"CHFN_RESTRICT\tyes\n":    nil,
		"#CHFN_RESTRICT frwh\n":   nil,
		"CHFN_RESTRICT frwh\n":    backend.ErrEditable,
		"CHFN_RESTRICT no\n":      backend.ErrEditable,
		"CHFN_RESTRICT \"f\"\n":   backend.ErrEditable,
		"\tCHFN_RESTRICT   f # x": backend.ErrEditable,
	} {
		if err := host(t, "", "", defs).Trust(t.Context()); !errors.Is(err, want) {
			t.Errorf("%q: %v", defs, err)
		}
	}
	s := host(t, "", "", "")
	if err := os.Chmod(filepath.Join(s.Users.Root, "etc/passwd"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Trust(t.Context()); !errors.Is(err, backend.ErrEditable) {
		t.Errorf("passwd that everybody writes: %v", err)
	}
}

func TestHolder(t *testing.T) {
	s := host(t, "alice:x:2001:100:"+alice+":/home/alice:/bin/sh\nlocal:x:2002:100:::\nlow:x:500:100:"+bob+"::\n", "", "")
	if err := os.MkdirAll(s.home("formerly"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]backend.Holder{
		"alice": {Taken: true, ID: alice}, "local": {Taken: true}, "low": {Taken: true}, "physics": {Taken: true},
		"root": {Taken: true}, "-x": {Taken: true}, "formerly": {Taken: true}, "free": {},
	} {
		if got, err := s.Holder(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestRefusedBeforeAnythingRuns has programs that fail with an error of their own.
func TestRefusedBeforeAnythingRuns(t *testing.T) {
	s := host(t, "", "", "")
	good := backend.Wanted{ID: alice, Name: "alice", Primary: "physics", Groups: []string{"physics"}, Tier: backend.Full, UID: 2001}
	for name, change := range map[string]func(*backend.Wanted){
		"no_identity":        func(w *backend.Wanted) { w.ID = "alice" },
		"name":               func(w *backend.Wanted) { w.Name = "root" },
		"option":             func(w *backend.Wanted) { w.Name = "-x" },
		"group":              func(w *backend.Wanted) { w.Groups = []string{"sudo"} },
		"group_below_floor":  func(w *backend.Wanted) { w.Primary = "users" },
		"uid_of_root_spared": func(w *backend.Wanted) { w.UID = 1 },
		"no_uid":             func(w *backend.Wanted) { w.UID = 0 },
	} {
		w := good
		change(&w)
		if d, err := s.Deploy(t.Context(), w); !errors.Is(err, backend.ErrRefused) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	if _, err := s.Deploy(t.Context(), good); errors.Is(err, backend.ErrRefused) || err == nil {
		t.Errorf("the good one is to fail in useradd: %v", err)
	}
	for _, ref := range []backend.Ref{{ID: bob, Name: "root"}, {ID: "", Name: "root"}, {}} {
		if err := s.Suspend(t.Context(), ref, true); err == nil {
			t.Errorf("%+v was suspended", ref)
		}
	}
}

// TestNeverEndsTheSystem asks for the end of users that no account has.
func TestNeverEndsTheSystem(t *testing.T) {
	s := host(t, "", "", "")
	for _, uid := range []uint32{0, 1, 33, 999, 65534, 1<<32 - 1} {
		if err := s.endSessions(t.Context(), sysuser.User{Name: "x", UID: uid}); !errors.Is(err, backend.ErrRefused) {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
	if err := become(owners{uid: 0, gid: 5}); err == nil {
		t.Error("work in a home as root")
	}
	if err := become(owners{uid: 5, gid: 0}); err == nil {
		t.Error("work in a home with root's group")
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"relative_home":    {HomeBase: "home"},
		"home_with_colon":  {HomeBase: "/ho:me"},
		"relative_skel":    {Skel: "skel"},
		"shell_with_break": {Shells: map[backend.Tier]string{backend.Full: "/bin/sh\nx"}},
		"relative_shell":   {Shells: map[backend.Tier]string{backend.Full: "sh"}},
		"unknown_tier":     {Shells: map[backend.Tier]string{"root": "/bin/sh"}},
		"nologin":          {NoLogin: "nologin"},
		"not_clean":        {HomeBase: "/home/../etc"},
	} {
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := New(Options{Shells: map[backend.Tier]string{backend.Full: "/bin/sh", backend.Limited: "/nonexistent"}})
	if err != nil {
		t.Fatal(err)
	}
	for tier, want := range map[backend.Tier]string{
		backend.Full: "/bin/sh", backend.Limited: s.NoLogin, backend.Restricted: s.NoLogin, backend.NoShell: s.NoLogin, "": s.NoLogin,
	} {
		if got := s.shell(tier); got != want {
			t.Errorf("shell of %q is %s", tier, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		program string
		code    int
		want    error
	}{
		{"useradd", 1, backend.ErrUnavailable},
		{"useradd", 4, backend.ErrTaken},
		{"useradd", 9, backend.ErrTaken},
		{"useradd", 6, backend.ErrUnavailable},
		{"usermod", 6, backend.ErrNoAccount},
		{"userdel", 8, backend.ErrUnavailable},
		{"groupadd", 10, backend.ErrUnavailable},
	} {
		if err := meaning(c.program, &command.ExitError{Program: c.program, Code: c.code}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := meaning("useradd", fmt.Errorf("x: %w", command.ErrTimeout)); !errors.Is(err, backend.ErrUnavailable) {
		t.Error(err)
	}
	if err := meaning("useradd", nil); err != nil {
		t.Error(err)
	}
}

// TestHomesThatHang gives threads up, and keeps a few users from having them all.
func TestHomesThatHang(t *testing.T) {
	h := newHomes()
	block := make(chan struct{})
	defer close(block)
	hang := func(o owners, home string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return h.do(ctx, o, home, func() error { <-block; return nil })
	}
	quick := func() error { return h.do(t.Context(), root, "/home/quick", func() error { return nil }) }
	if err := hang(owners{uid: uint32(os.Getuid()) + 1, gid: 1}, "/home/a"); err == nil {
		t.Error("a home that hangs")
	}
	for range maxHomes {
		if err := hang(root, "/home/a"); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("root's work that hangs: %v", err)
		}
	}
	if err := quick(); err != nil {
		t.Errorf("beside one user who tries again and again: %v", err)
	}
	for i := range maxHomes {
		_ = hang(root, fmt.Sprint("/home/", i))
	}
	if err := quick(); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("with all of its threads hanging: %v", err)
	}
	if len(h.room) > maxHomes/2+1 {
		t.Errorf("%d threads hang", len(h.room))
	}
}

func TestChfnFieldsStay(t *testing.T) {
	if limits := (names.Limits{}); limits.CheckName("alice") != nil {
		t.Fatal("the name of these tests is allowed")
	}
	for gecos, want := range map[string]string{alice: alice, alice + ",1,2,3": alice, ",": "", "": ""} {
		if got := identityIn(gecos); got != want {
			t.Errorf("%q: %q", gecos, got)
		}
	}
}

func TestMergeKeys(t *testing.T) {
	block := func(lines ...string) string {
		return keysBegin + "\n" + strings.Join(lines, "\n") + "\n" + keysEnd + "\n"
	}
	for name, c := range map[string]struct {
		old   string
		lines []string
		want  string
	}{
		"new":                      {"", []string{"k1"}, block("k1")},
		"users_own_stay":           {"own\n" + block("k1") + "own2\n", []string{"k2"}, "own\nown2\n" + block("k2")},
		"no_line_break":            {"own", []string{"k1"}, "own\n" + block("k1")},
		"none":                     {"own\n" + block("k1"), nil, "own\n"},
		"none_before":              {"own", nil, "own"},
		"end_is_gone":              {keysBegin + "\nk1\n# own\nown\n", []string{"k2"}, "# own\nown\n" + block("k2")},
		"two_blocks":               {block("k1") + block("k2"), []string{"k3"}, block("k3")},
		"windows_ends":             {strings.ReplaceAll(block("k1"), "\n", "\r\n"), []string{"k2"}, block("k2")},
		"begin_twice":              {keysBegin + "\n" + block("k1"), []string{"k2"}, block("k2")},
		"blank_lines_in_ours":      {keysBegin + "\nk1\n\nk2\n" + keysEnd + "\n", nil, "\nk2\n" + keysEnd + "\n"},
		"user_has_only_the_end":    {keysEnd + "\nown\n", []string{"k"}, keysEnd + "\nown\n" + block("k")},
		"same_again_changes_none ": {"own\n" + block("k1"), []string{"k1"}, "own\n" + block("k1")},
	} {
		if got := string(mergeKeys([]byte(c.old), c.lines)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzMergeKeys holds that a second time changes nothing, and that a user's lines outside of our block stay.
func FuzzMergeKeys(f *testing.F) {
	f.Add([]byte("own\n" + keysBegin + "\nk\n" + keysEnd + "\nmore"))
	f.Add([]byte(keysBegin + "\nk\n# x\n" + keysBegin + "\n"))
	f.Fuzz(func(t *testing.T, old []byte) {
		lines := []string{"ssh-ed25519 AAAA"}
		once := mergeKeys(old, lines)
		if twice := mergeKeys(once, lines); string(twice) != string(once) {
			t.Errorf("%q becomes %q and then %q", old, once, twice)
		}
		if !strings.HasSuffix(string(once), keysBegin+"\n"+lines[0]+"\n"+keysEnd+"\n") {
			t.Errorf("%q becomes %q", old, once)
		}
		if !strings.Contains(string(old), "# oidcbox") && !strings.HasPrefix(string(once), string(old)) {
			t.Errorf("%q lost something: %q", old, once)
		}
	})
}
