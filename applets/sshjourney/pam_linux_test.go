package sshjourney

import (
	"context"
	"strings"
	"sync"
	"testing"

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
	stackTokenOrPassword = `auth sufficient pam_exec.so expose_authtok quiet %HELPER%
auth [success=1 default=ignore] pam_unix.so try_first_pass
auth requisite pam_deny.so
auth required pam_permit.so
` + accountLines
)

func stack(text string, options ...string) string {
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

// standIn serves a provisioner at the login socket of the host until the test ends.
func (j *journey) standIn(answer func(login.Question) login.Answer) *provisioner {
	j.t.Helper()
	p := &provisioner{answer: answer}
	ln, err := sock.Listen(j.File("/run/oidcbox/login.sock"), sock.ListenOptions{})
	if err != nil {
		j.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- login.Serve(ctx, ln, p.handle, login.ServeOptions{}) }()
	j.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			j.t.Error(err)
		}
	})
	return p
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

func TestHelperThroughSSHD(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	p := j.standIn(accepted(id))
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
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
	t.Run("no_is_a_no", func(t *testing.T) {
		p.answers(func(login.Question) login.Answer {
			return login.Answer{Reason: "password is used up", State: "deployed"}
		})
		from := len(j.Log())
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{password}}); who != "" {
			t.Errorf("arrived as %q", who)
		}
		j.AwaitLog(from, "the provisioner says no: password is used up")
	})
}
