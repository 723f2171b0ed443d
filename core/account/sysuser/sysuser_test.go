//go:build unix

package sysuser

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const passwd = `root:x:0:0:root:/root:/bin/bash
# comment:x:1:1:::
+nisuser:x:2:2:::
-other:x:2:2:::
broken:x:1000:1000:alice
number:x:99999999999:1:::
negative:x:-1:1:::

alice:x:1001:1001:id@iss,room:/home/alice:/bin/sh
again:x:1001:1001:::
last:x:1002:100:::`

const group = `root:x:0:
users:x:100:
physics:x:1001:bob, alice,,
`

// host writes the files and a getent of the test's.
func host(t *testing.T, getent string) DB {
	t.Helper()
	d := DB{Root: t.TempDir(), Timeout: 20 * time.Second}
	if err := os.Mkdir(filepath.Join(d.Root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"etc/passwd": passwd, "etc/group": group} {
		if err := os.WriteFile(filepath.Join(d.Root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if getent != "" {
		d.Getent = filepath.Join(d.Root, "getent")
		if err := os.WriteFile(d.Getent, []byte("#!/bin/sh\n"+getent), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestUser(t *testing.T) {
	d := host(t, "")
	u, err := d.User(t.Context(), "alice")
	if err != nil || u != (User{Name: "alice", UID: 1001, GID: 1001, Gecos: "id@iss,room", Home: "/home/alice", Shell: "/bin/sh"}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, name := range []string{"broken", "number", "negative", "# comment", "+nisuser", "-other", "", "nobody", "1001", "root:x"} {
		if u, err := d.User(t.Context(), name); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
	if u, err := d.ByUID(t.Context(), 1001); err != nil || u.Name != "alice" {
		t.Errorf("by uid: %+v, %v", u, err)
	}
	if u, err := d.User(t.Context(), "last"); err != nil || u.UID != 1002 {
		t.Errorf("without line break at the end: %+v, %v", u, err)
	}
}

func TestGroup(t *testing.T) {
	d := host(t, "")
	g, err := d.ByGID(t.Context(), 1001)
	if err != nil || strings.Join(g.Members, " ") != "bob alice" {
		t.Errorf("%+v, %v", g, err)
	}
	for _, c := range []struct {
		user, group string
		want        bool
		err         error
	}{
		{"alice", "physics", true, nil},
		{"last", "users", true, nil},
		{"last", "physics", false, nil},
		{"alice", "users", false, nil},
		{"alice", "nogroup", false, ErrNone},
		{"nobody", "users", false, ErrNone},
	} {
		if in, err := d.InGroup(t.Context(), c.user, c.group); in != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: %v, %v", c, in, err)
		}
	}
}

// TestNameService asks getent for what files do not have.
func TestNameService(t *testing.T) {
	for name, c := range map[string]struct {
		getent string
		want   error
	}{
		"answers":             {`[ "$1 $2" = "passwd zoe" ] && echo "zoe:x:5000:5000:z:/home/zoe:/bin/sh"`, nil},
		"does_not_know":       {"exit 2", ErrNone},
		"fails":               {"exit 1", ErrUnavailable},
		"is_killed":           {"kill -9 $$", ErrUnavailable},
		"another_user":        {`echo "root:x:0:0::/root:/bin/sh"`, ErrUnavailable},
		"nonsense":            {"echo hello", ErrUnavailable},
		"nothing":             {"exit 0", ErrUnavailable},
		"without_end":         {"exec cat /dev/zero", ErrUnavailable},
		"has_our_environment": {`[ -z "$OIDCBOX_TEST_SECRET$HOME" ] && exit 2; exit 1`, ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OIDCBOX_TEST_SECRET", "x")
			d := host(t, c.getent)
			if u, err := d.User(t.Context(), "zoe"); !errors.Is(err, c.want) || err == nil && u.UID != 5000 {
				t.Errorf("%+v, %v; want %v", u, err, c.want)
			}
		})
	}
}

func TestNameServiceThatHangs(t *testing.T) {
	d := host(t, "sleep 600")
	d.Timeout = 100 * time.Millisecond
	begin := time.Now()
	if _, err := d.ByUID(t.Context(), 5000); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if took := time.Since(begin); took > 60*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := (DB{Root: t.TempDir(), Getent: "/nonexistent"}).User(t.Context(), "zoe"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without getent: %v", err)
	}
}

// TestFilesThatAreNone never takes "cannot be read" for "nobody".
func TestFilesThatAreNone(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"link_loop": func(p string) error { return os.Symlink(p, p) },
		"long_line": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("a", maxLine+2)), 0o600) },
		"device":    func(p string) error { return os.Symlink("/dev/null", p) },
		"socket": func(p string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: p})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "u") // short enough for a socket
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "etc"), 0o755), spoil(filepath.Join(dir, "etc/passwd"))); err != nil {
				t.Fatal(err)
			}
			if _, err := (DB{Root: dir}).User(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for line := range strings.Lines(passwd + "\n" + group) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if u, ok := parseUser(line); ok && (u.Name == "" || strings.ContainsAny(u.Name+u.Gecos+u.Home, ":")) {
			t.Errorf("%q: %+v", line, u)
		}
		if g, ok := parseGroup(line); ok && (g.Name == "" || strings.ContainsAny(strings.Join(g.Members, ""), ":,")) {
			t.Errorf("%q: %+v", line, g)
		}
	})
}
