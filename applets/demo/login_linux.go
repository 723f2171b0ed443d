package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// loginNode is the login node of the walk with what runs there.
type loginNode struct {
	*node
	name, uid string // the local user that the person has there
}

func (l *loginNode) close() {
	if l != nil && l.node != nil {
		l.node.close()
	}
}

// loginSteps are the walk's steps about ssh, or none, and why.
func loginSteps(ctx context.Context, w *world) ([]step, string) {
	n, why := openNode(ctx)
	if why != "" {
		return nil, why
	}
	w.login = &loginNode{node: n}
	return []step{
		{"a login node runs: sshd, PAM, account worker, provisioner", startLoginNode},
		{"ssh logs in to an account that was not there before", firstLogin},
		{"who has but a browser gets a password for one login", loginByBrowser},
		{"that password is refused the second time", refuseReplay},
		{"suspended: the open session ends, and nobody gets in", suspendLogin},
		{"resumed: back as the same local user", resumeLogin},
	}, ""
}

// Numbers of accounts on the login node: above those that machines and containers have, so that none is somebody's here.
const loginUIDs = "2000000000"

// Users, groups and programs on the login node.
const (
	loginServer = "oidcbox-provisioner"
	loginBin    = "/srv/bin/oidcbox"
	loginHelper = "/srv/bin/oidcbox-pam"
	loginState  = "/run/oidcbox-state"
)

const loginServeConfig = `version: 1
listen: {tcp: "WEB", tls: {cert_file: tls.pem, key_file: tls.key}}
url: https://WEB
operator: {name: The demo, contact: nobody@example.org}
backend: local_unix
state: {file: STATE/serve/state.keys, key_file: STATE/serve/state-key, locked_memory: prefer}
audiences: ["https://WEB"]
issuers:
  ISSUER:
    users: ANYONE
    scopes: [openid, profile]
    login: {name: The provider of the demo, client_id: login, client_secret_file: login-client}
accounts: {assurance: "*", min_uid: FIRST, max_uid: 2000000999, min_gid: FIRST, max_gid: 2000000999}
groups: {primary: federated, fallback: federated}
login_info: {description: The login node of the demo, ssh_host: HOST}
ssh_host_keys: [/etc/ssh/ssh_host_ed25519_key.pub]
audit: STATE/serve/audit.log
`

const loginWorkerConfig = `version: 1
users: [oidcbox-provisioner]
state: STATE/worker
backend: local_unix
local_unix: {home_base: /home, shells: {full: /bin/sh}}
accounts: {min_uid: FIRST, max_uid: 2000000999, min_gid: FIRST, max_gid: 2000000999}
groups: {given: [federated]}
audit: STATE/worker-audit.log
`

const loginSSHDConfig = `ListenAddress SSHD
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
PermitRootLogin no
StrictModes no
UseDNS no
PrintMotd no
PidFile none
`

// loginStack takes a one-time password and nothing else.
const loginStack = `auth [success=done ignore=ignore default=die] pam_exec.so expose_authtok quiet HELPER --marks STATE/worker/marks --floor FIRST --ceiling 2000000999
auth required pam_permit.so
account required pam_exec.so quiet HELPER --marks STATE/worker/marks --floor FIRST --ceiling 2000000999
account required pam_unix.so
session required pam_permit.so
`

func (w *world) loginText(text string) string {
	host, _, _ := net.SplitHostPort(w.site.loginWeb)
	return strings.NewReplacer("WEB", w.site.loginWeb, "SSHD", w.site.loginSSH, "HOST", host, "ISSUER", w.issuer, "FIRST",
		loginUIDs, "STATE", loginState, "HELPER", loginHelper).Replace(text)
}

