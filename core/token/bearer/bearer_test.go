package bearer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

// world is a place with a runtime directory and a shared one, and what the environment says.
type world struct {
	env             map[string]string
	runtime, shared string // the files bt_u<uid>
	places          places
}

func newWorld(t *testing.T) *world {
	t.Helper()
	run, shared := t.TempDir(), t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	w := &world{env: map[string]string{"XDG_RUNTIME_DIR": run}, places: places{shared: shared}}
	usual := w.places.usual(w.getenv, os.Geteuid())
	w.runtime, w.shared = usual[0], usual[1]
	return w
}

func (w *world) getenv(k string) string { return w.env[k] }

func (w *world) find() (token, where string, err error) {
	t, where, err := w.places.find(w.getenv, os.Geteuid())
	return t.Expose(), where, err
}

func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestRefused: a file that cannot be trusted, or holds no token, ends the search; nothing of it is repeated.
func TestRefused(t *testing.T) {
	const private = "eyJprivate"
	for name, c := range map[string]struct {
		prepare func(t *testing.T, w *world)
		want    error
	}{
		"world readable in the runtime directory": {
			func(t *testing.T, w *world) { put(t, w.runtime, private, 0o644) }, ErrUntrusted,
		},
		"world readable in the shared directory": {
			func(t *testing.T, w *world) { put(t, w.shared, private, 0o604) }, ErrUntrusted,
		},
		"group writable, though named by a variable": {
			func(t *testing.T, w *world) {
				w.env[EnvFile] = filepath.Join(t.TempDir(), "t")
				put(t, w.env[EnvFile], private, 0o620)
			}, ErrUntrusted,
		},
		"a symbolic link in the shared directory": {
			func(t *testing.T, w *world) {
				real := filepath.Join(t.TempDir(), "t")
				put(t, real, private, 0o600)
				link(t, real, w.shared)
			}, ErrUntrusted,
		},
		"a symbolic link to nowhere": {
			func(t *testing.T, w *world) { link(t, "/nonexistent", w.shared) }, ErrUntrusted,
		},
		"a directory": {
			func(t *testing.T, w *world) {
				if err := os.Mkdir(w.runtime, 0o700); err != nil {
					t.Fatal(err)
				}
			}, ErrUntrusted,
		},
		"a device": {
			func(_ *testing.T, w *world) { w.env[EnvFile] = os.DevNull }, ErrUntrusted,
		},
		"more than a token can be": {
			func(t *testing.T, w *world) { put(t, w.runtime, strings.Repeat("a", MaxToken+1), 0o600) }, ErrTooLarge,
		},
		"more than a token can be in the variable": {
			func(_ *testing.T, w *world) { w.env[EnvToken] = strings.Repeat("a", MaxToken+1) }, ErrTooLarge,
		},
		"two lines": {
			func(t *testing.T, w *world) { put(t, w.runtime, private+"\n"+private+"\n", 0o600) }, ErrNotToken,
		},
		"a carriage return inside": {
			func(t *testing.T, w *world) { put(t, w.runtime, private+"\r\nX-Evil: 1", 0o600) }, ErrNotToken,
		},
		"a blank inside": {
			func(_ *testing.T, w *world) { w.env[EnvToken] = "Bearer " + private }, ErrNotToken,
		},
		"a byte that is no letter of a token": {
			func(t *testing.T, w *world) { put(t, w.runtime, private+"\x00", 0o600) }, ErrNotToken,
		},
		"letters beyond ASCII": {
			func(_ *testing.T, w *world) { w.env[EnvToken] = private + "ä" }, ErrNotToken,
		},
		"padding only": {
			func(_ *testing.T, w *world) { w.env[EnvToken] = "==" }, ErrNotToken,
		},
		"padding in the middle": {
			func(_ *testing.T, w *world) { w.env[EnvToken] = "ab=cd" }, ErrNotToken,
		},
		"a file that was named and is not there": {
			func(t *testing.T, w *world) {
				w.env[EnvFile] = filepath.Join(t.TempDir(), "none")
				put(t, w.runtime, "other", 0o600)
			}, fs.ErrNotExist,
		},
		"nothing anywhere": {func(*testing.T, *world) {}, ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.prepare(t, w)
			token, where, err := w.find()
			if !errors.Is(err, c.want) || token != "" || where != "" {
				t.Fatalf("got %q of %q, %v; want %v", token, where, err, c.want)
			}
			if strings.Contains(err.Error(), private) {
				t.Errorf("the error repeats the token: %v", err)
			}
		})
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// TestOrder: the first place with a token in it counts, and an empty one is passed over.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	named := filepath.Join(t.TempDir(), "purpose")
	put(t, w.shared, "shared", 0o600)
	want := func(token, where string) {
		t.Helper()
		if got, at, err := w.find(); err != nil || got != token || at != where {
			t.Errorf("got %q of %q, %v; want %q of %q", got, at, err, token, where)
		}
	}
	want("shared", w.shared)
	put(t, w.runtime, " \f\n\r\t\v", 0o600)
	want("shared", w.shared)
	put(t, w.runtime, "\n\t runtime-._~+/== \v\r\n", 0o600)
	want("runtime-._~+/==", w.runtime)
	w.env[EnvFile] = named
	put(t, named, "", 0o600)
	want("runtime-._~+/==", w.runtime)
	put(t, named, "named\n", 0o644) // volumes of containers are readable
	want("named", named)
	aside := named + "-link"
	link(t, named, aside)
	w.env[EnvFile] = aside
	want("named", aside)
	w.env[EnvToken] = "  \n"
	want("named", aside)
	w.env[EnvToken] = "variable\n"
	want("variable", EnvToken)
}

