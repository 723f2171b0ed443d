package sshjourney

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// stopTime is how long a session may go on after somebody was stopped.
const stopTime = 2 * time.Second

// session logs in and leaves two processes running, one of which has left the session and wants to survive it.
func (s *site) session(t *testing.T, name, password string) *exec.Cmd {
	t.Helper()
	cmd := s.sshd.Client(services.SSHLogin{User: name, Answers: []string{password}, Command: []string{
		`trap '' HUP TERM INT; setsid sleep 600 & echo in; sleep 600`,
	}})
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "in\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

// processes are those that run as a user of the host, without those that have ended and that nobody has asked after.
func (s *site) processes(name string) (running []string) {
	all := s.run(s.Command("ps", "-o", "stat=,pid=,args=", "-u", fmt.Sprint(s.UID(name)))).out
	for line := range strings.Lines(all) {
		if !strings.HasPrefix(line, "Z") {
			running = append(running, strings.TrimSpace(line))
		}
	}
	return running
}

// TestOfficer: somebody is stopped while working, and let in again.
func TestOfficer(t *testing.T) {
	s := newSite(t, siteOptions{})
	alice, bob := s.deploy("alice"), s.deploy("bob")
	key := services.SSHLogin{User: alice, Key: s.key(t, alice), Methods: "publickey"}
	if who := s.login(s.sshd, key); who != alice {
		t.Fatalf("by key: %q", who)
	}
	spare, bystander := s.password("alice"), s.session(t, bob, s.password("bob"))
	working := s.session(t, alice, s.password("alice"))
	ended := make(chan error, 1)
	go func() { ended <- working.Wait() }()
	if len(s.processes(alice)) < 3 {
		t.Fatal("nothing runs")
	}

	begun := time.Now()
	s.officer(t, "suspend", alice, "--reason", "incident 42")
	took := time.Since(begun)
	if left := s.processes(alice); len(left) > 0 {
		t.Errorf("processes %q run on", left)
	}
	if took > stopTime {
		t.Errorf("it took %v", took)
	}
	t.Logf("stopped in %v, with the start of the command", took)
	if err := <-ended; err == nil {
		t.Error("the client noticed nothing")
	}
	if len(s.processes(bob)) < 3 || bystander.ProcessState != nil {
		t.Error("somebody else was stopped, too")
	}
	s.stopped(t, key, spare)

	s.officer(t, "resume", alice)
	if who := s.ssh(alice, s.password("alice")); who != alice {
		t.Errorf("after resuming by password: %q", who)
	}
	if who := s.login(s.sshd, key); who != alice {
		t.Errorf("after resuming by key: %q", who)
	}
}

// stopped asserts that alice gets in by nothing, and that the log says who stopped her.
func (s *site) stopped(t *testing.T, key services.SSHLogin, spare string) {
	t.Helper()
	if who := s.ssh(key.User, spare); who != "" {
		t.Errorf("let in by a password from before as %q", who)
	}
	if who := s.login(s.sshd, key); who != "" {
		t.Errorf("let in by key as %q", who)
	}
	token := s.at("alice")
	if a := s.get("/verify_user?username="+key.User, token); a.body != `{"state":"suspended","verified":false}` {
		t.Errorf("verify_user: %s", a)
	}
	if a := s.get("/user/deploy", token); a.member("state") != "deployed" {
		t.Errorf("deploy: %s", a)
	}
	if a := s.get("/user/get_status", token); a.member("state") != "suspended" {
		t.Errorf("get_status: %s", a)
	}
	if who := s.login(s.sshd, key); who != "" {
		t.Errorf("let in by key after a deployment as %q", who)
	}
	s.awaitLogs(t, logMark{}, `"event":"suspend","id":"`+s.id("alice")+`","name":"`+key.User+`"`)
	if log := s.Read(auditLog); !strings.Contains(log, "incident 42") {
		t.Errorf("the audit log does not say why:\n%s", log)
	}
}

// TestLostLedger: a ledger that is gone is made anew, and everybody is the same local user as before.
func TestLostLedger(t *testing.T) {
	s := newSite(t, siteOptions{})
	users := []string{"alice", "bob", "carol"}
	before := map[string]string{}
	for _, u := range users {
		name := s.deploy(u)
		before[u] = fmt.Sprint(name, " ", s.UID(name))
	}
	s.officer(t, "suspend", strings.Fields(before["carol"])[0])
	passwd := s.Read("/etc/passwd")

	s.kill(s.serve)
	s.Run("find", "/var/lib/oidcbox/provisioner", "-mindepth", "1", "-delete")
	if r := s.run(s.as(serveUser, "provisioner", "setup", "--state-only")); r.code != 0 {
		t.Fatal(r)
	}
	s.startFront()
	if a := s.get("/user/deploy", s.at("alice")); a.status != 401 ||
		!strings.Contains(a.body, "Reached state 'rejected'") {
		t.Errorf("without a ledger: %s", a)
	}
	name := strings.Fields(before["alice"])[0]
	if a := s.get("/verify_user?username="+name, s.at("alice")); !strings.Contains(a.body, `"verified":false`) {
		t.Errorf("without a ledger: %s", a)
	}
	s.officer(t, "rebuild")
	for _, u := range users[:2] {
		name := s.deploy(u)
		if after := fmt.Sprint(name, " ", s.UID(name)); after != before[u] {
			t.Errorf("%s was %s and is %s", u, before[u], after)
		}
		if who := s.ssh(name, s.password(u)); who != name {
			t.Errorf("%s arrives as %q", u, who)
		}
	}
	if a := s.get("/user/get_status", s.at("carol")); a.member("state") != "suspended" {
		t.Errorf("the suspension was forgotten: %s", a)
	}
	if now := s.Read("/etc/passwd"); now != passwd {
		t.Errorf("passwd was\n%s\nis\n%s", passwd, now)
	}
}

// TestOldAccounts: those that motley-cue made go on as the same local users, and one that is somebody's of this host
// does not become anybody else's.
func TestOldAccounts(t *testing.T) {
	s := newSite(t, siteOptions{})
	s.kill(s.worker)
	s.Run("groupadd", "-g", fmt.Sprint(s.FirstUID+20), "oldgroup")
	for i, args := range [][]string{
		{"-c", s.id("alice"), "fdl_alice"}, {"-c", "Robert,Room 5", "bob"}, {"-c", s.id("bob") + "x%", "bob2"},
	} {
		s.Run("useradd", append([]string{"-m", "-s", "/bin/sh", "-g", "oldgroup", "-u", fmt.Sprint(s.FirstUID + 21 + i)},
			args...)...)
	}
	if o := s.run(s.oidcbox("provisioner", "adopt", "--config", workFile)); o.code != 0 ||
		!strings.Contains(o.errOut, "1 taken over") {
		t.Fatal(o)
	}
	s.startWork()
	if a := s.get("/user/deploy", s.at("alice")); a.status != 401 {
		t.Errorf("without a ledger: %s", a)
	}
	if out := s.officer(t, "rebuild"); !strings.Contains(out, "fdl_alice") || strings.Contains(out, "bob") {
		t.Errorf("rebuilt:\n%s", out)
	}
	if name := s.deploy("alice"); name != "fdl_alice" || s.UID(name) != s.FirstUID+21 {
		t.Errorf("alice is %s", name)
	}
	if who := s.ssh("fdl_alice", s.password("alice")); who != "fdl_alice" {
		t.Errorf("alice arrives as %q", who)
	}
	if name := s.deploy("bob"); name == "bob" || name == "bob2" {
		t.Errorf("bob of the issuer became %s of this host", name)
	}
}

// TestSuspendBehindPAM: PAM has let somebody in, and sshd is still busy with the session modules when the account is
// stopped: nothing of that login is left.
func TestSuspendBehindPAM(t *testing.T) {
	const opening = "/run/opening"
	stack := stackTokenOnly + "session required pam_exec.so quiet /usr/bin/touch " + opening + "\n" +
		"session required pam_exec.so quiet /bin/sleep 4\n"
	s := newSite(t, siteOptions{pam: stack})
	alice := s.deploy("alice")
	cmd := s.sshd.Client(services.SSHLogin{
		User: alice, Key: s.key(t, alice), Methods: "publickey", Command: []string{"echo in; exec sleep 600"},
	})
	var said strings.Builder
	cmd.Stdout = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(20 * time.Second); s.run(s.Command("test", "-e", opening)).code != 0; {
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			t.Fatal("the session never begins", <-ended)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.officer(t, "suspend", alice)
	select {
	case err := <-ended:
		if err == nil || said.String() != "" {
			t.Errorf("let in: %v, %q", err, said.String())
		}
	case <-time.After(15 * time.Second):
		t.Errorf("the login goes on after the suspension: %q", s.processes(alice))
		_ = cmd.Process.Kill()
		<-ended
	}
}
