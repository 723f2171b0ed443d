package sshjourney

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestModuleAtSite: an access token is pasted at the prompt of the module, and the real provisioner judges it, by its
// socket and by https as from another host.
func TestModuleAtSite(t *testing.T) {
	certs := services.Certificates(t)
	tlsPort := freePort(t)
	s := newSite(t, siteOptions{pam: stackModule, provisioner: func(text string) string {
		line, _, _ := strings.Cut(text[strings.Index(text, "listen: "):], "\n")
		plain := strings.TrimPrefix(line, "listen: ")
		return strings.Replace(text, line, "listen:\n  - {tcp: \""+plain+"\"}\n  - {tcp: \"127.0.0.1:"+tlsPort+
			"\", tls: {cert_file: /var/lib/oidcbox/tls.pem, key_file: /var/lib/oidcbox/tls.key}}", 1)
	}, before: func(j *journey) {
		j.installModule()
		for from, to := range map[string]string{
			"server.pem": "/var/lib/oidcbox/tls.pem", "server.key": "/var/lib/oidcbox/tls.key", "ca.pem": "/etc/oidcbox/ca.pem",
		} {
			b, err := os.ReadFile(filepath.Join(certs, from))
			if err != nil {
				t.Fatal(err)
			}
			j.Write(to, string(b), 0o600)
			j.Run("chown", serveUser, to)
		}
		j.Run("chown", "root", "/etc/oidcbox/ca.pem")
	}})
	name := s.deploy("alice")
	paste := func() string { return s.ssh(name, fits(t, s.token("alice"))) }
	ways := map[string][]string{
		"socket": {"verify_endpoint = unix:/run/oidcbox/login.sock"},
		"https":  {"verify_endpoint = https://localhost:" + tlsPort + "/verify_user", "ca_file = /etc/oidcbox/ca.pem"},
	}
	// The account phase needs the socket, so the module has it there whatever the way of the token.
	s.Write(pamFile, strings.ReplaceAll(stackModule, "account required pam_oidcbox.so config="+iniFile, "account required pam_oidcbox.so"), 0o644)
	for way, lines := range ways {
		t.Run(way, func(t *testing.T) {
			s.ini(append(lines, "local = false")...)
			from := s.mark()
			if who := paste(); who != name {
				t.Fatalf("arrived as %q:\n%s", who, s.since(from))
			}
			t.Run("token_of_somebody_else_is_refused", func(t *testing.T) {
				from := s.mark()
				if who := s.login(s.sshd, services.SSHLogin{User: name, Answers: []string{s.token("bob"), "x"}}); who != "" {
					t.Errorf("arrived as %q", who)
				}
				s.awaitLogs(t, from, `refused "`+name+`"`)
			})
			t.Run("suspended_is_refused", func(t *testing.T) {
				if o := s.admin("suspend", name); o.code != 0 {
					t.Fatal(o)
				}
				from := s.mark()
				if who := paste(); who != "" {
					t.Errorf("arrived as %q", who)
				}
				s.awaitLogs(t, from, `refused "`+name+`"`)
				if o := s.admin("resume", name); o.code != 0 {
					t.Fatal(o)
				}
			})
		})
	}
}

// TestPAMCheckAtSite: what check says of a host where all is well, and of the account of a user.
func TestPAMCheckAtSite(t *testing.T) {
	s := newSite(t, siteOptions{})
	name := s.deploy("alice")
	o := s.run(s.oidcbox("pam", "check", "--user", name))
	for _, want := range []string{
		"a good one-time password gets through", "a wrong secret does not get through", "credentials can be set",
		"keeps suspended users out", "marked accounts in", name + " (uid ", "an invented one-time password was refused",
		name + " may log in",
	} {
		if !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if o.code != 0 || t.Failed() {
		t.Error(o)
	}
	if o := s.admin("suspend", name); o.code != 0 {
		t.Fatal(o)
	}
	if o := s.run(s.oidcbox("pam", "check", "--user", name)); o.code != 1 || !strings.Contains(o.out, name+" may not log in") {
		t.Error(o)
	}
}
