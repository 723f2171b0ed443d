package login

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, good := range []string{
		"wlcg", "my-login_2", "a.b", "Ünï", "with blank", "config2", "a.config.b", "clientconfig",
	} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", ".hidden", "a/b", "/etc/passwd", "../x", `a\b`, "a\nb", "a\x00b", "\x1b[31m", "a\u202eb", "\xff",
		strings.Repeat("x", maxName+1), "config", "issuer.config", "x.stats", "x.log", "x.clientconfig", "x.clientconfig12",
	} {
		if err := CheckName(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken: %v", bad, err)
		} else if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q reaches the terminal", bad)
		}
	}
}

func TestFindDir(t *testing.T) {
	home := filepath.FromSlash("/home/u")
	config, dot := filepath.Join(home, ".config", "oidc-agent"), filepath.Join(home, ".oidc-agent")
	own := filepath.FromSlash("/own/dir")
	for name, test := range map[string]struct {
		env    string
		there  []string
		want   string
		found  bool
		failed bool
	}{
		"environment_first":                {own, []string{own, config, dot}, own, true, false},
		"environment_must_exist_to_count":  {own, []string{config, dot}, config, true, false},
		"config_before_dot":                {"", []string{config, dot}, config, true, false},
		"dot":                              {"", []string{dot, filepath.Dir(config)}, dot, true, false},
		"new_in_config":                    {"", []string{filepath.Dir(config), home}, config, false, false},
		"new_in_home_without_config":       {"", []string{home}, dot, false, false},
		"new_where_the_environment_points": {own, []string{filepath.Dir(own), home}, own, false, false},
		"nothing":                          {"", nil, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			getenv := func(k string) string { return map[string]string{"HOME": home, "OIDC_CONFIG_DIR": test.env}[k] }
			exists := func(p string) bool { return slices.Contains(test.there, p) }
			got, found, err := FindDir(getenv, exists)
			if got != test.want || found != test.found || (err != nil) != test.failed {
				t.Errorf("%q %v %v", got, found, err)
			}
		})
	}
}

func TestAccountFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "oidc-agent")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "a"} {
		if err := WriteAccount(dir, name, []byte(vectorFile)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"notes.txt": "not an account", "issuer.config": vectorFile, ".hidden": vectorFile, "old.clientconfig1": vectorFile,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := List(dir)
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
	if f, err := ReadAccount(dir, "a"); err != nil || f.Format != Password {
		t.Error(err)
	}
	if _, err := ReadAccount(dir, "c"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := ReadAccount(dir, "notes.txt"); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if err := RemoveAccount(dir, "a"); err != nil {
		t.Error(err)
	}
	if err := RemoveAccount(dir, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, bad := range []string{"../a", "config"} {
		_, err := ReadAccount(dir, bad)
		if !errors.Is(err, ErrName) || !errors.Is(WriteAccount(dir, bad, nil), ErrName) ||
			!errors.Is(RemoveAccount(dir, bad), ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if names, err := List(filepath.Join(dir, "nowhere")); err != nil || names != nil {
		t.Errorf("%v, %v", names, err)
	}
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes here")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("left by the original"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteAccount(dir, "a", []byte(vectorFile)); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("something was left behind: %v, %v", entries, err)
	}
}

func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need privileges here")
	}
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(vectorFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccount(dir, "a"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link out of the directory is followed: %v", err)
	}
	if names, err := List(dir); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if err := WriteAccount(dir, "a", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != vectorFile {
		t.Errorf("the file outside was changed: %q, %v", b, err)
	}
	if err := os.Symlink("b", filepath.Join(dir, "inside")); err != nil {
		t.Fatal(err)
	}
	if err := WriteAccount(dir, "b", []byte(vectorFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccount(dir, "inside"); err != nil {
		t.Errorf("a link inside the directory: %v", err)
	}
}
