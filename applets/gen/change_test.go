//go:build unix

package gen

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func TestRename(t *testing.T) {
	w := newWorld(t)
	w.must(code(w.op.URL, "old", "--scope", "openid", "--pw-file", "pw")...)
	for range 2 { // the provider replaces the refresh token: the file is behind the agent
		if err := w.token("old"); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.must("--rename", "new", "old", "--pw-file", "pw", "--prompt", "none"); r.out != "" {
		t.Errorf("standard output %q", r.out)
	}
	if _, err := os.Stat(w.path("home/.oidc-agent/old")); !os.IsNotExist(err) {
		t.Errorf("the old file: %v", err)
	}
	if i, _ := w.issuers().Find(w.op.URL); len(i.Accounts) != 1 || i.Accounts[0] != "new" || i.DefaultAccount != "new" {
		t.Errorf("issuer.config says %+v", i)
	}
	// What was written is what the agent knew, not what the file said.
	plain, err := w.svc.Admin().ExportLogin(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := decode(plain); err != nil || now.RefreshToken.Expose() != w.account("new").RefreshToken.Expose() {
		t.Errorf("the file is behind the agent, %v", err)
	}
	if err := w.token("new"); err != nil {
		t.Errorf("under the new name: %v", err)
	}
	if err := w.token("old"); err == nil {
		t.Error("the old name still gives tokens")
	}
	for name, c := range map[string]struct {
		args []string
		code int
		line string
	}{
		"nothing":   {[]string{"--rename", "x", "nope"}, cli.NotFound, "No account configuration found with that shortname"},
		"no name":   {[]string{"--rename", "x"}, cli.Usage, "You have to specify a shortname to rename it"},
		"taken":     {[]string{"--rename", "new", "new"}, cli.No, "An account with that shortname is already configured"},
		"hostile":   {[]string{"--rename", "../x", "new"}, cli.Usage, "unusable account name"},
		"no answer": {[]string{"--rename", "x", "new", "--prompt", "none"}, cli.Usage, "--pw-file"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := w.run(c.args...); r.code != c.code || !strings.Contains(strings.ToLower(r.errOut), strings.ToLower(c.line)) {
				t.Errorf("%d %q", r.code, r.errOut)
			}
		})
	}
}

func (w *world) remove(name string) (proto.Reply, error) {
	return proto.Client{Path: w.env["OIDC_SOCK"]}.Call(w.t.Context(), proto.Request{Type: proto.TypeRemove, Account: name})
}

func TestRenameInKeystore(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.must(code(w.op.URL, "old")...)
	w.must("--rename", "new", "old", "--prompt", "none")
	if w.stored("old") || !w.stored("new") {
		t.Errorf("stored: old %v, new %v", w.stored("old"), w.stored("new"))
	}
	if r := w.must("-p", "new"); !strings.Contains(r.out, "\t\"name\":\t\"new\",\n") {
		t.Errorf("%q", r.out)
	}
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	w.config("plain", `{"name":"plain","issuer_url":"https://op.example","client_id":"c","refresh_token":"planted","mine":[1]}`)
	if r := w.run("-u", "plain", "--prompt", "none"); r.code != cli.Usage || !strings.Contains(r.errOut, "--pw-gpg") {
		t.Errorf("without a password: %d %q", r.code, r.errOut)
	}
	if r := w.must("-u", "plain", "--pw-file", "pw"); r.out != "Updated config file format\n" {
		t.Errorf("%q", r.out)
	}
	if cfg := w.account("plain"); cfg.RefreshToken.Expose() != "planted" || cfg.Issuer != "https://op.example/" {
		t.Errorf("%+v", cfg.WithoutSecrets())
	}
	if r := w.must("-p", "plain", "--pw-file", "pw"); !strings.Contains(r.out, "\t\"mine\":\t[1]") {
		t.Errorf("a member nobody knows is gone: %s", r.out)
	}
	before, err := os.ReadFile(w.path("home/.oidc-agent/plain"))
	if err != nil || strings.Contains(string(before), "planted") {
		t.Fatal("not encrypted", err)
	}
	w.write("other", "wrong\n")
	if r := w.run("-u", w.path("home/.oidc-agent/plain"), "--pw-file", "other", "--prompt", "none"); r.code != cli.Denied {
		t.Errorf("wrong password: %d %q", r.code, r.errOut)
	}
	w.must("-u", w.path("home/.oidc-agent/plain"), "--pw-file", "pw")
	after, err := os.ReadFile(w.path("home/.oidc-agent/plain"))
	if err != nil || string(after) == string(before) {
		t.Error("the file was not encrypted anew", err)
	}
	if r := w.run("-u", "nope", "--pw-file", "pw"); r.code != cli.NotFound {
		t.Errorf("nothing there: %d", r.code)
	}
}

// TestGPG: account files that gpg opens.
func TestGPG(t *testing.T) {
	services.Need(t, "gpg")
	w := newWorld(t)
	w.env["PATH"], w.env["GNUPGHOME"] = os.Getenv("PATH"), w.path("home")
	key := exec.Command("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key", "gen@example.org", "default", "default", "never")
	key.Env = []string{"GNUPGHOME=" + w.path("home"), "PATH=" + os.Getenv("PATH"), "HOME=" + w.path("home")}
	if out, err := key.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		end := exec.Command("gpgconf", "--kill", "gpg-agent")
		end.Env = key.Env
		_ = end.Run()
	})
	w.must(code(w.op.URL, "demo", "--pw-gpg", "gen@example.org", "--scope", "openid")...)
	f, err := login.ReadAccount(w.path("home/.oidc-agent"), "demo")
	if err != nil || f.Format != login.PGP {
		t.Fatalf("%v, %v", f.Format, err)
	}
	if r := w.runAs(true, "-p", "demo"); r.code != 0 || !strings.Contains(r.out, "\"name\":\t\"demo\"") {
		t.Errorf("print: %d %q", r.code, r.errOut)
	}
	w.must("--rename", "other", "demo", "--prompt", "none")
	if f, err := login.ReadAccount(w.path("home/.oidc-agent"), "other"); err != nil || f.Format != login.PGP {
		t.Errorf("renamed: %v, %v", f.Format, err)
	}
	before := w.posts("/register")
	if r := w.run(code(w.op.URL, "bad", "--pgp", "nobody@example.org")...); r.code == 0 || w.posts("/register") != before {
		t.Errorf("an unknown key was noticed too late: %q", r.out)
	}
}

