package sshjourney

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// fingerprint is how PuTTY wants a host key named.
func fingerprint(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-lf", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[1]
}

// TestPlink: PuTTY's client with our plug-in in a saved session.
func TestPlink(t *testing.T) {
	services.Need(t, "plink")
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	cl := c.client(s)
	token := c.tokenOf("ada", 1500)
	if err := os.MkdirAll(cl.path("home/.putty/sessions"), 0o700); err != nil {
		t.Fatal(err)
	}
	cl.write("home/.putty/sessions/login", fmt.Sprintf("HostName=127.0.0.1\nPortNumber=%d\nProtocol=ssh\nAuthPlugin=%s\n",
		s.Port, strings.Join(append([]string{cl.bin}, cl.wrapped("ssh-plugin")...), " ")))
	plink := func(token string) outcome {
		return j.run(cl.command(token, "plink", "-batch", "-hostkey", fingerprint(t, s.HostKey), "-load", "login", "id -un; exit 5"))
	}
	ends(t, plink(token), 5, "ada\n")
	ends(t, plink(token), 5, "ada\n")
	t.Run("stranger_is_told", func(t *testing.T) {
		if o := plink("eyJhbGciOiJub25lIn0.e30.x"); o.code == 0 || !strings.Contains(o.errOut, "User identity could not be determined") {
			t.Error(o)
		}
	})
}

