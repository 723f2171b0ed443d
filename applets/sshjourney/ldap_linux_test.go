package sshjourney

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// ldapWorker is the part of the worker's configuration about a directory.
const ldapWorker = `backend: ldap
ldap:
  servers: ["SERVER"]
  start_tls: true
  ca_file: CA
  bind_dn: "BIND"
  password_file: PASSWORD
  timeout: 3s
  mode: full_access
  user_base: ` + services.LDAPPeople + `
  group_base: ` + services.LDAPGroups + `
  shells: {full: /bin/sh}
  probe: {bind_dn: "` + services.LDAPUser + `", password_file: PROBE}
`

// newLDAPSite is a site whose accounts are in a directory, which the host sees by nslcd.
func newLDAPSite(t *testing.T, o siteOptions) (*site, *services.Directory) {
	t.Helper()
	d := services.Slapd(t)
	dir := t.TempDir()
	secrets := map[string]string{"PASSWORD": services.LDAPWriterPassword, "PROBE": services.LDAPUserPassword}
	words := []string{"SERVER", d.URL, "CA", d.CA, "BIND", services.LDAPWriter}
	for word, text := range secrets {
		file := filepath.Join(dir, word)
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		words = append(words, word, file)
	}
	section := strings.NewReplacer(words...).Replace(ldapWorker)
	o.worker = with("backend: local_unix\nlocal_unix: {home_base: /home, shells: {full: /bin/sh}}\n", section, "[federated]", "[fed]")
	o.provisioner = with("backend: local_unix", "backend: ldap",
		"{fallback: federated, primary: federated}", "{fallback: fed, primary: fed}")
	s := newSite(t, o)
	s.NSLCD(d)
	return s, d
}

// padded is a user whose access tokens are long.
func padded(name string, entitlements int) issuer.User {
	u := issuer.User{Name: name, Subject: "sub-" + name, FullName: name + " Berg", Email: name + "@example.org"}
	for i := range entitlements {
		u.Entitlements = append(u.Entitlements, fmt.Sprintf("urn:geant:example.org:role:of-no-group-%d:%s#aai.example.org", i, name))
	}
	return u
}

// wrapped is a login by our wrapper, as somebody who was never here: what to do when the host's key is new is told.
func (s *site) wrapped(t *testing.T, token string, command ...string) outcome {
	t.Helper()
	home := t.TempDir()
	args := append([]string{
		"ssh", "--mc-endpoint", s.url, "-F", "none", "-p", fmt.Sprint(s.sshd.Port),
		"-o", "UserKnownHostsFile=" + s.sshd.KnownHosts, "-o", "StrictHostKeyChecking=yes", "127.0.0.1",
	}, command...)
	cmd := s.oidcbox(args...)
	cmd.Env = append(cmd.Env, "ACCESS_TOKEN="+token, "HOME="+home, "XDG_RUNTIME_DIR="+home, "OIDCBOX_AUTOSTART=0")
	return s.run(cmd)
}

// TestLDAP: accounts of a directory, from the first login to the last.
func TestLDAP(t *testing.T) {
	s, d := newLDAPSite(t, siteOptions{issuer: func(o *issuer.Options) {
		o.Users = append(issuer.SampleUsers(), padded("kurz", 0), padded("mittel", 10), padded("lang", 51))
	}})
	for user, least := range map[string]int{"kurz": 600, "mittel": 1500, "lang": 5000} {
		t.Run("first_login_by_the_wrapper_with_a_token_of_"+fmt.Sprint(least), func(t *testing.T) {
			token := s.at(user)
			if len(token) < least || len(token) > least+400 {
				t.Errorf("the token has %d bytes", len(token))
			}
			o := s.wrapped(t, token, "id -un; exit 5")
			if o.code != 5 || o.out != s.nameOf(user)+"\n" {
				t.Errorf("%s", o)
			}
		})
	}
	name := s.deploy("alice")
	if got := s.ssh(name, s.password("alice")); got != name {
		t.Errorf("logged in as %q, want %q", got, name)
	}
	if strings.Contains(s.Read("/etc/passwd"), name+":") || d.Search(services.LDAPPeople, "(uid="+name+")", "uid") == "" {
		t.Error("the account is not in the directory alone")
	}
	t.Run("suspended_and_resumed", func(t *testing.T) { ldapSuspended(t, s, d, name) })
	t.Run("other_entries", func(t *testing.T) { ldapOthers(t, s, d) })
	t.Run("ledger_rebuilt", func(t *testing.T) { ldapRebuilt(t, s) })
	t.Run("adapter", func(t *testing.T) { ldapAdapter(t, s, name) })
	t.Run("directory_hangs", func(t *testing.T) {
		d.Pause()
		defer d.Continue()
		ldapDown(t, s, d, name)
	})
	t.Run("directory_down", func(t *testing.T) {
		d.Kill()
		ldapDown(t, s, d, name)
		d.Restart()
		s.await("bob's first login", func() bool { return s.get("/user/deploy", s.at("bob")).status == http.StatusOK })
		if got, want := s.ssh(s.nameOf("bob"), s.password("bob")), s.nameOf("bob"); got != want || got == "" {
			t.Errorf("bob logs in as %q, want %q", got, want)
		}
	})
}