func TestTabbed(t *testing.T) {
	in := `{"a":"<b>","n":0,"list":["x","y"],"empty":[],"o":{"p":[1]}}`
	want := "{\n\t\"a\":\t\"<b>\",\n\t\"n\":\t0,\n\t\"list\":\t[\"x\", \"y\"],\n\t\"empty\":\t[],\n\t\"o\":\t{\"p\":[1]}\n}"
	if got, err := tabbed([]byte(in)); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	for _, bad := range []string{"", "[]", `{"a":`, `{"a"}`} {
		if _, err := tabbed([]byte(bad)); err == nil {
			t.Errorf("%q was printed", bad)
		}
	}
}

// TestAgainFromFile: the agent knows nothing of a login that ended; its account file is enough to log in again.
func TestAgainFromFile(t *testing.T) {
	w := newWorld(t)
	w.must(code(w.op.URL, "demo", "--scope", "openid", "--pw-file", "pw")...)
	before := w.account("demo").RefreshToken.Expose()
	if rep, err := w.remove("demo"); err != nil || rep.Err() != nil {
		t.Fatal(err, rep.Err())
	}
	w.must("demo", "--reauthenticate", "-w", "code", "--pw-file", "pw", "--prompt", "none")
	if after := w.account("demo").RefreshToken.Expose(); after == before || after == "" {
		t.Error("the account file has the old refresh token")
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}