// TestPlainSSH: with the lines of "ssh config", ssh itself logs in, and scp and rsync over it; one login serves them
// all.
func TestPlainSSH(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	token := c.tokenOf("ada", 1500)
	// ssh expands ~ by passwd, and the shell of Match exec by HOME: both are this home here.
	lines := j.run(cl.command("", cl.bin, "ssh", "config", "--mc-endpoint", c.srv.URL, "--ca-file", c.ca, "login"))
	if lines.code != 0 {
		t.Fatal(lines)
	}
	cl.config(strings.ReplaceAll(lines.out, "~/", cl.path("home")+"/"))
	t.Cleanup(func() { _ = cl.command("", "ssh", "-O", "exit", "login").Run() })
	if o := j.run(cl.command(token, "ssh", "-G", "login", "x")); o.code != 0 || c.count() != 0 {
		t.Errorf("ssh -G logged in: %d requests, %v", c.count(), o)
	}
	ends(t, j.run(cl.command(token, "ssh", "login", "id -un; exit 5")), 5, "ada\n")
	// Another user, or another port, is not served by the connection that is there.
	for _, words := range [][]string{{"root@login"}, {"-l", "root", "login"}, {"-p", "1", "login"}} {
		o := j.run(cl.command(token, "ssh", slices.Concat([]string{"-o", "BatchMode=yes"}, words, []string{"id -un"})...))
		if o.code != 255 || o.out != "" || !strings.Contains(o.errOut, "no login by token") {
			t.Errorf("%v: %v", words, o)
		}
	}
	ends(t, j.run(cl.command(token, "ssh", "ada@login", "id -un")), 0, "ada\n")
	asked := c.count()
	cl.write("file", "text\n")
	if o := j.run(cl.command("", "scp", "-q", "file", "login:file")); o.code != 0 {
		t.Error(o)
	}
	if o := j.run(cl.command("", "rsync", "login:file", "back")); o.code != 0 {
		t.Error(o)
	}
	if b, err := os.ReadFile(cl.path("back")); err != nil || string(b) != "text\n" {
		t.Errorf("%q %v", b, err)
	}
	if c.count() != asked {
		t.Error("a second login was made")
	}
	t.Run("without_a_token_ssh_goes_on_alone", func(t *testing.T) {
		_ = cl.command("", "ssh", "-O", "exit", "login").Run()
		o := j.run(cl.command("", "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "login", "id -un"))
		if o.code != 255 || !strings.Contains(o.errOut, "no agent is running") || !strings.Contains(o.errOut, "Permission denied") {
			t.Error(o)
		}
	})
}

// count is how many requests with a token there were.
func (c *cue) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// TestMccliCommand holds the command line of mccli and what it prints.
func TestMccliCommand(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	mccli := cl.path("mccli")
	if err := os.Symlink(cl.bin, mccli); err != nil {
		t.Fatal(err)
	}
	short, long := c.tokenOf("ada", 700), c.tokenOf("ada", 1500)
	run := func(token string, args ...string) outcome { return j.run(cl.command(token, mccli, args...)) }
	at := []string{"--mc-endpoint", c.srv.URL, "--ca-file", c.ca}
	ends(t, run(short, append(at, "ssh", "login", "id -un; exit 5")...), 5, "ada\n")
	ends(t, run(short, append(append([]string{"ssh", "login"}, at...), "id -un; exit 5")...), 5, "ada\n")
	ends(t, run(short, append(append([]string{"ssh"}, at...), "login", "echo", "--token", "x")...), 0, "--token x\n")
	ends(t, run(short, append(append([]string{"ssh"}, at...), "--dry-run", "login", "id -un")...), 0,
		fmt.Sprintf("SSHPASS='%s' sshpass -P 'Access Token' -e ssh -l ada login 'id -un'\n", short))
	o := run(long, append(append([]string{"ssh"}, at...), "--dry-run", "login")...)
	if want := "sshpass -P 'Access Token' -e ssh -l ada login\n"; o.code != 0 || !strings.HasSuffix(o.out, want) ||
		strings.Contains(o.out, long) {
		t.Error(o)
	}
	o = run("eyJhbGciOiJub25lIn0.e30.x", append(append([]string{"ssh"}, at...), "login", "x")...)
	if o.code != 1 || !strings.Contains(o.errOut, "error: Failed on get_status: [HTTP 401] ") ||
		!strings.Contains(o.errOut, "error: Failed to get ssh username\n") {
		t.Error(o)
	}
	if o := run(short, "ssh", "--token", "a", "--oidc", "b", "login"); o.code != 2 {
		t.Error(o)
	}
	o = run(short, append(append([]string{"info"}, at...), "login")...)
	for _, want := range []string{
		"Information about service", "supported_OPs", "Your account on service is deployed.\nLocal username: ada",
		"Information stored inside the provided Access Token", "Token valid for ",
	} {
		if o.code != 0 || !strings.Contains(o.out, want) {
			t.Errorf("no %q in %v", want, o)
		}
	}
	if o := run("", "info"); o.code != 1 || !strings.Contains(o.errOut, "error: No information available: ") {
		t.Error(o)
	}
}

// TestForwardedAgent: on the host, oidc-token works through the forwarded socket, and from there a second hop does.
func TestForwardedAgent(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	c.info["supported_OPs"] = []string{j.op.URL}
	c.info["ops_info"] = map[string]any{j.op.URL: map[string]any{"scopes": []string{"openid", "profile"}, "audience": ""}}
	c.anybody = "ada"
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	cl.agent("hop")
	// Sockets are trusted where nobody else can replace them: /tmp as it is on every machine.
	j.Run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
	ca, err := os.ReadFile(c.ca)
	if err != nil {
		t.Fatal(err)
	}
	j.Write("/srv/ca.pem", string(ca), 0o644)

	words := cl.wrapped("ssh", "--oidc", "hop", "--forward-agent", "login")
	o := cl.run("", append(words, program+" token hop | cut -c1-3; echo $OIDC_SOCK | cut -d- -f1-2; stat -c %a $OIDC_SOCK")...)
	ends(t, o, 0, "eyJ\n/tmp/oidc-agent\n600\n")
	second := fmt.Sprintf("%s ssh --mc-endpoint %s --ca-file /srv/ca.pem --oidc hop -p %d 127.0.0.1 'id -un; exit 7'", program, c.srv.URL, s.Port)
	ends(t, cl.run("", append(words, second)...), 7, "ada\n")
	// Nobody's agent goes to a host unasked.
	o = cl.run("", append(cl.wrapped("ssh", "--oidc", "hop", "login"), "echo x$OIDC_SOCK; ls /tmp | grep -c oidc-agent-")...)
	if !strings.HasPrefix(o.out, "x\n") {
		t.Error(o)
	}
}

// agent starts one with a login of that name, which the provider has given a refresh token for.
func (cl *client) agent(name string) {
	cl.j.t.Helper()
	tokens := cl.j.op.Tokens("alice", "openid profile email offline_access")
	sock := cl.path("run/agent.sock")
	cl.write("passphrase", "correct horse battery staple\n")
	cmd := cl.command("", cl.bin, "agent", "--console", "--socket-path", sock, "--passphrase-file", cl.path("passphrase"))
	log, err := os.Create(cl.path("agent.log"))
	if err != nil {
		cl.j.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cl.j.t.Fatal(err)
	}
	cl.j.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	cl.j.await("an agent", func() bool { _, err := os.Stat(sock); return err == nil })
	cl.env = []string{"OIDC_SOCK=" + sock}
	cl.write("secret", "web-secret\n")
	cl.write("rt", tokens.Refresh.Expose()+"\n")
	gen := cl.command("", cl.bin, "gen", name, "--issuer", cl.j.op.URL, "--client-id", "web", "--client-secret-file", "secret",
		"--flow", "refresh", "--rt-file", "rt", "--scope", "openid profile email offline_access", "--prompt", "none")
	if o := cl.j.run(gen); o.code != 0 {
		cl.j.t.Fatal(o)
	}
}
