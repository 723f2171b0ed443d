package sshjourney

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const guidePage = "../../docs/admin/ssh.md"

// guide is a host on which an administrator does what docs/admin/ssh.md says, word by word. Names of machines and ports are
// others, and systemctl writes down what it is told: the test starts what the units would.
type guide struct {
	*journey
	t          *testing.T
	web, inner string // of nginx, and of the server behind it
	sshPort    string
	used       map[string]bool
	told       int // how much of systemctl's orders was carried out
	running    map[string]*exec.Cmd
	token      string
}

func newGuide(t *testing.T) *guide {
	t.Helper()
	services.Need(t, "nginx", "curl", "systemd-sysusers", "pamtester")
	g := &guide{
		t: t, web: "https://localhost:" + freePort(t), inner: "127.0.0.1:" + freePort(t), sshPort: freePort(t),
		used: map[string]bool{}, running: map[string]*exec.Cmd{},
	}
	g.journey = newJourney(t, func(o *issuer.Options) {
		users := issuer.SampleUsers()
		users[0].Assurance = append(users[0].Assurance, "https://refeds.org/assurance", "https://refeds.org/assurance/ID/unique")
		o.Users = users
		o.Clients = append(issuer.SampleClients(), issuer.Client{
			ID: "oidcbox-login", Secret: secret.FromString("a-secret"), Grants: []string{issuer.GrantCode},
			RedirectURIs: []string{g.web + "/login/back"},
		})
	})
	g.Run("userdel", "--force", serveUser) // the page makes it
	g.Run("mkdir", "-p", "/srv/upper", "/srv/trial")
	g.Run("mount", "-t", "tmpfs", "tmpfs", "/srv/upper")
	g.Run("mkdir", "/srv/upper/up", "/srv/upper/work")
	if o := g.run(g.Command("mount", "-t", "overlay", "overlay", "-o",
		"lowerdir=/usr,upperdir=/srv/upper/up,workdir=/srv/upper/work", "/usr")); o.code != 0 {
		t.Skip("the page writes below /usr, and there is no overlay to catch it: " + o.errOut)
	}
	g.Run("sh", "-c", `printf '#!/bin/sh\necho "$@" >>/run/systemctl.told\n' >/usr/local/sbin/systemctl; chmod 755 /usr/local/sbin/systemctl`)
	g.Run("cp", program, "/srv/trial/oidcbox")
	g.Write("/srv/trial/client-secret", "a-secret\n", 0o600)
	certs := services.Certificates(t)
	for _, name := range []string{"ca.pem", "server.pem", "server.key"} {
		b, err := os.ReadFile(filepath.Join(certs, name))
		if err != nil {
			t.Fatal(err)
		}
		g.Write("/srv/trial/"+name, string(b), 0o644)
	}
	g.Run("mkdir", "-p", "/srv/trial/packaging")
	units, err := filepath.Glob("../../packaging/system/*")
	if err != nil || len(units) == 0 {
		t.Fatal("no units", err)
	}
	for _, u := range units {
		b, err := os.ReadFile(u)
		if err != nil {
			t.Fatal(err)
		}
		g.Write("/srv/trial/packaging/system/"+filepath.Base(u), string(b), 0o644)
	}
	g.token = g.op.Tokens("alice", scopes, url.Values{"audience": {g.web}}).Access.Expose()
	return g
}

// text is a block of the page by its first line, with this host in it.
func (g *guide) text(first string, more ...string) string {
	g.t.Helper()
	b, err := os.ReadFile(guidePage)
	if err != nil {
		g.t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "\n"+first+"\n")
	text, _, ends := strings.Cut(rest, "\n```")
	if !found || !ends {
		g.t.Fatalf("the page has no block %q", first)
	}
	g.used[first] = true
	return strings.NewReplacer(append(more, "https://login.example.org", g.web, "https://op.example.org", g.op.URL,
		"127.0.0.1:8080", g.inner, "oidcbox ssh --oidc example login.example.org",
		"oidcbox ssh --mc-endpoint "+g.web+" -p "+g.sshPort+" localhost", "login.example.org", "localhost")...).Replace(text) + "\n"
}

// types runs a block in the host, as root, and does afterwards what systemctl was told.
func (g *guide) types(first string) string {
	g.t.Helper()
	cmd := g.Command("sh", "-euc", "cd /srv/trial\n"+g.text(first))
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE=/srv/trial/ca.pem", "CURL_CA_BUNDLE=/srv/trial/ca.pem", "ACCESS_TOKEN="+g.token)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("%s: %v\n%s\n%s\nlog:\n%s", first, err, out, errOut.String(), g.Log())
	}
	g.obey()
	return string(out) + errOut.String()
}

// obey starts the services that systemctl was told to enable, as their units say.
func (g *guide) obey() {
	g.t.Helper()
	orders := strings.Split(strings.TrimSpace(g.Read("/run/systemctl.told")), "\n")
	for _, order := range orders[min(g.told, len(orders)):] {
		for _, unit := range strings.Fields(order) {
			if strings.HasSuffix(unit, ".service") {
				g.service(unit)
			}
		}
	}
	g.told = len(orders)
}

var unitLine = regexp.MustCompile(`(?m)^(ExecStart|User)=(.*)$`)