func TestNoUserIDs(t *testing.T) {
	w := newWorld(t)
	put(t, w.runtime, "runtime", 0o600)
	if _, _, err := w.places.find(w.getenv, -1); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestPath(t *testing.T) {
	env := map[string]string{}
	for _, c := range []struct{ name, value, want string }{
		{"TMPDIR", "/elsewhere", "/tmp/bt_u7"},
		{"XDG_RUNTIME_DIR", "/run/user/7", "/run/user/7/bt_u7"},
		{EnvFile, "/job/token", "/job/token"},
	} {
		env[c.name] = c.value
		if got := Path(func(k string) string { return env[k] }, 7); got != c.want {
			t.Errorf("with %s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bt_u1")
	victim := filepath.Join(t.TempDir(), "victim")
	put(t, victim, "untouched", 0o600)
	link(t, victim, path)
	for _, token := range []string{"first", "second", strings.Repeat("a", MaxToken)} {
		if err := Store(path, secret.FromString(token)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
		got, err := readFile(path, true)
		if err != nil || got.Expose() != token {
			t.Fatalf("read %d bytes, %v", got.Len(), err)
		}
	}
	if b, _ := os.ReadFile(victim); string(b) != "untouched" {
		t.Errorf("a link was followed: %q", b)
	}
	wantOnly(t, dir, "bt_u1")
}

// wantOnly is what a directory holds: nothing is left behind.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != len(names) {
		t.Fatalf("%v holds %v, want %v (%v)", dir, list, names, err)
	}
	for i, n := range names {
		if list[i].Name() != n {
			t.Errorf("%s holds %s", dir, list[i].Name())
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	occupied := t.TempDir()
	if err := os.MkdirAll(filepath.Join(occupied, "t", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, token string
		want        error
	}{
		"a directory where anybody may replace files": {filepath.Join(open, "t"), "token", ErrUntrusted},
		"a directory that is not there":               {filepath.Join(open, "no", "t"), "token", fs.ErrNotExist},
		"what is no token":                            {filepath.Join(t.TempDir(), "t"), "two\nlines", ErrNotToken},
		"nothing":                                     {filepath.Join(t.TempDir(), "t"), "", ErrNotToken},
		"the name of a directory":                     {filepath.Join(occupied, "t"), "token", fs.ErrExist},
	} {
		t.Run(name, func(t *testing.T) {
			err := Store(c.path, secret.FromString(c.token))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	wantOnly(t, occupied, "t")
	wantOnly(t, open)
}

// TestRemove: what somebody else put there meanwhile stays.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	ours := secret.FromString("ours")
	if err := Remove(path, ours); err != nil {
		t.Error(err)
	}
	put(t, path, "theirs", 0o600)
	if err := Remove(path, ours); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "theirs" {
		t.Errorf("left %q", b)
	}
	put(t, path, "ours\n", 0o600)
	if err := Remove(path, ours); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"eyJ.a-b_c", " x=\n", "a b", "=", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse([]byte(token.Expose()))
		if err != nil || !again.Equal(token) || strings.ContainsAny(token.Expose(), " \r\n\t") {
			t.Errorf("%q: %v", b, err)
		}
	})
}

// TestValidCharacters looks at every byte there is (RFC 6750 section 2.1).
func TestValidCharacters(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for c := range 256 {
		b := byte(c)
		if got, want := Valid([]byte{'a', b, 'a'}), strings.IndexByte(allowed, b) >= 0; got != want {
			t.Errorf("%q inside: %v", b, got)
		}
		if got, want := Valid([]byte{'a', b}), strings.IndexByte(allowed, b) >= 0 || b == '='; got != want {
			t.Errorf("%q at the end: %v", b, got)
		}
	}
	if Valid(nil) || Valid([]byte("=")) {
		t.Error("nothing is valid")
	}
}
