package sshjourney

import (
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestKeyAndToken: sshd wants a key first, then what PAM wants.
func TestKeyAndToken(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	key, public := services.SSHKey(t)
	j.Write("/home/ada/.ssh/authorized_keys", public+"\n", 0o644)
	p, _ := j.standIn(accepted(id))
	s := j.StartSSHD(services.SSHDOptions{
		PAM: stack(stackTokenOnly), Config: "AuthenticationMethods publickey,keyboard-interactive",
	})
	password := string(form.New())
	const both = "publickey,keyboard-interactive"
	t.Run("both_open", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "ada", Key: key, Methods: both, Answers: []string{password}}); who != "ada" {
			t.Errorf("arrived as %q", who)
		}
	})
	p.questions()
	t.Run("token_alone_does_not", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{password}}); who != "" {
			t.Errorf("arrived as %q", who)
		}
		if asked := p.questions(); len(asked) > 0 {
			t.Errorf("a token was taken before the key: %+v", asked)
		}
	})
	t.Run("key_alone_does_not", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "ada", Key: key, Methods: both}); who != "" {
			t.Errorf("arrived as %q", who)
		}
	})
	t.Run("key_and_wrong_token_do_not", func(t *testing.T) {
		p.answers(func(login.Question) login.Answer { return login.Answer{Reason: "no such password"} })
		j.refuse(t, s, services.SSHLogin{User: "ada", Key: key, Methods: both, Answers: []string{password}}, "no such password")
	})
}

// TestTokenAndOATH: a one-time password of ours, and the code of an authenticator app behind it.
func TestTokenAndOATH(t *testing.T) {
	services.Need(t, "oathtool")
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	seed := hex.EncodeToString([]byte("twenty bytes of seed"))
	j.Write("/etc/users.oath", "HOTP ada - "+seed+"\n", 0o600)
	p, _ := j.standIn(accepted(id))
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenAndOATH)})
	code := func(n string) string {
		t.Helper()
		out, err := exec.Command("oathtool", "--counter", n, seed).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	password := string(form.New())
	t.Run("both_open", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{password, code("0")}}); who != "ada" {
			t.Errorf("arrived as %q; log:\n%s", who, j.Log())
		}
	})
	for _, tc := range []struct {
		name    string
		answers []string
	}{
		{"used_code", []string{password, code("0")}},
		{"wrong_code", []string{password, "000000"}},
		{"no_code", []string{password}},
		{"code_alone", []string{code("1")}},
	} {
		t.Run(tc.name+"_does_not", func(t *testing.T) {
			if who := j.login(s, services.SSHLogin{User: "ada", Answers: tc.answers}); who != "" {
				t.Errorf("arrived as %q", who)
			}
		})
	}
	t.Run("code_behind_a_wrong_token_does_not", func(t *testing.T) {
		p.answers(func(login.Question) login.Answer { return login.Answer{Reason: "no such password"} })
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{password, code("2")}}, "no such password")
	})
}

// TestPasswordFirst: the system's password stands in front of the helper, so that it is never asked about those.
func TestPasswordFirst(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	j.AddUser("bob", "bob has 1 pw")
	p, _ := j.standIn(func(q login.Question) login.Answer {
		return login.Answer{Allowed: q.User == "ada", State: "deployed", ID: map[string]string{"ada": id}[q.User]}
	})
	for name, text := range map[string]string{"password_first": stackPasswordFirst, "token_first": stackTokenOrPassword} {
		t.Run(name, func(t *testing.T) {
			s := j.StartSSHD(services.SSHDOptions{PAM: stack(text)})
			if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{string(form.New())}}); who != "ada" {
				t.Errorf("arrived as %q", who)
			}
			p.questions()
			if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"bob has 1 pw"}}); who != "bob" {
				t.Errorf("arrived as %q", who)
			}
			if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"wrong"}}); who != "" {
				t.Errorf("arrived as %q", who)
			}
			for _, q := range p.questions() {
				if q.Phase != login.Account {
					t.Errorf("a local user's password went to the provisioner: %+v", q)
				}
			}
		})
	}
}