// ldapSuspended: the entry says it, the login is refused, and says why.
func ldapSuspended(t *testing.T, s *site, d *services.Directory, name string) {
	from := s.mark()
	session := s.sshd.Client(services.SSHLogin{User: name, Answers: []string{s.password("alice")}, Command: []string{"sleep", "600"}})
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Process.Kill() }()
	sleeps := func() bool {
		return s.Command("pgrep", "-r", "R,S,D", "-u", fmt.Sprint(s.UID(name)), "sleep").Run() == nil
	}
	s.await("a session", sleeps)
	password := s.password("alice")
	if o := s.admin("suspend", name, "--reason", "stolen laptop"); o.code != 0 {
		t.Fatal(o)
	}
	if entry := d.Search(services.LDAPPeople, "(uid="+name+")", "shadowExpire"); !strings.Contains(entry, "shadowExpire: 1\n") {
		t.Errorf("entry: %s", entry)
	}
	if sleeps() {
		t.Error("suspended, and the session goes on")
	}
	_ = session.Wait()
	if got := s.ssh(name, password); got != "" {
		t.Errorf("suspended, and logged in as %q", got)
	}
	s.awaitLogs(t, from, `"event":"suspend"`)
	if o := s.admin("resume", name); o.code != 0 {
		t.Fatal(o)
	}
	s.await("a login after it was resumed", func() bool { return s.ssh(name, s.password("alice")) == name })
}

// ldapOthers: what is in the directory and not ours opens to nobody, and is not touched.
func ldapOthers(t *testing.T, s *site, d *services.Directory) {
	before := d.Search(services.LDAPPeople, "(uid=olduser)", "*", "+")
	from := s.mark()
	if got := s.ssh("olduser", s.password("alice")); got != "" {
		t.Errorf("alice's password opens olduser: %q", got)
	}
	s.awaitLogs(t, from, "olduser")
	if o := s.admin("suspend", "olduser"); o.code == 0 {
		t.Errorf("an account that is not ours was suspended: %s", o)
	}
	if after := d.Search(services.LDAPPeople, "(uid=olduser)", "*", "+"); after != before {
		t.Errorf("entry before:\n%s\nafter:\n%s", before, after)
	}
}

// ldapRebuilt: the server's ledger is lost, and everybody logs in as before.
func ldapRebuilt(t *testing.T, s *site) {
	names := map[string]string{"alice": s.nameOf("alice"), "kurz": s.nameOf("kurz")}
	s.kill(s.serve)
	s.Run("rm", "/var/lib/oidcbox/provisioner/state.keys")
	if o := s.run(s.as(serveUser, "provisioner", "setup", "--state-only")); o.code != 0 {
		t.Fatal(o)
	}
	s.startFront()
	if o := s.admin("rebuild"); o.code != 0 {
		t.Fatal(o)
	}
	for user, name := range names {
		if got := s.ssh(name, s.password(user)); got != name || s.nameOf(user) != name {
			t.Errorf("%s was %q and logs in as %q", user, name, got)
		}
	}
}

// ldapAdapter: a program that speaks the form of the feudal adapter.
func ldapAdapter(t *testing.T, s *site, name string) {
	sub, _, _ := strings.Cut(s.id("alice"), "@")
	cmd := s.oidcbox("feudal")
	cmd.Stdin = strings.NewReader(`{"state_target":"get_status","user":{"userinfo":{"sub":"` + sub + `","iss":"` + s.op.URL + `"}}}`)
	if o := s.run(cmd); o.code != 0 || o.out != `{"state":"deployed","message":"username `+name+`"}`+"\n" {
		t.Errorf("%s", o)
	}
}

// ldapDown: without the directory nobody new gets an account, nobody is told anything wrong, and nothing is left behind.
func ldapDown(t *testing.T, s *site, d *services.Directory, name string) {
	t.Helper()
	log := filepath.Join(s.Root(), "serve.log")
	before, _ := os.ReadFile(log)
	if a := s.get("/user/deploy", s.at("bob")); a.status != http.StatusInternalServerError || a.member("state") == "deployed" {
		t.Errorf("first login: %s", a)
	}
	if a := s.get("/verify_user?username="+name, s.at("bob")); strings.Contains(a.body, `"verified":true`) {
		t.Errorf("bob is %s: %s", name, a)
	}
	after, _ := os.ReadFile(log)
	if said := string(after[len(before):]); !strings.Contains(said, "account system is not available") ||
		strings.Contains(said, "encrypt") {
		t.Errorf("the log says %s", said)
	}
}
