package login

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// gnupg makes a home of gpg with a key for each name; the passphrase "" is none.
func gnupg(t *testing.T, passphrase string, names ...string) GPG {
	t.Helper()
	services.Need(t, "gpg", "gpgconf")
	dir, err := os.MkdirTemp("", "gpg") // its agent's socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GNUPGHOME": dir, "PATH": os.Getenv("PATH"), "HOME": dir}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "all")
		cmd.Env = []string{"GNUPGHOME=" + dir, "PATH=" + env["PATH"], "HOME=" + dir}
		_ = cmd.Run()
		_ = os.RemoveAll(dir)
	})
	g, err := FindGPG(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		cmd := exec.Command(g.Path, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase,
			"--quick-gen-key", name, "rsa2048", "encr", "never")
		cmd.Env = g.Environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make a key: %v\n%s", err, out)
		}
	}
	return g
}

// TestGPG: what gpg encrypts is an account file that we read, for the keys it is for, and what is written again is for
// the same keys.
func TestGPG(t *testing.T) {
	g := gnupg(t, "", "alice@example.org", "bob@example.org")
	plain := secret.FromString(`{"name":"a","x":"it's \"$(quoted)\""}`)
	armoured, err := g.Encrypt(t.Context(), plain, "alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFile(PGPFile(armoured))
	if err != nil || f.Format != PGP || f.Version != fileVersion {
		t.Fatalf("%+v, %v", f, err)
	}
	keys, err := Recipients(f.Armour())
	if err != nil || len(keys) != 1 || len(keys[0]) != 16 {
		t.Fatalf("recipients %v, %v", keys, err)
	}
	for _, quiet := range []bool{true, false} {
		g.Quiet = quiet
		got, err := g.Decrypt(t.Context(), f.Armour())
		if err != nil || !got.Equal(plain) {
			t.Errorf("decrypt, quiet %v: %v", quiet, err)
		}
	}
	again, err := g.EncryptAgain(t.Context(), plain, f.Armour())
	if err != nil {
		t.Fatal(err)
	}
	if now, err := Recipients(again); err != nil || len(now) != 1 || now[0] != keys[0] {
		t.Errorf("written again for %v, %v", now, err)
	}
	cmd := exec.Command(g.Path, "--batch", "--armor", "--trust-model", "always", "-r", "alice@example.org", "-r", "bob@example.org", "-e")
	cmd.Env, cmd.Stdin = g.Environ, strings.NewReader("{}")
	both, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := Recipients(both); err != nil || len(keys) != 2 {
		t.Errorf("two recipients: %v, %v", keys, err)
	}
}

func TestGPGRefusals(t *testing.T) {
	g := gnupg(t, "sesame", "alice@example.org")
	armoured, err := g.Encrypt(t.Context(), secret.FromString("{}"), "alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("quiet_asks_nobody", func(t *testing.T) {
		forget := exec.Command("gpgconf", "--kill", "gpg-agent") // it may remember the passphrase from making the key
		forget.Env = g.Environ
		if err := forget.Run(); err != nil {
			t.Fatal(err)
		}
		quiet := g
		quiet.Quiet = true
		start := time.Now()
		if _, err := quiet.Decrypt(t.Context(), armoured); !errors.Is(err, ErrPGP) || time.Since(start) > gpgQuiet {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
	t.Run("damaged", func(t *testing.T) {
		if _, err := g.Decrypt(t.Context(), []byte(pgpBegin+"\n\nhQ==\n"+pgpEnd+"\n")); !errors.Is(err, ErrPGP) {
			t.Error(err)
		}
	})
	for name, key := range map[string]string{"no_key": "", "an_option": "--version", "unknown_key": "nobody@example.org"} {
		t.Run(name, func(t *testing.T) {
			if _, err := g.Encrypt(t.Context(), secret.FromString("{}"), key); !errors.Is(err, ErrPGP) {
				t.Error(err)
			}
		})
	}
	t.Run("nothing_of_the_text_in_the_error", func(t *testing.T) {
		_, err := g.Encrypt(t.Context(), secret.FromString("planted"), "nobody@example.org")
		if err == nil || strings.Contains(err.Error(), "planted") {
			t.Error(err)
		}
	})
	t.Run("context_ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Decrypt(ctx, armoured); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestFindGPG(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"gpg": 0o600, "gpg2": 0o700} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PATH": "relative:" + dir, "HOME": "/h", "LD_PRELOAD": "evil.so", "OIDC_ENCRYPTION_PW": "pw"}
	g, err := FindGPG(func(k string) string { return env[k] })
	if err != nil || g.Path != filepath.Join(dir, "gpg2") {
		t.Errorf("%s, %v", g.Path, err)
	}
	for _, e := range g.Environ {
		if strings.HasPrefix(e, "LD_PRELOAD") || strings.HasPrefix(e, "OIDC_") {
			t.Errorf("gpg is told %s", e)
		}
	}
	env["PATH"] = "/does/not/exist"
	if _, err := FindGPG(func(k string) string { return env[k] }); !errors.Is(err, exec.ErrNotFound) || !errors.Is(err, ErrPGP) {
		t.Error(err)
	}
}

// TestRecipients reads packets as they may come, and refuses what does not say.
func TestRecipients(t *testing.T) {
	armour := func(packets string) []byte {
		return []byte(pgpBegin + "\nComment: x\n\n" + b64([]byte(packets)) + "\n=abcd\n" + pgpEnd + "\n")
	}
	id := "\x01\x23\x45\x67\x89\xab\xcd\xef"
	body := "\x03" + id + "\x01"
	for name, c := range map[string]struct {
		packets string
		want    string
	}{
		"old_format":     {"\x84\x0a" + body + "\xd2\x01x", "0123456789ABCDEF"},
		"old_two_bytes":  {"\x85\x00\x0a" + body, "0123456789ABCDEF"},
		"old_four_bytes": {"\x86\x00\x00\x00\x0a" + body, "0123456789ABCDEF"},
		"new_format":     {"\xc1\x0a" + body, "0123456789ABCDEF"},
		"new_long":       {"\xc1\xff\x00\x00\x00\x0a" + body, "0123456789ABCDEF"},
		"two":            {"\xc1\x0a" + body + "\x84\x0a" + body, "0123456789ABCDEF 0123456789ABCDEF"},
		"hidden":         {"\xc1\x0a\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01", ""},
		"version_6":      {"\xc1\x0a\x06" + id + "\x01", ""},
		"cut":            {"\xc1\x0a\x03", ""},
		"huge":           {"\xc1\xff\xff\xff\xff\xff" + body, ""},
		"symmetric_only": {"\xc3\x01x", ""},
		"nothing":        {"", ""},
	} {
		keys, err := Recipients(armour(c.packets))
		if got := strings.Join(keys, " "); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "x", pgpBegin + "\n\n!!!\n" + pgpEnd, pgpEnd + "\n" + pgpBegin + "\n"} {
		if _, err := Recipients([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzRecipients(f *testing.F) {
	f.Add([]byte(pgpBegin + "\n\n" + b64([]byte("\xc1\x0a\x03\x01\x23\x45\x67\x89\xab\xcd\xef\x01")) + "\n" + pgpEnd + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := Recipients(b)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%v, %v", keys, err)
		}
		for _, k := range keys {
			if len(k) != 16 {
				t.Errorf("key %q", k)
			}
		}
	})
}

func TestWithRefreshToken(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"refresh_token":"old","scope":"x","z":{"b":[1, 2]}}`: `{"a":1,"refresh_token":"n<\"w","scope":"x","z":{"b":[1,2]}}`,
		"{\n\t\"refresh_token\":\t\"old\"\n}\n":                      `{"refresh_token":"n<\"w"}`,
		`{}`:                                                         `{"refresh_token":"n<\"w"}`,
		`{"auth_scope":"","refresh_token":""}`:                       `{"auth_scope":"","refresh_token":"n<\"w"}`,
	} {
		got, err := WithRefreshToken([]byte(in), secret.FromString(`n<"w`))
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	if _, err := WithRefreshToken([]byte(`[]`), secret.Text{}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestFirstLine(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for in, want := range map[string]string{
		"": "", "a": "a", "a\nb\n": "a", "a\r\n": "a", " a \n": " a ", "\nb": "", long + "\n": long, long: long, long + "\r\n": long,
	} {
		got, err := FirstLine(strings.NewReader(in))
		if err != nil || got.Expose() != want {
			t.Errorf("%.20q: %.20q, %v", in, got.Expose(), err)
		}
	}
	if _, err := FirstLine(bytes.NewReader(bytes.Repeat([]byte("x"), maxLine+1))); err == nil {
		t.Error("a line without end is taken")
	}
	if _, err := PasswordFile(os.DevNull); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a device: %v", err)
	}
}