// startLoginNode puts a login node together as docs/admin/ssh.md does it.
func startLoginNode(ctx context.Context, w *world) (string, error) {
	if err := errors.Join(w.installNode(), w.configureNode()); err != nil {
		return "", err
	}
	for _, line := range [][]string{
		{"useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", loginServer},
		{"groupadd", "--system", "federated"},
		{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/etc/ssh/ssh_host_ed25519_key"},
		{"install", "-d", "-m", "0755", loginState},
		{"install", "-d", "-o", loginServer, "-m", "0700", loginState + "/serve"},
		{"install", "-d", "-o", loginServer, "-m", "0755", "/run/oidcbox"},
		{"chown", loginServer, "/etc/oidcbox/login-client", "/etc/oidcbox/tls.key"},
		asServer("provisioner", "setup", "--state-only"),
	} {
		if _, err := w.login.do(ctx, line...); err != nil {
			return "", err
		}
	}
	worker, err := w.startInNode("worker", "/run/oidcbox-worker/worker.sock", loginBin, "provisioner", "worker",
		"--config", "/etc/oidcbox/worker.yaml")
	if err == nil {
		err = w.waitFor(ctx, worker.process, worker.answers)
	}
	if err != nil {
		return "", err
	}
	serve, err := w.startInNode("provisioner", "/run/oidcbox/login.sock", asServer("provisioner", "serve",
		"--config", "/etc/oidcbox/provisioner.yaml")...)
	if err == nil {
		err = w.waitFor(ctx, serve.process, serve.answers)
	}
	if err != nil {
		return "", err
	}
	sshd, err := w.startInNode("sshd", w.site.loginSSH, "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config")
	if err != nil {
		return "", err
	}
	return "sshd at " + w.site.loginSSH + ", https://" + w.site.loginWeb + ", in namespaces: this machine has none of it",
		w.waitFor(ctx, sshd.process, sshd.answers)
}

func asServer(args ...string) []string {
	as := []string{"setpriv", "--reuid=" + loginServer, "--regid=" + loginServer, "--init-groups", "--", loginBin}
	return append(as, args...)
}

// installNode puts the program there, and as a link the helper of PAM.
func (w *world) installNode() error {
	n := w.login
	if err := os.MkdirAll(n.root("/srv/bin"), 0o755); err != nil {
		return err
	}
	if err := copyFile(n.root(loginBin), w.exe, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(n.root("/etc/ssh") + "/ssh_host_*")
	for _, name := range old { // those of this machine are not needed
		err = errors.Join(err, os.Remove(name))
	}
	return errors.Join(err, os.Symlink(filepath.Base(loginBin), n.root(loginHelper)))
}

func (w *world) configureNode() error {
	n := w.login
	var errs []error
	for name, mode := range map[string]os.FileMode{"tls.pem": 0o644, "tls.key": 0o600, "login-client": 0o600} {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		errs = append(errs, err, n.write("/etc/oidcbox/"+name, string(b), mode))
	}
	return errors.Join(append(errs,
		n.write("/etc/oidcbox/provisioner.yaml", w.loginText(loginServeConfig), 0o644),
		n.write("/etc/oidcbox/worker.yaml", w.loginText(loginWorkerConfig), 0o600),
		n.write("/etc/ssh/sshd_config", w.loginText(loginSSHDConfig), 0o600),
		n.write("/etc/pam.d/sshd", w.loginText(loginStack), 0o644))...)
}

// nodeProcess is a daemon of the login node, and where it answers.
type nodeProcess struct {
	*process
	network, address string
}

func (p nodeProcess) answers() bool {
	c, err := net.Dial(p.network, p.address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (w *world) startInNode(name, where string, line ...string) (nodeProcess, error) {
	cmd := w.login.command(context.Background(), line...)
	p, err := w.background(name, cmd)
	if strings.HasPrefix(where, "/") {
		return nodeProcess{p, "unix", w.login.root(where)}, err
	}
	return nodeProcess{p, "tcp", where}, err
}

// sshWords are options of ssh with which it reads and writes no file of this machine's user.
func (w *world) sshWords() []string {
	host, port, _ := net.SplitHostPort(w.site.loginSSH)
	return []string{
		"-F", "/dev/null", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		"-p", port, host,
	}
}

// ssh is "oidcbox ssh" to the login node, with a token of the agent.
func (w *world) ssh(ctx context.Context, remote ...string) (result, error) {
	args := append([]string{"--oidc", loginName, "--mc-endpoint", "https://" + w.site.loginWeb}, w.sshWords()...)
	return w.run(ctx, nil, "ssh", append(args, remote...)...)
}

func firstLogin(ctx context.Context, w *world) (string, error) {
	r, err := w.ssh(ctx, "id")
	if err == nil && r.code != 0 {
		why, _ := w.loginLog(ctx, "oidcbox-pam")
		err = fmt.Errorf("ssh exited with %d: %s; %s", r.code, oneLine(r.stderr), why)
	}
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`^uid=(\d+)\(([^)]+)\)`).FindStringSubmatch(r.stdout)
	if m == nil {
		return "", errors.New("there is nobody: " + oneLine(r.stdout))
	}
	w.login.uid, w.login.name = m[1], m[2]
	if !strings.HasPrefix(m[1], loginUIDs[:4]) {
		return "", errors.New("this is no account of the login node: " + oneLine(r.stdout))
	}
	return oneLine(r.stdout) + "; no fingerprint was asked: the key came over https", nil
}

// loginByBrowser plays somebody who opens the page that sshd's banner could show, and types what stands there.
func loginByBrowser(ctx context.Context, w *world) (string, error) {
	password, err := w.passwordByBrowser(ctx)
	if err != nil {
		return "", err
	}
	if err := w.writeFile("typed", password+"\n"); err != nil {
		return "", err
	}
	who, err := w.typed(ctx)
	if err == nil && who != w.login.name {
		err = fmt.Errorf("logged in as %q", who)
	}
	return "ssh " + w.login.name + "@node, and a password that began with " + password[:6], err
}

// passwordByBrowser logs in at the pages and presses the button.
func (w *world) passwordByBrowser(ctx context.Context) (string, error) {
	b, err := w.browser()
	if err != nil {
		return "", err
	}
	defer b.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+w.site.loginWeb+"/login", nil)
	if err != nil {
		return "", err
	}
	page, err := b.Do(req)
	for _, path := range []string{"/login/begin", "/login/password"} {
		if err != nil {
			return "", err
		}
		if page, err = pressOn(ctx, b, page, path); err != nil {
			return "", err
		}
	}
	defer page.Body.Close()
	text, err := io.ReadAll(io.LimitReader(page.Body, 1<<20))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`id="password">([^<]+)<`).FindSubmatch(text)
	if m == nil {
		return "", errors.New("the page shows no password: " + oneLine(string(text)))
	}
	return string(m[1]), nil
}

// pressOn presses the button of the form of a page that is posted to a path, and goes on to where that leads.
func pressOn(ctx context.Context, b *http.Client, page *http.Response, path string) (*http.Response, error) {
	f, err := readForm(page.Request.URL, io.LimitReader(page.Body, 1<<20), path)
	_ = page.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", page.Request.URL.Path, page.Status, err)
	}
	next, err := f.press(ctx, b, "do", "")
	if err != nil {
		return nil, err
	}
	return goOn(ctx, b, next)
}

