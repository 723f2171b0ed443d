package self

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// accountJSON is the plaintext of an account file.
func accountJSON(name, rt string) string {
	return fmt.Sprintf(`{"name":%q,"client_name":"oidc-agent:%s","issuer_url":"https://op.example.org/","client_id":"c",`+
		`"client_secret":"planted-secret","refresh_token":%q,"scope":"openid offline_access","client_id_issued_at":17}`,
		name, name, rt)
}

// account writes an account file into dir below home.
func (h *home) account(dir, name, plain, password string) {
	h.t.Helper()
	b, err := login.EncryptFile(h.t.Context(), secret.FromString(plain), secret.FromString(password))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := login.WriteAccount(filepath.Join(h.dir, dir), name, b); err != nil {
		h.t.Fatal(err)
	}
}

// status finds the words of a report about one login.
func status(t *testing.T, out, name string) string {
	t.Helper()
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Errorf("no line about %s in\n%s", name, out)
	return ""
}

func newImportHome(t *testing.T) *home {
	t.Helper()
	h := newHome(t)
	h.env["OIDC_CONFIG_DIR"] = filepath.Join(h.dir, "accounts")
	h.env["PW"] = "one"
	h.must("create", "--passphrase-file", h.file("pass", "correct horse\n"))
	h.account("accounts", "a", accountJSON("a", "rt-a"), "one")
	h.account("accounts", "b", accountJSON("other-name", "rt-b"), "one")
	return h
}

// TestImport takes a whole directory in, names what it could not take, changes no file, and does nothing the second
// time.
func TestImport(t *testing.T) {
	h := newImportHome(t)
	h.account("accounts", "locked", accountJSON("locked", "rt-l"), "another")
	h.account("accounts", "empty", accountJSON("empty", ""), "one")
	h.account("accounts", "junk", `[1]`, "one")
	h.account("accounts", "x.clientconfig2x", accountJSON("x", "rt-x"), "one") // no client file: the number is not last
	if err := os.WriteFile(filepath.Join(h.dir, "accounts", "reg.clientconfig2"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.file("accounts/issuer.config", "https://op.example.org/ a b\n")
	h.file("accounts/notes", "not an account\n")
	h.file("accounts/cut", "254\nAAEC\n")
	before := snapshot(t, filepath.Join(h.dir, "accounts"))

	args := []string{"import", "--passphrase-file", "pass", "--pw-env", "PW"}
	dry := h.run(append(args, "--dry-run")...)
	if got := status(t, dry.stdout, "a"); got != "would be imported" || dry.code != cli.No {
		t.Errorf("dry run: %q, exit %d\n%s", got, dry.code, dry.stderr)
	}
	for round, want := range []string{"imported", "unchanged"} {
		got := h.run(args...)
		if got.code != cli.No || !strings.Contains(got.stderr, "5 of 9 files need a look") {
			t.Errorf("round %d: exit %d, %s", round, got.code, got.stderr)
		}
		for name, says := range map[string]string{
			"a": want, "b": want, "x.clientconfig2x": want, "locked": "wrong password", "empty": "damaged: no refresh token",
			"junk": "damaged: not an account configuration", "notes": "damaged: not an account file",
			"cut": "damaged: not an account file", "reg.clientconfig2": "client registration",
		} {
			if s := status(t, got.stdout, name); !strings.HasPrefix(s, says) {
				t.Errorf("round %d, %s: %q, want %q", round, name, s, says)
			}
		}
		if strings.Contains(got.stdout+got.stderr, "planted") || strings.Contains(got.stdout+got.stderr, "rt-a") {
			t.Errorf("a secret is shown:\n%s%s", got.stdout, got.stderr)
		}
	}
	if after := snapshot(t, filepath.Join(h.dir, "accounts")); after != before {
		t.Errorf("files were changed:\n%s\n%s", before, after)
	}
}

// snapshot is everything in a directory.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %q\n", e.Name(), b)
	}
	return all.String()
}

// TestImportConflict: a login of the same name that is another one stays unless the person says so.
func TestImportConflict(t *testing.T) {
	h := newImportHome(t)
	args := []string{"import", "--passphrase-file", "pass", "--pw-env", "PW", "accounts/a"}
	h.must(args...)
	h.account("accounts", "a", accountJSON("a", "rt-of-somebody"), "one")
	got := h.run(args...)
	if s := status(t, got.stdout, "a"); !strings.HasPrefix(s, "conflict") || got.code != cli.No {
		t.Errorf("exit %d, %q", got.code, s)
	}
	got = h.must(append(args, "--replace", "--json")...)
	var rows []struct{ Login, Status string }
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil || len(rows) != 1 || rows[0].Status != "imported" {
		t.Errorf("%v: %s", err, got.stdout)
	}
	// The first one is superseded now; it must not come back.
	h.account("accounts", "a", accountJSON("a", "rt-a"), "one")
	if s := status(t, h.must(args...).stdout, "a"); s != "unchanged" {
		t.Errorf("a replaced refresh token: %q", s)
	}
}

// TestExport writes files that open again and hold everything, and replaces none unasked.
func TestExport(t *testing.T) {
	h := newImportHome(t)
	h.must("import", "--passphrase-file", "pass", "--pw-env", "PW")
	args := []string{"export", "--passphrase-file", "pass", "--pw-env", "PW", "--dir", "out"}
	h.fails(cli.Usage, "name the logins", args...)
	h.fails(cli.NotFound, "there is no login nope", append(args, "nope")...)
	got := h.must(append(args, "--all")...)
	if s := status(t, got.stdout, "b"); s != "written" || !strings.Contains(got.stderr, "go stale") {
		t.Errorf("%q, %s", s, got.stderr)
	}
	f, err := login.ReadAccount(filepath.Join(h.dir, "out"), "b")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.Open(t.Context(), secret.FromString("one"))
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Use(func(b []byte) error {
		for _, want := range []string{
			`"name":"b"`, `"refresh_token":"rt-b"`, `"client_id_issued_at":17`, `"auth_scope":"openid offline_access"`,
			`"issuer_url":"https://op.example.org/"`,
		} {
			if !bytes.Contains(b, []byte(want)) {
				t.Errorf("%s is missing", want)
			}
		}
		return nil
	})
	if b, err := os.ReadFile(filepath.Join(h.dir, "out", "issuer.config")); err != nil || !bytes.Contains(b, []byte(`"b"`)) {
		t.Errorf("issuer.config: %s, %v", b, err)
	}
	before := snapshot(t, filepath.Join(h.dir, "out"))
	if got := h.run(append(args, "b")...); got.code != cli.No || status(t, got.stdout, "b") != "exists: replace it with --force" {
		t.Errorf("%+v", got)
	}
	if snapshot(t, filepath.Join(h.dir, "out")) != before {
		t.Error("a file was replaced")
	}
	h.must(append(args, "--force", "b")...)
}