func (g *guide) service(unit string) {
	g.t.Helper()
	var line []string
	user := "root"
	for _, m := range unitLine.FindAllStringSubmatch(g.Read("/etc/systemd/system/"+unit), -1) {
		if m[1] == "User" {
			user = m[2]
			continue
		}
		line = strings.Fields(m[2])
	}
	if len(line) == 0 {
		g.t.Fatalf("%s starts nothing", unit)
	}
	if user != "root" {
		g.Run("install", "-d", "-o", user, "-m", "0755", "/run/oidcbox") // the unit of the socket does
	}
	cmd := g.Command("setpriv", append([]string{"--reuid=" + user, "--regid=" + user, "--init-groups", "--"}, line...)...)
	g.running[unit] = cmd
	g.Background(strings.TrimSuffix(unit, ".service"), cmd)
	if user == "root" {
		g.awaitSocket("/run/oidcbox-worker/worker.sock")
		return
	}
	g.awaitSocket("/run/oidcbox/login.sock")
}

// nginx serves its block.
func (g *guide) nginx() {
	g.t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(g.web, "https://"), ":")
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path /srv/nginx-%s;\n", kind, kind)
	}
	server := g.text("# /etc/nginx/conf.d/oidcbox.conf", "listen 443 ssl", "listen 127.0.0.1:"+port+" ssl",
		"/etc/ssl/certs/login.example.org.pem", "/srv/trial/server.pem", "/etc/ssl/private/login.example.org.key", "/srv/trial/server.key")
	g.Write("/etc/nginx-guide.conf", "user root;\ndaemon off;\nerror_log stderr;\npid /run/nginx-guide.pid;\nevents {}\nhttp {\naccess_log off;\n"+
		temp+server+"}\n", 0o644)
	g.Background("nginx", g.Command("nginx", "-e", "stderr", "-c", "/etc/nginx-guide.conf"))
	g.await("nginx", func() bool {
		return g.run(exec.Command("curl", "-sk", g.web)).code == 0
	})
}

// sshd is Debian's, with its own configuration and stack.
func (g *guide) sshd() {
	g.t.Helper()
	g.Run("ssh-keygen", "-A")
	g.Background("sshd", g.Command("/usr/sbin/sshd", "-D", "-e", "-p", g.sshPort, "-o", "ListenAddress=127.0.0.1",
		"-o", "PidFile=none", "-o", "UseDNS=no"))
	g.await("sshd", func() bool {
		return g.run(exec.Command("ssh-keyscan", "-T", "2", "-p", g.sshPort, "127.0.0.1")).out != ""
	})
}

// TestGuide: every block of the page, from nothing to a first login, and the day after.
func TestGuide(t *testing.T) {
	g := newGuide(t)
	says := func(first string, want ...string) {
		t.Helper()
		out := g.types(first)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s does not say %q:\n%s", first, w, out)
			}
		}
	}
	g.types("# install")
	says("# set up", "keep a copy elsewhere", g.web+"/login/back")
	g.types("# start")
	g.nginx()
	says("# does it answer", g.op.URL, "ssh-ed25519")
	g.types("# sshd")
	says("# banner")
	g.sshd()
	says("# with the wrapper", "(alice)", "No program? Get a password")
	if o := g.run(exec.Command("curl", "-sk", g.web+"/login")); !strings.Contains(o.out, "Log in to localhost") {
		t.Error(o)
	}
	says("# who is there", "alice", "deployed")
	before := g.UID("alice")
	says("# stop somebody", "suspended")
	if o := g.run(g.Command("sh", "-c", "cd /srv/trial; SSL_CERT_FILE=ca.pem ACCESS_TOKEN="+g.token+g.text("# with the wrapper"))); o.code == 0 {
		t.Error("somebody who is stopped logs in")
	}
	says("# let somebody in again", "resumed")
	says("# with the wrapper", "(alice)")
	says("# what waits")
	g.configurations(t)
	g.rebuild(t)
	says("# with the wrapper", "(alice)")
	if after := g.UID("alice"); after != before {
		t.Errorf("alice was uid %d and is %d", before, after)
	}
	g.types("# take it out")
	if strings.Contains(g.Read("/etc/pam.d/sshd"), "oidcbox") {
		t.Error("the helper is still in the stack")
	}
	g.all(t)
}

// configurations lets the program read the blocks that go into the configuration.
func (g *guide) configurations(t *testing.T) {
	t.Helper()
	const file = "/etc/oidcbox/provisioner.yaml"
	written := g.Read(file)
	accounts := regexp.MustCompile(`(?m)^accounts:\n(  .*\n)+`)
	if !accounts.MatchString(written) {
		t.Fatalf("setup wrote no accounts:\n%s", written)
	}
	for _, block := range []string{"# approval", "# shells"} {
		g.Write("/etc/oidcbox/try.yaml", accounts.ReplaceAllString(written, "")+g.text(block), 0o644)
		if o := g.run(g.oidcbox("provisioner", "config", "check", "/etc/oidcbox/try.yaml")); o.code != 0 {
			t.Errorf("%s: %s", block, o)
		}
	}
}

// rebuild loses the state.
func (g *guide) rebuild(t *testing.T) {
	t.Helper()
	const unit = "oidcbox-provisioner.service"
	if err := g.running[unit].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.running[unit].Wait()
	g.Run("sh", "-c", "rm /var/lib/oidcbox/provisioner/state.*  /var/lib/oidcbox/provisioner/state-key")
	g.Run("setpriv", "--reuid="+serveUser, "--regid="+serveUser, "--init-groups", "--", "oidcbox", "provisioner", "setup", "--state-only")
	g.service(unit)
	if out := g.types("# rebuild"); !strings.Contains(out, "1") {
		t.Errorf("it says:\n%s", out)
	}
}

// all checks that no block of the page was left out.
func (g *guide) all(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(guidePage)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^```[a-z]+\n(.*)$").FindAllStringSubmatch(string(b), -1) {
		if !g.used[m[1]] {
			t.Errorf("the block %q was not tried", m[1])
		}
	}
}
