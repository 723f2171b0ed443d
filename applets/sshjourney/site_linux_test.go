package sshjourney

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// scopes are what clients of the site ask their issuer for.
const scopes = "openid profile email eduperson_entitlement eduperson_assurance wlcg.groups"

// siteOptions change a site before it starts.
type siteOptions struct {
	issuer func(*issuer.Options)
	// provisioner and worker change the text of a configuration.
	provisioner, worker func(string) string
	pam                 string // stack, "" for one that takes a token or a password
	before              func(*journey)
}

// site is a whole service in a host: a worker as root, a server as its own user, and sshd with the helper in its stack.
type site struct {
	*journey
	url           string // of the server
	metrics       string // where its metrics are, "" for nowhere
	second        string // of another one, "" for none
	sshd          *services.SSHD
	worker, serve *exec.Cmd
}

const (
	workerLog = "/var/log/worker-audit.log"
	auditLog  = "/var/lib/oidcbox/provisioner/audit.log"
	serveFile = "/etc/oidcbox/provisioner.yaml"
	workFile  = "/etc/oidcbox/worker.yaml"
)

// serveConfig is all the server is told. Answers of the issuer are used for one second, so that a test need not wait for
// a minute.
const serveConfig = `version: 1
listen: ADDRESS
url: http://ADDRESS
operator: {name: Example Centre, contact: help@example.org}
backend: local_unix
state: {file: /var/lib/oidcbox/provisioner/state.keys, key_file: /var/lib/oidcbox/provisioner/state-key, locked_memory: prefer}
audiences: [https://ssh.example.org]
issuers:
  ISSUER:
    users: ANYONE
    cache: 1s
    scopes: [openid, profile, email, eduperson_entitlement, eduperson_assurance]
    login: {name: Example AAI, client_id: ssh, client_secret_file: op-secret}
accounts: {assurance: "*", min_uid: FIRST, max_uid: LAST, min_gid: FIRST, max_gid: LAST}
groups: {fallback: federated, primary: federated}
login_info: {description: Test nodes, ssh_host: 127.0.0.1}
audit: /var/lib/oidcbox/provisioner/audit.log
`

const workerConfig = `version: 1
users: [oidcbox-provisioner]
backend: local_unix
local_unix: {home_base: /home, shells: {full: /bin/sh}}
accounts: {min_uid: FIRST, max_uid: LAST, min_gid: FIRST, max_gid: LAST}
groups: {given: [federated]}
audit: /var/log/worker-audit.log
`

// newSite starts everything.
func newSite(t testing.TB, o siteOptions) *site {
	t.Helper()
	port := freePort(t)
	s := &site{url: "http://127.0.0.1:" + port}
	s.journey = newJourney(t, func(i *issuer.Options) {
		i.Clients = append(issuer.SampleClients(), issuer.Client{
			ID: "ssh", Secret: secret.FromString("op-secret"), Grants: []string{issuer.GrantCode},
			RedirectURIs: []string{s.url + "/login/back"},
		})
		if o.issuer != nil {
			o.issuer(i)
		}
	})
	if o.before != nil {
		o.before(s.journey)
	}
	t.Cleanup(s.sound)
	s.Run("groupadd", "--system", "federated")
	s.Write("/etc/oidcbox/op-secret", "op-secret\n", 0o600)
	s.Run("chown", serveUser, "/etc/oidcbox/op-secret")
	s.Write(workFile, s.text(workerConfig, o.worker), 0o600)
	s.Write(serveFile, s.text(serveConfig, o.provisioner), 0o644)
	s.Run("install", "-d", "-o", serveUser, "-g", serveUser, "-m", "0700", "/var/lib/oidcbox/provisioner")
	s.startWork()
	if r := s.run(s.as(serveUser, "provisioner", "setup", "--state-only")); r.code != 0 {
		t.Fatal(r)
	}
	s.startFront()
	if o.pam == "" {
		o.pam = strings.ReplaceAll(stackTokenOrPassword, "try_first_pass", "try_first_pass nodelay")
	}
	s.sshd = s.StartSSHD(services.SSHDOptions{PAM: stack(o.pam), Config: "MaxAuthTries 20\nMaxStartups 100"})
	return s
}

func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// text is a configuration with this site in it.
func (s *site) text(config string, change func(string) string) string {
	config = strings.NewReplacer("ADDRESS", strings.TrimPrefix(s.url, "http://"), "ISSUER", s.op.URL,
		"FIRST", fmt.Sprint(s.FirstUID), "LAST", fmt.Sprint(s.LastUID)).Replace(config)
	if change != nil {
		config = change(config)
	}
	return config
}

// with is a change of a configuration: pairs of what stands there and what shall.
func with(pairs ...string) func(string) string {
	return func(s string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				panic("the configuration has no " + pairs[i])
			}
			s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
		}
		return s
	}
}

func (s *site) startWork() {
	s.t.Helper()
	s.worker = s.oidcbox("provisioner", "worker", "--config", workFile)
	s.Background("worker", s.worker)
	s.awaitSocket("/run/oidcbox-worker/worker.sock")
}

