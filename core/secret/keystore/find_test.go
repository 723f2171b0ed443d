package keystore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// offers is what a passphrase credential has.
func offers(t *testing.T, c Credential) (string, error) {
	t.Helper()
	n, err := c.NewSlot(t.Context())
	return n.Passphrase.Expose(), err
}

func TestFindCredential(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flag, env := file("flag", "from flag\n"), file("env", "from environment\n")
	key := file("key", strings.Repeat("k", 32))
	file(CredentialName, "from systemd\n")
	none := map[string]string{}
	all := map[string]string{EnvPassphraseFile: env, "CREDENTIALS_DIRECTORY": dir}
	systemd := map[string]string{"CREDENTIALS_DIRECTORY": dir}
	empty := map[string]string{"CREDENTIALS_DIRECTORY": t.TempDir()}
	keyringSlot := []Slot{{Kind: KindPassphrase}, {Kind: KindKeyring}}

	for name, tc := range map[string]struct {
		o    CredentialOptions
		env  map[string]string
		want string // passphrase, or the kind
	}{
		"flag_before_all":          {CredentialOptions{PassphraseFile: flag, Slots: keyringSlot}, all, "from flag"},
		"key_file":                 {CredentialOptions{KeyFile: key}, all, "keyfile"},
		"environment":              {CredentialOptions{Slots: keyringSlot}, all, "from environment"},
		"systemd":                  {CredentialOptions{Slots: keyringSlot}, systemd, "from systemd"},
		"systemd_has_another_only": {CredentialOptions{}, empty, ""},
		"keyring":                  {CredentialOptions{Slots: keyringSlot}, none, "keyring"},
		"nothing":                  {CredentialOptions{Slots: keyringSlot[:1]}, none, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Getenv = func(k string) string { return tc.env[k] }
			c, found, err := FindCredential(tc.o)
			if err != nil || found != (tc.want != "") || found == c.None() {
				t.Fatalf("found %v, %v", found, err)
			}
			if !found {
				return
			}
			n, err := c.NewSlot(t.Context())
			got := n.Passphrase.Expose()
			if n.Kind != KindPassphrase {
				got = n.Kind.String()
			}
			if got != tc.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	t.Run("two_flags", func(t *testing.T) {
		o := CredentialOptions{PassphraseFile: flag, KeyFile: key, Getenv: func(string) string { return "" }}
		if _, found, err := FindCredential(o); found || !errors.Is(err, ErrChoice) {
			t.Errorf("%v, %v", found, err)
		}
	})
}

func TestPassphraseFile(t *testing.T) {
	for name, tc := range map[string]struct {
		content, want string
		err           error
	}{
		"line":                {"secret\n", "secret", nil},
		"no_line_end":         {"secret", "secret", nil},
		"windows_line_end":    {"secret\r\n", "secret", nil},
		"first_line_only":     {"secret\nsecond\n", "secret", nil},
		"spaces_belong_to_it": {" a b \n", " a b ", nil},
		"empty":               {"", "", ErrUnfit},
		"empty_line":          {"\nsecret", "", ErrUnfit},
		"too_long":            {strings.Repeat("x", maxPassphrase+1), "", ErrUnfit},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := offers(t, PassphraseFile(write(t, "p", tc.content, 0o600)))
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		if _, err := offers(t, PassphraseFile("/nonexistent/p")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("directory", func(t *testing.T) {
		if _, err := offers(t, PassphraseFile(t.TempDir())); err == nil {
			t.Error("accepted")
		}
	})
}

func TestFilesOpenToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mode bits")
	}
	random := strings.Repeat("r", 32)
	for mode, want := range map[os.FileMode]struct{ passphrase, key error }{
		0o600: {nil, nil}, 0o400: {nil, nil},
		0o440: {nil, ErrUnfit}, // as systemd shows an access list
		0o640: {nil, ErrUnfit}, 0o620: {ErrUnfit, ErrUnfit}, 0o604: {ErrUnfit, ErrUnfit}, 0o644: {ErrUnfit, ErrUnfit},
		0o666: {ErrUnfit, ErrUnfit},
	} {
		if _, err := offers(t, PassphraseFile(write(t, "p", random, mode))); !errors.Is(err, want.passphrase) {
			t.Errorf("passphrase file %04o: %v", mode, err)
		}
		key, err := readKeyFile(write(t, "k", random, mode))
		if key.Wipe(); !errors.Is(err, want.key) {
			t.Errorf("key file %04o: %v", mode, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	for n, want := range map[int]error{0: ErrUnfit, 31: ErrUnfit, 32: nil, maxKey: nil, maxKey + 1: ErrUnfit} {
		if _, err := readKeyFile(write(t, "k", strings.Repeat("r", n), 0o600)); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	t.Run("a_new_one_is_private_and_random", func(t *testing.T) {
		dir := t.TempDir()
		var keys []string
		for _, name := range []string{"a", "b"} {
			path := filepath.Join(dir, name)
			key, _, err := makeKeyFile(path)
			if err != nil {
				t.Fatal(err)
			}
			again, err := readKeyFile(path)
			if err != nil || !again.Equal(key) {
				t.Errorf("read back: %v", err)
			}
			keys = append(keys, key.Expose())
		}
		if keys[0] == keys[1] || len(keys[0]) != 32 {
			t.Error("not random")
		}
	})
	t.Run("an_existing_one_stays", func(t *testing.T) {
		path := write(t, "k", strings.Repeat("r", 40), 0o600)
		key, undo, err := makeKeyFile(path)
		if err != nil || key.Len() != 40 {
			t.Fatalf("%d bytes, %v", key.Len(), err)
		}
		undo()
		if _, err := os.Stat(path); err != nil {
			t.Error("undo removed a file that was there before")
		}
	})
	t.Run("its_whole_content_counts", func(t *testing.T) {
		eng := memstore.New()
		path := write(t, "k", strings.Repeat("r", 33), 0o600)
		if _, err := Create(t.Context(), eng, newVault(t), NewSlot{Kind: KindKeyFile, Path: path}); err != nil {
			t.Fatal(err)
		}
		cut := write(t, "cut", strings.Repeat("r", 32), 0o600)
		if _, err := Open(t.Context(), eng, newVault(t), KeyFile(cut)); !errors.Is(err, ErrWrongKey) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSystemdCredential(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	random := "\x00\n" + strings.Repeat("r", 32)
	file("random", random)
	file("words", "correct horse battery staple and more\n")
	file("short", "correct horse\n")

	t.Run("random_bytes_open_a_credential_slot", func(t *testing.T) {
		eng := memstore.New()
		n, err := SystemdCredential(dir, "random").NewSlot(t.Context())
		if err != nil || n.Kind != KindCredential {
			t.Fatalf("%v, %v", n.Kind, err)
		}
		if _, err := Create(t.Context(), eng, newVault(t), n); err != nil {
			t.Fatal(err)
		}
		reopen(t, eng, SystemdCredential(dir, "random"))
		if _, err := Open(t.Context(), eng, newVault(t), SystemdCredential(dir, "words")); !errors.Is(err, ErrWrongKey) {
			t.Errorf("another credential: %v", err)
		}
	})
	t.Run("a_line_opens_a_passphrase_slot", func(t *testing.T) {
		lines := map[string]string{"words": "correct horse battery staple and more", "short": "correct horse"}
		for name, text := range lines {
			eng := memstore.New()
			if _, err := Create(t.Context(), eng, newVault(t), phrase(text)); err != nil {
				t.Fatal(err)
			}
			reopen(t, eng, SystemdCredential(dir, name))
		}
	})
	t.Run("a_short_one_becomes_a_passphrase", func(t *testing.T) {
		n, err := SystemdCredential(dir, "short").NewSlot(t.Context())
		if err != nil || n.Kind != KindPassphrase || n.Passphrase.Expose() != "correct horse" {
			t.Errorf("%v, %v", n.Kind, err)
		}
	})
	t.Run("names_that_lead_elsewhere", func(t *testing.T) {
		for _, name := range []string{"", ".", "..", "../x", "a/b", "a\\b", "a\x00"} {
			if _, err := readCredential(dir, name); !errors.Is(err, ErrUnfit) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                        nil,
		"  \t ":                   nil,
		"pass show oidcbox":       {"pass", "show", "oidcbox"},
		`pass  'two words' "a b"`: {"pass", "two words", "a b"},
		`a'b'"c"d`:                {"abcd"},
		`'' ""`:                   {"", ""},
		`a\ b \' \\`:              {"a b", "'", `\`},
		`"a\"b" 'a\b'`:            {`a"b`, `a\b`},
		`$HOME * ; | > $(x) #`:    {"$HOME", "*", ";", "|", ">", "$(x)", "#"},
	} {
		if got, err := splitWords(line); !slices.Equal(got, want) || err != nil {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`'a`, `"a`, `a\`, `"a'`} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// programs is a directory of programs to run as passphrase commands.
type programs struct {
	dir    string
	env    map[string]string
	stderr bytes.Buffer
}

func newPrograms(t *testing.T) *programs {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a POSIX shell")
	}
	dir := t.TempDir()
	path := "relative:" + dir + ":" + os.Getenv("PATH")
	return &programs{dir: dir, env: map[string]string{"PATH": path, "HOME": dir, "SECRET_OF_OURS": "x"}}
}

func (p *programs) getenv(k string) string { return p.env[k] }

func (p *programs) script(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *programs) run(t *testing.T, line string) (string, error) {
	t.Helper()
	c, err := PassphraseCmd(line, p.getenv, &p.stderr)
	if err != nil {
		return "", err
	}
	defer c.Forget()
	return offers(t, c)
}

func TestPassphraseCmd(t *testing.T) {
	p := newPrograms(t)
	t.Run("first_line", func(t *testing.T) {
		p.script(t, "two", "echo first\necho second\n")
		if got, err := p.run(t, "two"); got != "first" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("no_line_end", func(t *testing.T) {
		if got, err := p.run(t, p.script(t, "bare", "printf 'a b'")); got != "a b" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("arguments_are_not_seen_by_a_shell", func(t *testing.T) {
		p.script(t, "args", `printf '%s|' "$@"`)
		if got, err := p.run(t, `args '$HOME' ; *`); got != "$HOME|;|*|" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("clean_environment_and_no_input", func(t *testing.T) {
		p.script(t, "show", `env | sed 's/=.*//' | grep -v '^_$\|^PWD$\|^SHLVL$\|^OLDPWD$' | sort | tr '\n' ' '; cat`)
		if got, err := p.run(t, "show"); got != "HOME PATH " || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("runs_once_for_all_slots", func(t *testing.T) {
		eng := memstore.New()
		k := create(t, eng)
		if _, err := k.AddSlot(t.Context(), phrase("second")); err != nil {
			t.Fatal(err)
		}
		c, err := PassphraseCmd(p.script(t, "count", "echo x >> "+p.dir+"/log; echo second"), p.getenv, nil)
		if err != nil {
			t.Fatal(err)
		}
		reopen(t, eng, c)
		if log, _ := os.ReadFile(filepath.Join(p.dir, "log")); string(log) != "x\n" {
			t.Errorf("ran %q", log)
		}
	})
}

func TestPassphraseCmdThatFails(t *testing.T) {
	p := newPrograms(t)
	t.Run("failure", func(t *testing.T) {
		p.script(t, "bad", "echo half-a-secret; echo why >&2; exit 3\n")
		got, err := p.run(t, "bad")
		if got != "" || err == nil || strings.Contains(err.Error(), "half-a-secret") {
			t.Errorf("%q, %v", got, err)
		}
		if p.stderr.String() != "why\n" {
			t.Errorf("standard error %q", p.stderr.String())
		}
	})
	t.Run("nothing_printed", func(t *testing.T) {
		if _, err := p.run(t, p.script(t, "mute", "")); !errors.Is(err, ErrUnfit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("endless_output", func(t *testing.T) {
		if _, err := p.run(t, p.script(t, "flood", "head -c 1000000 /dev/zero | tr '\\0' x")); !errors.Is(err, ErrUnfit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		c, err := PassphraseCmd(p.script(t, "slow", "sleep 60"), p.getenv, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := c.NewSlot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not_found", func(t *testing.T) {
		if err := os.Mkdir(filepath.Join(p.dir, "d"), 0o700); err != nil {
			t.Fatal(err)
		}
		p.script(t, "two", "echo x")
		for _, line := range []string{"", "nonexistent-program", "./two", "d", "/nonexistent"} {
			if _, err := p.run(t, line); err == nil {
				t.Errorf("%q: accepted", line)
			}
		}
	})
}

func TestForgetWipes(t *testing.T) {
	c := PassphraseFile(write(t, "p", "secret\n", 0o600))
	if got, err := offers(t, c); got != "secret" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	c.Forget()
	if got, err := offers(t, c); got != "" || err == nil {
		t.Errorf("%q, %v", got, err)
	}
	Credential{}.Forget()
	typed := secret.FromString("x")
	if Passphrase(typed).Forget(); !typed.Empty() {
		t.Error("a typed passphrase was not wiped")
	}
}

func TestDefaultPath(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"xdg":               {map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/oidcbox/keystore"},
		"home":              {map[string]string{"HOME": "/h"}, "/h/.local/state/oidcbox/keystore"},
		"relative_xdg":      {map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/oidcbox/keystore"},
		"nothing":           {nil, ""},
		"relative_is_never": {map[string]string{"HOME": "h"}, ""},
	} {
		if runtime.GOOS == "windows" {
			t.Skip("other paths are absolute there")
		}
		got, err := DefaultPath(func(k string) string { return tc.env[k] })
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
