package sshjourney

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// Stacks of PAM as docs/admin has them. %HELPER% is the helper with its options.
const (
	accountLines = `account required pam_exec.so quiet %HELPER%
account required pam_unix.so
session required pam_permit.so
`
	stackTokenOnly = `auth [success=done ignore=ignore default=die] pam_exec.so expose_authtok quiet %HELPER%
auth required pam_permit.so
` + accountLines
	stackTokenAndOATH = `auth [success=ok ignore=ignore default=die] pam_exec.so expose_authtok quiet %HELPER%
auth required pam_oath.so usersfile=/etc/users.oath window=20
auth required pam_permit.so
` + accountLines
	stackPasswordFirst = `auth [success=2 default=ignore] pam_unix.so
auth [success=1 default=ignore] pam_exec.so expose_authtok quiet %HELPER%
auth requisite pam_deny.so
auth required pam_permit.so
` + accountLines
	stackTokenOrPassword = `auth sufficient pam_exec.so expose_authtok quiet %HELPER%
auth [success=1 default=ignore] pam_unix.so try_first_pass
auth requisite pam_deny.so
auth required pam_permit.so
` + accountLines
)

// stack is a stack with the helper in it. pam_unix does not wait after a wrong password, for the sake of the tests.
func stack(text string, options ...string) string {
	text = strings.ReplaceAll(text, "] pam_unix.so", "] pam_unix.so nodelay")
	return strings.ReplaceAll(text, "%HELPER%", strings.Join(append([]string{pamHelper}, options...), " "))
}

// provisioner stands in for the real one at the login socket.
type provisioner struct {
	mu     sync.Mutex
	asked  []login.Question
	answer func(login.Question) login.Answer
}

func (p *provisioner) handle(_ context.Context, _ sock.Peer, q login.Question) login.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.Secret = q.Secret.Clone()
	p.asked = append(p.asked, q)
	return p.answer(q)
}

// questions returns what was asked since the last call.
func (p *provisioner) questions() []login.Question {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.asked
	p.asked = nil
	return all
}

func (p *provisioner) answers(f func(login.Question) login.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// standIn serves a provisioner at the login socket of the host until the test ends, or until stop.
func (j *journey) standIn(answer func(login.Question) login.Answer) (p *provisioner, stop func()) {
	j.t.Helper()
	p = &provisioner{answer: answer}
	ln, err := sock.Listen(j.File("/run/oidcbox/login.sock"), sock.ListenOptions{})
	if err != nil {
		j.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- login.Serve(ctx, ln, p.handle, login.ServeOptions{}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			j.t.Error(err)
		}
	})
	j.t.Cleanup(stop)
	return p, stop
}