func (s *site) startFront() {
	s.t.Helper()
	s.Run("install", "-d", "-o", serveUser, "-g", serveUser, "-m", "0755", "/run/oidcbox")
	s.serve = s.as(serveUser, "provisioner", "serve", "--config", serveFile)
	s.Background("serve", s.serve)
	s.awaitSocket("/run/oidcbox/login.sock")
	s.await("an answer over HTTP", func() bool {
		resp, err := http.Get(s.url + "/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
}

// kill ends a process as if the power had gone.
func (s *site) kill(cmd *exec.Cmd) {
	s.t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	_ = cmd.Wait()
}

// answer is one of the server.
type answer struct {
	status int
	body   string
	again  bool // it says that asking again may help
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

func (a answer) member(name string) string {
	var o map[string]any
	if json.Unmarshal([]byte(a.body), &o) != nil {
		return ""
	}
	s, _ := o[name].(string)
	return s
}

// ask sends a request with an Authorization header, "" for none.
func (s *site) ask(method, path, authorization string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return s.send(r)
}

// send does a request; an answer without a status is none.
func (s *site) send(r *http.Request) answer {
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{body: err.Error()}
	}
	return answer{resp.StatusCode, strings.TrimSpace(string(b)), resp.Header.Get("Retry-After") != ""}
}

// get is a request with an access token.
func (s *site) get(path, token string) answer {
	s.t.Helper()
	return s.ask(http.MethodGet, path, "Bearer "+token)
}

// at is an access token of user as clients get it.
func (s *site) at(user string) string {
	s.t.Helper()
	return s.op.Tokens(user, scopes, url.Values{"audience": {audience}}).Access.Expose()
}

// deploy gives a user an account and returns its local name.
func (s *site) deploy(user string) string {
	s.t.Helper()
	a := s.get("/user/deploy", s.at(user))
	if a.status != http.StatusOK || a.member("state") != "deployed" {
		s.t.Fatalf("deploy %s: %s", user, a)
	}
	return s.nameOf(user)
}

// nameOf is the local name of a user, "" for none.
func (s *site) nameOf(user string) string {
	s.t.Helper()
	a := s.get("/user/get_status", s.at(user))
	name, _ := strings.CutPrefix(a.member("message"), "username ")
	if strings.Contains(name, " ") {
		return ""
	}
	return name
}

// password is a one-time password of a user.
func (s *site) password(user string) string {
	s.t.Helper()
	a := s.ask(http.MethodPost, "/user/generate_otp?form=oxp", "Bearer "+s.at(user))
	if a.member("password") == "" {
		s.t.Fatalf("password for %s: %s", user, a)
	}
	return a.member("password")
}

// ssh logs in with a secret and returns who arrived, "" for nobody.
func (s *site) ssh(name, password string) string {
	s.t.Helper()
	return s.login(s.sshd, services.SSHLogin{User: name, Answers: []string{password}})
}

// id is the identity of a user of the site's issuer.
func (s *site) id(user string) string {
	s.t.Helper()
	for _, u := range issuer.SampleUsers() {
		if u.Name == user {
			id, err := names.Encode(u.Subject, s.op.URL)
			if err != nil {
				s.t.Fatal(err)
			}
			return id
		}
	}
	s.t.Fatalf("there is no user %s", user)
	return ""
}

// admin runs "provisioner admin" as root.
func (s *site) admin(args ...string) outcome {
	s.t.Helper()
	return s.run(s.oidcbox(append([]string{"provisioner", "admin"}, args...)...))
}

// logs are those of server, worker and helper, and what the server says beside its audit.
func (s *site) logs() [4]string {
	said, _ := os.ReadFile(filepath.Join(s.Root(), "serve.log"))
	return [4]string{s.Read(auditLog), s.Read(workerLog), s.Log(), string(said)}
}

// logMark is a place in each of the logs.
type logMark [4]int

// mark is where the logs end now.
func (s *site) mark() (at logMark) {
	for i, log := range s.logs() {
		at[i] = len(log)
	}
	return at
}

// since is what the logs have behind a mark.
func (s *site) since(from logMark) string {
	var b strings.Builder
	for i, log := range s.logs() {
		b.WriteString(log[from[i]:])
	}
	return b.String()
}

// awaitLogs waits until one of the logs has text in it behind a mark.
func (s *site) awaitLogs(t *testing.T, from logMark, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(s.since(from), text) {
			return
		}
	}
	t.Errorf("no log says %q but:\n%s", text, s.since(from))
}

// sound checks that the audit is what programs read: one JSON object a line.
func (s *site) sound() {
	logs := s.logs()
	for _, log := range logs[:2] {
		for line := range strings.Lines(log) {
			if strings.HasSuffix(line, "\n") && !json.Valid([]byte(line)) { // the last one may be cut by a kill
				s.t.Errorf("a line of the audit is no JSON: %s", line)
				return
			}
		}
	}
}

// accounts is what the host has of accounts: users, groups, and homes.
func (s *site) accounts() string {
	return s.Read("/etc/passwd") + "\n" + s.Read("/etc/group") + "\n" + s.Run("ls", "/home")
}
