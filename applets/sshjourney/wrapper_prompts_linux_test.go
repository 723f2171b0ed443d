package sshjourney

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestWrapperOtherQuestions: only the question for the token is answered; a second factor is asked of the person, by a
// program of their own or at the terminal.
func TestWrapperOtherQuestions(t *testing.T) {
	services.Need(t, "oathtool")
	j := newJourney(t)
	c := newCue(j)
	j.AddUser("ada", "", "--comment", identity(t, "ada"))
	seed := hex.EncodeToString([]byte("twenty bytes of seed"))
	j.Write("/etc/users.oath", "HOTP ada - "+seed+"\n", 0o600)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenAndOATH)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	token := c.tokenOf("ada", 900)
	code := func(n string) string {
		out, err := exec.Command("oathtool", "--counter", n, seed).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	t.Run("by_a_program_of_their_own", func(t *testing.T) {
		cl := c.client(s)
		own := cl.write("own", "#!/bin/sh\nprintf '%s\\n' \"$1\" >>"+cl.path("asked")+"\necho "+code("0")+"\n")
		cl.env = []string{"SSH_ASKPASS=" + own, "SSH_ASKPASS_REQUIRE=force"}
		ends(t, cl.run(token, cl.wrapped("ssh", "login", "id -un")...), 0, "ada\n")
		asked, err := os.ReadFile(cl.path("asked"))
		if err != nil || strings.Count(string(asked), "\n") != 1 || !strings.Contains(string(asked), "OATH") {
			t.Errorf("asked %q, %v", asked, err)
		}
	})
	t.Run("at_the_terminal", func(t *testing.T) {
		cl := c.client(s)
		seen, exit := atTerminal(t, cl.command(token, cl.bin, cl.wrapped("ssh", "-T", "login", "id -un; exit 5")...), "OATH", code("1"))
		if exit != 5 || !strings.Contains(seen, "ada\r\n") || strings.Contains(seen, code("1")) || strings.Contains(seen, "Password") {
			t.Errorf("exit code %d:\n%s", exit, seen)
		}
	})
	t.Run("nobody_there", func(t *testing.T) {
		if o := c.client(s).run(token, c.client(s).wrapped("ssh", "login", "id -un")...); o.code != 255 {
			t.Error(o)
		}
	})
}

// atTerminal runs a command at a terminal of its own, where somebody types an answer to one question.
func atTerminal(t *testing.T, cmd *exec.Cmd, question, answer string) (seen string, exit int) {
	t.Helper()
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var all strings.Builder
	buf := make([]byte, 4096)
	for answered := false; err == nil; {
		var n int
		n, err = tty.Read(buf)
		all.Write(buf[:n])
		if !answered && strings.Contains(all.String(), question) {
			answered = true
			fmt.Fprint(tty, answer+"\r")
		}
	}
	_ = cmd.Wait()
	return all.String(), cmd.ProcessState.ExitCode()
}

// TestWrapperKeyAndToken: a host that wants a key and the token gets both.
func TestWrapperKeyAndToken(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{
		PAM: stack(stackTokenOnly), Config: "AuthenticationMethods publickey,keyboard-interactive",
	})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	j.AddUser("ada", "", "--comment", identity(t, "ada"))
	cl := c.client(s)
	key := j.keyFor("ada")
	ends(t, cl.run(c.tokenOf("ada", 900), cl.wrapped("ssh", "-i", key, "login", "id -un")...), 0, "ada\n")
	if o := cl.run(c.tokenOf("ada", 900), cl.wrapped("ssh", "login", "id -un")...); o.code != 255 {
		t.Error(o)
	}
}

// TestWrapperAtTerminal: at a terminal, a question about a host key is put there, and the token's is not.
func TestWrapperAtTerminal(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	cl := c.client(s)
	cmd := cl.command(c.tokenOf("ada", 1500), cl.bin, cl.wrapped("ssh", "-T", "login", "id -un; exit 5")...)
	seen, exit := atTerminal(t, cmd, "(yes/no/[fingerprint])? ", "yes")
	if exit != 5 || !strings.Contains(seen, "ada\r\n") || !strings.Contains(seen, "ED25519 key fingerprint") || strings.Contains(seen, "Password") {
		t.Errorf("exit code %d:\n%s", exit, seen)
	}
}

// TestWrapperJump: a host on the way asks for a secret in the same words, and does not get it.
func TestWrapperJump(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	token := c.tokenOf("ada", 900)
	ends(t, cl.run(token, cl.wrapped("ssh", "login", "id -un")...), 0, "ada\n")
	cl.config(fmt.Sprintf("Host far\n  HostName 127.0.0.1\n  HostKeyAlias far\n  Port %d\n  ProxyJump ada@login\n", s.Port))
	cl.write("home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\nfar %s\n", s.Port, s.HostKey, s.HostKey))
	c.mu.Lock()
	before := len(c.calls)
	c.mu.Unlock()
	o := cl.run(token, cl.wrapped("ssh", "far", "id -un")...)
	if o.code != 255 || o.out != "" {
		t.Error(o)
	}
	if strings.Contains(s.Log()[strings.LastIndex(s.Log(), "Connection from"):], "Accepted") {
		t.Error("the host on the way was given the secret")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == before {
		t.Error("nothing was asked for at all")
	}
}

// TestWrapperOldSSH: releases before 8.4 use an askpass program only without a terminal, and those before 8.5 name
// nobody in their prompts and take no command for host keys. The ssh here says that it is one.
func TestWrapperOldSSH(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	dir := cl.sshPath()
	real, err := os.ReadFile(dir + "/ssh")
	if err != nil {
		t.Fatal(err)
	}
	cl.write("bin/ssh", "#!/bin/sh\n[ \"$*\" != -V ] || { echo OpenSSH_8.0p1, OpenSSL >&2; exit 0; }\n"+
		strings.Replace(strings.TrimPrefix(string(real), "#!/bin/sh\n"), "exec ", "exec env -u SSH_ASKPASS_REQUIRE ", 1))
	token := c.tokenOf("ada", 1500)
	if o := cl.run(token, cl.wrapped("ssh", "-o", "StrictHostKeyChecking=yes", "login", "id -un")...); o.code != 255 {
		t.Errorf("a key of the service was used: %v", o)
	}
	cl.write("home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", s.Port, s.HostKey))
	seen, exit := atTerminal(t, cl.command(token, cl.bin, cl.wrapped("ssh", "-T", "login", "id -un; exit 5")...), "nothing is asked", "")
	if exit != 5 || !strings.Contains(seen, "ada") {
		t.Errorf("exit code %d:\n%s", exit, seen)
	}
}
