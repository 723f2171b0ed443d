//go:build unix

package applets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	chromium "github.com/oidcbox/oidcbox/testdata/browser"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestMytokenServerPages goes through the pages of a real server in a real browser, with the issuer as provider and the
// client as a process.
func TestMytokenServerPages(t *testing.T) {
	br := chromium.Start(t)
	s := newMytokenSite(t, "")
	t.Run("consent", func(t *testing.T) { s.pageConsent(t, br.Open(t, chromium.Look{})) })
	t.Run("consent_without_script", func(t *testing.T) {
		s.pageConsent(t, br.Open(t, chromium.Look{NoScript: true, Width: 390, Height: 800}))
	})
	t.Run("decline", func(t *testing.T) { s.pageDecline(t, br.Open(t, chromium.Look{NoScript: true})) })
	t.Run("swapped_login", func(t *testing.T) { s.pageSwapped(t, br.Open(t, chromium.Look{})) })
	t.Run("own_page", func(t *testing.T) { s.pageHome(t, br.Open(t, chromium.Look{NoScript: true})) })
}

// TestMytokenServerOP is the way of a person through a provider of another make, with a form for the password and one
// for the consent there.
func TestMytokenServerOP(t *testing.T) {
	br := chromium.Start(t)
	op := services.OP(t, "OP_MODE=forms")
	s := &mytokenSite{house: bareHouse(t)}
	address := freeAddress(t)
	s.url, s.issuer = "http://"+address, op.Issuer
	s.write("op-secret", "web-secret\n")
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", s.issuer, "--client-id", "web", "--client-secret-file", "op-secret")
	s.appendTo("server.yaml", "limits: {polling_interval: 1s}\n")
	s.serve(t)
	for name, look := range map[string]chromium.Look{"with_script": {}, "without_script": {NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			tab := br.Open(t, look)
			a := s.ask(t, "--capability", "AT", "--exp", "+1d", "-s", "openid", "-s", "compute.read")
			tab.Goto(a.link)
			tab.Click("button[value=accept]")
			atOP(tab)
			tab.Want("gets the mytoken now")
			mt, err := a.wait()
			if err != nil {
				t.Fatalf("the client says %q, %v\n%s", mt, err, a.said.String())
			}
			if o := s.client(mt, "AT", "-s", "compute.read"); o.code != 0 || strings.Count(o.out, ".") != 2 {
				t.Errorf("AT: %+v", o)
			}
			tab.Goto(s.url + "/home")
			tab.Click(".providers button")
			atOP(tab)
			tab.Want("Your mytokens", "this session")
		})
	}
}

