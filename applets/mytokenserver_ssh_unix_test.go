//go:build unix

package applets

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// sshSite is a site with an ssh server, and a person whose ssh program finds his own files.
func sshSite(t *testing.T) *mytokenSite {
	t.Helper()
	services.Need(t, "ssh", "ssh-keygen")
	s := newMytokenSite(t, "")
	if err := s.server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.server.Wait()
	address := freeAddress(t)
	s.appendTo("server.yaml", fmt.Sprintf("ssh: {listen: %q, host: 127.0.0.1, host_key_files: server/hostkey}\n", address))
	s.must("mytoken-server", "setup", "--state-only", "--config", "server.yaml")
	s.must("mytoken-server", "check", "--config", "server.yaml", "--offline")
	s.serve(t)
	answers(t, "tcp", address)

	real, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	// ssh takes the home of the password file, whatever HOME says.
	if err := os.MkdirAll(s.path("bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("bin/ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F %q -o UserKnownHostsFile=%q -o StrictHostKeyChecking=accept-new "+
		"-o BatchMode=yes -o IdentityAgent=none \"$@\"\n", real, s.path("home/.ssh/config"), s.path("known")))
	if err := os.Chmod(s.path("bin/ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+s.path("bin")+":"+os.Getenv("PATH"))
	return s
}

// sshHost is what the client writes into ~/.ssh/config for a key of the name laptop.
const sshHost = "mytoken-laptop"

// TestMytokenSSH: a key gets its mytoken by a login, and tokens over ssh: our server and client, OpenSSH's ssh.
func TestMytokenSSH(t *testing.T) {
	s := sshSite(t)
	everything := []string{
		"--capability", "AT", "--capability", "tokeninfo", "--capability", "create_mytoken", "--capability", "settings",
		"--capability", "manage_mytokens",
	}
	mt := s.login(everything...)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path("id")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s.env = append(s.env, "TEST_MT="+mt)
	add := append([]string{
		"mytoken", "settings", "grants", "ssh", "add", "--url", s.url, "--MT-env", "TEST_MT", "--key-name", "laptop",
		s.path("id.pub"),
	}, everything...)
	if o := s.run(add...); o.code != 4 || !strings.Contains(o.errOut, "grant type not enabled") {
		t.Fatalf("a grant that is switched off: %+v", o)
	}
	s.must("mytoken", "settings", "grants", "enable", "ssh", "--url", s.url, "--MT-env", "TEST_MT")
	s.follow(everything, add...)
	if o := s.run(add...); o.code == 0 || !strings.Contains(o.errOut, "known already") {
		t.Errorf("the same key again: %+v", o)
	}

	if at := s.must("mytoken", "--ssh", sshHost, "AT", "-s", "openid"); strings.Count(at, ".") != 2 {
		t.Errorf("AT: %q", at)
	}
	sub := strings.TrimSpace(s.must("mytoken", "MT", "--ssh", sshHost, "--capability", "AT", "--usages-AT", "1"))
	for i, want := range []bool{true, false} {
		if o := s.client(sub, "AT"); (o.code == 0) != want {
			t.Errorf("use %d of the mytoken from ssh: %+v", i+1, o)
		}
	}
	if info := s.must("mytoken", "--ssh", sshHost, "info"); !strings.Contains(info, "mytoken for ssh-grant: laptop") {
		t.Errorf("info: %s", info)
	}
	history := s.must("mytoken", "--ssh", sshHost, "info", "history")
	if !strings.Contains(history, "OpenSSH") || !strings.Contains(history, "127.0.0.1") {
		t.Errorf("history: %s", history)
	}
	if o := s.run("mytoken", "--ssh", sshHost, "AT", "-s", "no.such:/scope"); o.code == 0 || o.out != "" {
		t.Errorf("a scope that there is not: %+v", o)
	}
	t.Run("settings", s.overSSH)
	t.Run("host_key_is_the_one_of_the_description", s.hostKey)
	t.Run("after_a_kill", s.killed)
	if list := s.must("mytoken", "settings", "grants", "ssh", "list", "--url", s.url, "--MT-env", "TEST_MT"); strings.Contains(list, "never") {
		t.Errorf("it was used: %s", list)
	}
	s.must("mytoken", "settings", "grants", "ssh", "delete", "--url", s.url, "--MT-env", "TEST_MT", s.path("id.pub"))
	if o := s.run("mytoken", "--ssh", sshHost, "AT"); o.code != 4 && o.code != 6 || o.out != "" {
		t.Errorf("a key that was taken away: %+v", o)
	}
	user := ""
	for _, line := range strings.Split(s.await(s.path("home/.ssh/config")), "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "User "); ok {
			user = name
		}
	}
	if log := s.await(s.path("server.log")); user == "" || strings.Contains(log, user) || strings.Contains(log, mt) {
		t.Error("the user name or the mytoken is in the log")
	}
}

// overSSH uses what ssh has beside tokens.
func (s *mytokenSite) overSSH(t *testing.T) {
	s.must("mytoken", "--ssh", sshHost, "settings", "tags", "create", "jobs")
	s.must("mytoken", "--ssh", sshHost, "MT", "tags", "add", "jobs")
	if list := s.must("mytoken", "--ssh", sshHost, "settings", "tags", "list"); !strings.Contains(list, "jobs") {
		t.Errorf("tags: %s", list)
	}
	if feed := s.must("mytoken", "--ssh", sshHost, "calendars", "create", "work"); !strings.HasPrefix(feed, s.url+"/calendars/") {
		t.Errorf("calendar: %s", feed)
	}
	if list := s.must("mytoken", "--ssh", sshHost, "calendars", "list"); !strings.Contains(list, "work") {
		t.Errorf("calendars: %s", list)
	}
	s.must("mytoken", "--ssh", sshHost, "calendars", "delete", "--force", "work")
	s.must("mytoken", "--ssh", sshHost, "notifications", "list")
	s.must("mytoken", "--ssh", sshHost, "settings", "email", "get")
	if o := s.run("mytoken", "--ssh", sshHost, "settings", "grants", "list"); o.code == 0 || !strings.Contains(o.errOut, "does not offer") {
		t.Errorf("what ssh does not have: %+v", o)
	}
}

// hostKey compares the key that ssh saw with the one that the server describes.
func (s *mytokenSite) hostKey(t *testing.T) {
	_, body := s.get(t, "/.well-known/mytoken-configuration")
	var d struct {
		Keys []struct{ Type, Fingerprint string } `json:"ssh_keys"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || len(d.Keys) != 1 {
		t.Fatalf("%v %s", err, body)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", s.path("known")).Output()
	if err != nil || !strings.Contains(string(out), d.Keys[0].Fingerprint) {
		t.Errorf("%v %s, not %s", err, out, d.Keys[0].Fingerprint)
	}
}

// killed is how ssh fares while the server is down, and after that.
func (s *mytokenSite) killed(t *testing.T) {
	if err := s.server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.server.Wait()
	if o := s.run("mytoken", "--ssh", sshHost, "AT"); o.code != 5 {
		t.Errorf("no server: %+v", o)
	}
	s.serve(t)
	s.must("mytoken", "--ssh", sshHost, "AT")
}

func TestMytokenSetupSSH(t *testing.T) {
	services.Need(t, "ssh-keygen")
	h := bareHouse(t)
	h.must("mytoken-server", "setup", "--yes", "--guests", "--config", "server.yaml", "--state-dir", "server", "--issuer",
		"https://mytoken.example.org", "--operator", "us", "--contact", "us@example.org", "--ssh", "127.0.0.1:2222")
	h.must("mytoken-server", "check", "--config", "server.yaml", "--offline")
	out, err := exec.Command("ssh-keygen", "-l", "-f", h.path("server/ssh_host_ed25519_key")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ED25519") {
		t.Errorf("%v %s", err, out)
	}
	if conf := h.await(h.path("server.yaml")); !strings.Contains(conf, "host: mytoken.example.org") {
		t.Errorf("%s", conf)
	}
}

// TestMytokenSSHGuide: the blocks of the administrator's page, as they stand there.
func TestMytokenSSHGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/admin/mytoken-ssh.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) string {
		_, rest, ok := strings.Cut(string(page), "```"+kind+"\n")
		text, _, end := strings.Cut(rest, "```")
		if !ok || !end {
			t.Fatalf("the page has no block of %s", kind)
		}
		return text
	}
	h := bareHouse(t)
	h.must("mytoken-server", "setup", "--yes", "--guests", "--config", "server.yaml", "--state-dir", "server", "--issuer",
		"https://mytoken.example.org", "--operator", "us", "--contact", "us@example.org")
	conf := h.await(h.path("server.yaml"))
	h.write("server.yaml", conf+block("yaml"))
	if o := h.run("mytoken-server", "check", "--config", "server.yaml", "--offline"); o.code == 0 {
		t.Errorf("check without the host key: %+v", o)
	}
	for _, line := range strings.Split(strings.TrimSpace(block("sh")), "\n") {
		words := strings.Fields(line)
		h.must(append(words[1:], "--config", "server.yaml")...)
	}
	if _, err := os.Stat(h.path("ssh_host_ed25519_key")); err != nil {
		t.Error(err)
	}
}