func identity(t testing.TB, sub string) string {
	t.Helper()
	id, err := names.Encode(sub, "https://issuer.example.org")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// accepted is a yes for an identity.
func accepted(id string) func(login.Question) login.Answer {
	return func(login.Question) login.Answer { return login.Answer{Allowed: true, State: "deployed", ID: id} }
}

// refuse logs in, expects nobody to arrive, and returns what the host logged until it says why.
func (j *journey) refuse(t *testing.T, s *services.SSHD, l services.SSHLogin, why string) string {
	t.Helper()
	from := len(j.Log())
	if who := j.login(s, l); who != "" {
		t.Errorf("arrived as %q", who)
	}
	return j.AwaitLog(from, why)
}

func TestHelperThroughSSHD(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	p, _ := j.standIn(accepted(id))
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly), Config: "PermitRootLogin yes"})
	password := string(form.New())

	t.Run("one_time_password_logs_in", func(t *testing.T) {
		from := len(j.Log())
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{password}}); who != "ada" {
			t.Fatalf("arrived as %q; log:\n%s", who, j.Log()[from:])
		}
		asked := p.questions()
		if len(asked) < 2 || asked[0].Phase != login.Auth || asked[0].Secret.Expose() != password || asked[0].User != "ada" ||
			asked[0].Remote != "127.0.0.1" || asked[0].Via != "sshd" || asked[1].Phase != login.Account {
			t.Errorf("asked %+v", asked)
		}
		j.AwaitLog(from, `accepted "ada" from 127.0.0.1 (sshd, auth): `+id+", one-time password")
		if strings.Contains(j.Log()+s.Log(), password) {
			t.Error("the secret is in a log")
		}
	})
	t.Run("password_method_reaches_it_too", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{password}, Methods: "password"}); who != "ada" {
			t.Errorf("arrived as %q", who)
		}
		p.questions()
	})
	t.Run("no_is_a_no", func(t *testing.T) {
		p.answers(func(login.Question) login.Answer {
			return login.Answer{Reason: "password is used up", State: "deployed"}
		})
		defer p.answers(accepted(id))
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{password}}, "the provisioner says no: password is used up")
		p.questions()
	})
	t.Run("yes_for_somebody_else_is_a_no", func(t *testing.T) {
		p.answers(accepted(identity(t, "mallory")))
		defer p.answers(accepted(id))
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{password}}, "the identities of the account do not agree")
		p.questions()
	})
	for _, tc := range []struct{ name, user, secret, why string }{
		{"unknown_user", "nobody-here", password, "sshd knows no such user, or lets it not in"},
		{"root", "root", password, "not a federated account: name is reserved: root"},
		{"cut_token", "ada", "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("A", 600) + ".c2ln", "cut off: pam_exec hands over at most 511 bytes"},
		{"local_password", "ada", "correct horse battery", "no one-time password and no token"},
	} {
		t.Run(tc.name+"_is_refused_and_nobody_asked", func(t *testing.T) {
			j.refuse(t, s, services.SSHLogin{User: tc.user, Answers: []string{tc.secret}}, tc.why)
			if asked := p.questions(); len(asked) > 0 {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

func TestLocalUsersBesideTheHelper(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	key, public := services.SSHKey(t)
	for name, comment := range map[string]string{"ada": id, "bob": "Bob Local"} {
		j.AddUser(name, name+" has 1 pw", "--comment", comment)
		j.Write("/home/"+name+"/.ssh/authorized_keys", public+"\n", 0o644)
	}
	j.Run("useradd", "--system", "-m", "-s", "/bin/sh", "--comment", identity(t, "low"), "lowuid")
	p, stop := j.standIn(func(q login.Question) login.Answer {
		return login.Answer{State: "not_deployed", Reason: "nobody has that name", Allowed: false}
	})
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOrPassword)})
	password := string(form.New())

	t.Run("password_opens_a_local_account_and_stays_here", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"bob has 1 pw"}}); who != "bob" {
			t.Errorf("arrived as %q", who)
		}
		for _, q := range p.questions() {
			if q.Phase != login.Account {
				t.Errorf("asked %+v", q)
			}
		}
	})
	p.answers(accepted(id)) // says yes to everybody
	t.Run("one_time_password_does_not_open_a_local_account", func(t *testing.T) {
		j.refuse(t, s, services.SSHLogin{User: "bob", Answers: []string{password}}, "not a federated account: shows no identity")
	})
	t.Run("nor_one_below_the_floor", func(t *testing.T) {
		j.refuse(t, s, services.SSHLogin{User: "lowuid", Answers: []string{password}}, "outside of the range for federated accounts")
	})
	t.Run("suspended_user_with_key_stays_out", func(t *testing.T) {
		p.answers(func(login.Question) login.Answer {
			return login.Answer{State: "suspended", ID: id, Reason: "account is suspended"}
		})
		j.refuse(t, s, services.SSHLogin{User: "ada", Key: key, Methods: "publickey"}, "account is suspended (state suspended)")
		p.answers(accepted(id))
		if who := j.login(s, services.SSHLogin{User: "ada", Key: key, Methods: "publickey"}); who != "ada" {
			t.Errorf("resumed, and arrived as %q", who)
		}
	})
	t.Run("slow_provisioner_costs_three_seconds", func(t *testing.T) {
		release := make(chan struct{})
		p.answers(func(login.Question) login.Answer {
			<-release
			return login.Answer{Allowed: true, State: "deployed", ID: id}
		})
		begin := time.Now()
		j.refuse(t, s, services.SSHLogin{User: "ada", Key: key, Methods: "publickey"}, "no answer in time")
		if took := time.Since(begin); took < 3*time.Second || took > 30*time.Second { // sshd would wait for a minute
			t.Errorf("it took %v", took)
		}
		close(release)
	})
	t.Run("provisioner_down_keeps_out_federated_users_alone", func(t *testing.T) {
		stop()
		j.refuse(t, s, services.SSHLogin{User: "ada", Key: key, Methods: "publickey"}, "nobody answers questions about logins")
		if who := j.login(s, services.SSHLogin{User: "bob", Key: key, Methods: "publickey"}); who != "bob" {
			t.Errorf("bob arrived as %q", who)
		}
	})
}