// TestMytokenServerSettings sets what a person can set: an ssh key that then gets tokens, mail, a calendar.
func TestMytokenServerSettings(t *testing.T) {
	services.Need(t, "ssh", "ssh-keygen")
	br := chromium.Start(t)
	port := freeAddress(t)
	host := bareHouse(t)
	for _, name := range []string{"host_key", "user_key"} {
		if o := host.exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host.path(name)); o.code != 0 {
			t.Fatalf("ssh-keygen: %+v", o)
		}
	}
	_, number, _ := strings.Cut(port, ":")
	s := newMytokenSite(t, fmt.Sprintf("ssh: {listen: %q, host: 127.0.0.1, port: %s, host_key_files: [%s]}\n",
		port, number, host.path("host_key")))
	public, err := os.ReadFile(host.path("user_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	tab := br.Open(t, chromium.Look{NoScript: true})
	tab.Goto(s.url + "/settings")
	tab.Click(".providers button")
	tab.Want("Settings", "Your ssh keys cannot be used at present")
	tab.Click("button:has-text('Switch ssh on')")
	tab.Fill("#ssh_key", "no key")
	tab.Click("button:has-text('Go on')")
	tab.Want("The server says")
	tab.Fill("#ssh_key", string(public))
	tab.Fill("#name", "<script>window.hacked=1</script>")
	tab.Click("button:has-text('Go on')")
	tab.Want("for an ssh key")
	tab.Click("button[value=accept]")
	tab.Click("button:has-text('Show it')")
	var user string
	tab.Eval("document.querySelector('#user').value", &user)
	o := host.exec("ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile="+host.path("known"),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", host.path("user_key"), "-p", number, user+"@127.0.0.1", "AT")
	if o.code != 0 || strings.Count(o.out, ".") != 2 {
		t.Errorf("ssh AT: %+v", o)
	}
	tab.Goto(s.url + "/settings")
	tab.Want("SHA256:", "<script>window.hacked=1</script>", "last used")
	tab.Click("button:has-text('Remove')")
	tab.Want("The key is removed")
	tab.Fill("#calendar", "my runs")
	tab.Click("button:has-text('Make a calendar')")
	tab.Want("The calendar is there")
	tab.Click("text=Look at it")
	tab.Want("my runs", "No mytoken is in it")
	tab.Goto(s.url + "/home")
	tab.Click("article:has-text('this session') >> text=Tell me")
	tab.Click("button:has-text('Put it in')")
	tab.Want("Done.")
	tab.Goto(s.url + "/settings")
	tab.Click("text=Look at it")
	tab.Want("web session", "in 7 days")
	tab.Quiet("status of 422")
}

// atOP logs in and agrees at the provider, as far as it asks.
func atOP(tab *chromium.Tab) {
	for {
		var form string
		tab.Eval(`document.querySelector("input[name=login]") ? "login" : document.querySelector("input[value=consent]") ? "consent" : ""`, &form)
		switch form {
		case "login":
			tab.Fill("[name=login]", "alice")
			tab.Fill("[name=password]", "any")
			tab.Click("button[type=submit]")
		case "consent":
			tab.Click("button[type=submit]")
		default:
			return
		}
	}
}

// asking is a client that waits for a person.
type asking struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	link string
	said strings.Builder
	done chan struct{} // closed when all that it says was read
}

// ask starts the client, and returns when it has a link for the person.
func (s *mytokenSite) ask(t *testing.T, args ...string) *asking {
	t.Helper()
	a := &asking{cmd: exec.Command(s.bin, append([]string{"mytoken", "MT", "--url", s.url, "--oidc", "-i", s.issuer},
		args...)...)}
	a.cmd.Env, a.cmd.Dir, a.cmd.Stdout = s.environ(), s.dir, &a.out
	pipe, err := a.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.done = make(chan struct{})
	found := make(chan string, 1)
	link := regexp.MustCompile(regexp.QuoteMeta(s.url) + `/c/\S+`)
	go func() {
		defer close(a.done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			fmt.Fprintln(&a.said, lines.Text())
			if u := link.FindString(lines.Text()); u != "" {
				select {
				case found <- u:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	select {
	case a.link = <-found:
	case <-time.After(60 * time.Second):
		t.Fatal("the client has no link")
	}
	return a
}

// wait returns the mytoken that the client prints.
func (a *asking) wait() (string, error) {
	end := time.AfterFunc(60*time.Second, func() { _ = a.cmd.Process.Kill() })
	defer end.Stop()
	<-a.done
	err := a.cmd.Wait()
	return strings.TrimSpace(a.out.String()), err
}

func (s *mytokenSite) pageConsent(t *testing.T, tab *chromium.Tab) {
	a := s.ask(t, "--capability", "AT", "--usages-AT", "5", "--exp", "+1d", "-n", "<script>window.hacked=1</script>")
	if status := tab.Goto(a.link); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	tab.Want("mytoken client on", "at most 5 access tokens", "the address of your browser, too",
		"<script>window.hacked=1</script>")
	tab.Click("summary:has-text('Change it before')")
	tab.Fill("[name='c0.usages_AT']", "1")
	tab.Click("button[value=accept]")
	tab.Want("gets the mytoken now")
	mt, err := a.wait()
	if err != nil || strings.Count(mt, ".") != 2 {
		t.Fatalf("the client says %q, %v\n%s", mt, err, a.said.String())
	}
	for i, want := range []bool{true, false} {
		if o := s.client(mt, "AT"); (o.code == 0) != want {
			t.Errorf("access token %d of the one that the person left: %+v", i+1, o)
		}
	}
	tab.Goto(a.link) // it was answered
	tab.Want("This request is not there any more")
	tab.Quiet("status of 404")
}

func (s *mytokenSite) pageDecline(t *testing.T, tab *chromium.Tab) {
	a := s.ask(t)
	tab.Goto(a.link)
	tab.Click("button[value=decline]")
	tab.Want("gets no mytoken")
	if mt, err := a.wait(); err == nil || mt != "" {
		t.Errorf("the client says %q, %v", mt, err)
	}
	tab.Quiet()
}

// pageSwapped has somebody allow his own request, and send the link to the provider to somebody else.
func (s *mytokenSite) pageSwapped(t *testing.T, tab *chromium.Tab) {
	a := s.ask(t)
	body, err := json.Marshal(map[string]any{"oidc_issuer": s.issuer, "capabilities": []string{"AT"}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(a.link, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var to struct {
		URI string `json:"authorization_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&to); err != nil || to.URI == "" {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	if status := tab.Goto(to.URI); status != http.StatusBadRequest {
		t.Errorf("status %d", status)
	}
	tab.Want("This login was not begun in this browser")
}

func (s *mytokenSite) pageHome(t *testing.T, tab *chromium.Tab) {
	tab.Goto(s.url + "/home")
	tab.Click(".providers button")
	tab.Want("Your mytokens", "this session", "<script>window.hacked=1</script>")
	tab.Click("text=New mytoken")
	tab.Fill("[name=name]", "from the page")
	tab.Fill("[name='c0.usages_AT']", "2")
	tab.Fill("[name='c0.scope']", "storage.read:/vo")
	tab.Check("[name=cap][value=create_mytoken]", true)
	tab.Click("button[value=create]")
	tab.Click("button:has-text('Show it')")
	var mt string
	tab.Eval("document.querySelector('textarea.secret').value", &mt)
	if o := s.client(mt, "AT", "-s", "storage.read:/vo/run7"); o.code != 0 {
		t.Fatalf("AT with the mytoken of the page: %+v", o)
	}
	if o := s.client(mt, "AT", "-s", "compute.read"); o.code == 0 {
		t.Errorf("another scope: %+v", o)
	}
	tab.Goto(s.url + "/create")
	tab.Check("[name=from][value=mytoken]", true)
	tab.Fill("[name=mytoken]", mt)
	tab.Fill("[name=name]", "sub-job")
	tab.Fill("[name='c0.scope']", "storage.read:/vo/run7")
	tab.Fill("[name='c0.usages_AT']", "1")
	tab.Check("[name=kind][value=transfer_code]", true)
	tab.Click("button[value=create]")
	tab.Want("Your transfer code", "good once")
	tab.Goto(s.url + "/home")
	tab.Want("at most 2 access tokens, 0 left", "sub-job")
	tab.Click("article:has-text('from the page') >> text=History")
	tab.Want("an access token was got", "made")
	tab.Goto(s.url + "/settings")
	tab.Want("Settings")
	tab.Goto(s.url + "/home")
	tab.Click("article:has-text('from the page') >> text=End it")
	tab.Click("main button:has-text('End it')")
	tab.Want("The mytoken has ended")
	if o := s.client(mt, "AT", "-s", "storage.read:/vo/run7"); o.code == 0 {
		t.Errorf("AT after the end: %+v", o)
	}
	tab.Click("button:has-text('Log out')")
	tab.Want("You are logged out")
	var hacked bool
	tab.Eval("window.hacked !== undefined", &hacked)
	if hacked {
		t.Error("a name runs as a script")
	}
	tab.Quiet()
}
