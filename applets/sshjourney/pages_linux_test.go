package sshjourney

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/testdata/browser"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestLoginWithoutClient: Chromium, and the stock client of ssh with what stands on the page; nothing else of ours on the
// side of the person.
func TestLoginWithoutClient(t *testing.T) {
	s := newSite(t, siteOptions{issuer: func(o *issuer.Options) { o.TestControls = true }})
	tab := browser.Start(t).Open(t, browser.Look{NoScript: true, Width: 400, Height: 800})
	before := s.accounts()
	tab.Goto(s.url + "/login")
	tab.Click("button:has-text('Example AAI')")
	tab.Want("You have no account on 127.0.0.1 yet", "Alice Tester")
	if s.accounts() != before {
		t.Fatal("an account was made without being asked for")
	}
	tab.Click("button:has-text('Make my account')")
	tab.Want("User was created", "alice")
	tab.Click("button:has-text('Get a password')")
	tab.Want("ssh alice@127.0.0.1")
	var password string
	tab.Eval("document.getElementById('password').textContent", &password)

	s.op.Stop() // no connection of ssh asks a provider
	from := s.mark()
	if who := s.ssh("alice", password); who != "alice" {
		t.Fatalf("arrived as %q", who)
	}
	s.awaitLogs(t, from, `accepted "alice"`)
	s.refuse(t, refusal{"replayed", out(is("alice"), is(password)), `refused "alice"`})
	s.op.Restart(true)
	tab.Quiet()

	t.Run("suspended", func(t *testing.T) {
		s.officer(t, "suspend", "alice")
		tab.Goto(s.url + "/login/account")
		tab.Want("Your account on 127.0.0.1 is stopped")
		s.officer(t, "resume", "alice")
		tab.Goto(s.url + "/login/account")
		tab.Want("Get a password")
	})
	t.Run("audit", func(t *testing.T) {
		log := s.Read(auditLog)
		for _, want := range []string{`"event":"web_login"`, `"event":"otp"`, `"event":"deploy"`, s.id("alice")} {
			if !strings.Contains(log, want) {
				t.Errorf("no %s in\n%s", want, log)
			}
		}
		if strings.Contains(log+s.Log(), password) {
			t.Error("the password stands in a log")
		}
	})
}

var (
	mailLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/login/decide/[\w-]+`)
	soft     = strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=")
)

// TestApprovalByMail: somebody asks, an administrator opens the link of the mail that a real mail server has, presses the
// button, and the person logs in.
func TestApprovalByMail(t *testing.T) {
	smtp := services.SMTP(t)
	s := newSite(t, siteOptions{provisioner: with(
		`assurance: "*"`, `assurance: "*", approval: true`,
		"groups: {", fmt.Sprintf(`approval: {admins: [boss@example.org]}
mail: {host: 127.0.0.1, port: %d, security: none, from: ssh@example.org}
groups: {`, smtp.PlainPort))})
	if a := s.get("/user/deploy", s.at("alice")); a.member("state") != "pending" {
		t.Fatal(a)
	}
	// find waits for some mails and returns the one to somebody that has a text; they come in no order.
	find := func(t *testing.T, count int, to, text string) string {
		t.Helper()
		for _, m := range smtp.WaitMails(count) {
			if m := soft.Replace(string(m)); strings.Contains(m, "Envelope-to: "+to) && strings.Contains(m, text) {
				return m
			}
		}
		t.Fatalf("no mail to %s has %q", to, text)
		return ""
	}
	link := mailLink.FindString(find(t, 2, "boss@example.org", "/login/decide/"))
	if !strings.HasPrefix(link, s.url) {
		t.Fatalf("the mail has the link %q", link)
	}
	for range 2 { // as programs do that look into mails
		if a := s.ask("GET", strings.TrimPrefix(link, s.url), ""); a.status != 200 {
			t.Fatal(a)
		}
	}
	if s.UID("alice") != -1 {
		t.Fatal("looking at the link made an account")
	}
	tab := browser.Start(t).Open(t, browser.Look{NoScript: true})
	tab.Goto(link)
	tab.Want("Somebody asks for an account", "alice")
	tab.Click("button[value=accept]")
	tab.Want("The request is accepted")
	if s.UID("alice") < s.FirstUID {
		t.Errorf("alice has uid %d", s.UID("alice"))
	}
	if who := s.ssh("alice", s.password("alice")); who != "alice" {
		t.Errorf("arrived as %q", who)
	}
	find(t, 3, "alice@example.org", "ssh alice@127.0.0.1")
	tab.Goto(link)
	tab.Want("This link is over")
	t.Run("kept_over_a_restart", func(t *testing.T) {
		s.get("/user/deploy", s.at("bob"))
		link := mailLink.FindString(find(t, 5, "boss@example.org", "make the account bob"))
		s.kill(s.serve)
		s.startFront()
		tab.Goto(link)
		tab.Click("button[value=reject]")
		tab.Want("The request is rejected")
		if s.UID("bob") != -1 {
			t.Error("there is an account for who was rejected")
		}
		smtp.WaitMails(6)
	})
}