// typed is somebody who types the password in the file "typed" at the prompt of plain ssh. It returns who arrived.
func (w *world) typed(ctx context.Context) (string, error) {
	ask := filepath.Join(w.dir, "type")
	script := "#!/bin/sh\ncat '" + filepath.Join(w.dir, "typed") + "'\n"
	if err := os.WriteFile(ask, []byte(script), 0o700); err != nil { //nolint:gosec // a hand that types
		return "", err
	}
	key, err := os.ReadFile(w.login.root("/etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil {
		return "", err
	}
	host, port, _ := net.SplitHostPort(w.site.loginSSH)
	if err := w.writeFile("known_hosts", fmt.Sprintf("[%s]:%s %s", host, port, key)); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "ssh", append([]string{
		"-o", "UserKnownHostsFile=" + filepath.Join(w.dir, "known_hosts"), "-o", "NumberOfPasswordPrompts=1",
		"-o", "PreferredAuthentications=keyboard-interactive", "-l", w.login.name,
	}, append(w.sshWords(), "id", "-un")...)...)
	cmd.Env = append(w.environment(), "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force")
	detach(cmd)
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

func refuseReplay(ctx context.Context, w *world) (string, error) {
	who, err := w.typed(ctx)
	if err != nil {
		return "", err
	}
	if who != "" {
		return "", fmt.Errorf("it logged in as %q", who)
	}
	return w.loginLog(ctx, "refused")
}

// loginLog is what the PAM helper said last.
func (w *world) loginLog(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return w.login.log.line(ctx, "oidcbox-pam", text)
}

// suspendLogin stops somebody who is logged in.
func suspendLogin(ctx context.Context, w *world) (string, error) {
	args := append([]string{"ssh", "--oidc", loginName, "--mc-endpoint", "https://" + w.site.loginWeb}, w.sshWords()...)
	cmd := exec.CommandContext(ctx, w.exe, append(args, "echo", "in;", "exec", "sleep", "600")...)
	cmd.Env, cmd.Dir = w.environment(), w.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan time.Time, 1)
	if _, err := io.ReadFull(out, make([]byte, len("in\n"))); err != nil {
		return "", errors.Join(fmt.Errorf("no session: %w", err), cmd.Wait())
	}
	go func() {
		_ = cmd.Wait()
		ended <- time.Now()
	}()
	begin := time.Now()
	if _, err := w.login.do(ctx, loginBin, "provisioner", "admin", "suspend", w.login.name); err != nil {
		return "", err
	}
	var took time.Duration
	select {
	case at := <-ended:
		took = at.Sub(begin)
	case <-time.After(10 * time.Second):
		return "", errors.New("the session goes on")
	}
	r, err := w.ssh(ctx, "id")
	if err == nil && r.code == 0 {
		err = errors.New("the next login worked")
	}
	return fmt.Sprintf("the session ended after %.2f s; then: %s", took.Seconds(), oneLine(r.stderr)), err
}

func resumeLogin(ctx context.Context, w *world) (string, error) {
	if _, err := w.login.do(ctx, loginBin, "provisioner", "admin", "resume", w.login.name); err != nil {
		return "", err
	}
	r, err := w.ssh(ctx, "id", "-u")
	if err == nil && strings.TrimSpace(r.stdout) != w.login.uid {
		err = fmt.Errorf("ssh exited with %d as uid %q: %s", r.code, oneLine(r.stdout), oneLine(r.stderr))
	}
	return "uid " + w.login.uid + " again", err
}

// loginClient is what the provider has to know of the pages of the login node.
func loginClient(web string) string {
	back := (&url.URL{Scheme: "https", Host: web, Path: "/login/back"}).String()
	return "- id: login\n  secret_file: login-client\n  redirect_uris: [\"" + back +
		"\"]\n  grants: [authorization_code]\n  scope: openid profile\n"
}
