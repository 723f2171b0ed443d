package services

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SSHDOptions say how an sshd is set up.
type SSHDOptions struct {
	PAM    string // text of /etc/pam.d/sshd, "" to leave it as it is
	Config string // lines of sshd_config that win over the usual ones here
	Port   int    // 0 is a free one
}

// SSHD is a real OpenSSH server in a Host.
type SSHD struct {
	Port       int
	KnownHosts string // file with its host key
	HostKey    string // the public key, "ssh-ed25519 AAAA..."

	h   *Host
	cmd *exec.Cmd
	log string
}

// sshdConfig allows all that a test may want; a method is chosen by its client, or forbidden by SSHDOptions.Config.
const sshdConfig = `UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication yes
PubkeyAuthentication yes
PermitRootLogin no
StrictModes no
UseDNS no
PrintMotd no
LoginGraceTime 60
LogLevel VERBOSE
AcceptEnv LANG OIDC_SOCK
StreamLocalBindUnlink yes
Subsystem sftp internal-sftp
PidFile none
`

// StartSSHD starts an sshd on a loopback port until the test ends. Its configuration is /etc/ssh/sshd_config of the
// host, its key /etc/ssh/ssh_host_ed25519_key. A host may have several, which share key and PAM service.
func (h *Host) StartSSHD(o SSHDOptions) *SSHD {
	h.tb.Helper()
	Need(h.tb, "sshd", "ssh", "ssh-keygen")
	key := "/etc/ssh/ssh_host_ed25519_key"
	if h.Read(key) == "" {
		h.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
	}
	if o.PAM != "" {
		h.Write("/etc/pam.d/sshd", o.PAM, 0o644)
	}
	s := &SSHD{Port: o.Port, h: h, HostKey: strings.TrimSpace(h.Read(key + ".pub"))}
	for range opTries { // somebody may take the port between our asking and its binding
		if o.Port == 0 {
			s.Port = freePort(h.tb)
		}
		s.log = filepath.Join(h.dir, fmt.Sprintf("sshd-%d.log", s.Port))
		config := fmt.Sprintf("/etc/ssh/sshd_config.%d", s.Port)
		text := o.Config + "\n" + fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\n", s.Port, key) + sshdConfig
		h.Write(config, text, 0o644)
		h.Write("/etc/ssh/sshd_config", text, 0o644)
		if s.start(config) {
			h.tb.Cleanup(s.report)
			s.KnownHosts = filepath.Join(h.dir, fmt.Sprintf("known_hosts-%d", s.Port))
			h.check(os.WriteFile(s.KnownHosts, fmt.Appendf(nil, "[127.0.0.1]:%d %s\n", s.Port, s.HostKey), 0o644))
			return s
		}
	}
	h.tb.Fatalf("sshd does not start:\n%s", s.Log())
	return nil
}

// start is false when sshd ended, or does not listen.
func (s *SSHD) start(config string) bool {
	s.h.tb.Helper()
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	s.h.check(err)
	defer f.Close()
	s.cmd = s.h.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	s.cmd.Stdout, s.cmd.Stderr = f, f
	s.h.check(s.cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(ended)
	}()
	s.h.tb.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(xrootdStart); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if strings.Contains(s.Log(), "Server listening on") {
			return true
		}
	}
	return false
}

func (s *SSHD) report() {
	if log := s.Log(); s.h.tb.Failed() {
		s.h.tb.Logf("sshd said:\n%s", log[max(0, len(log)-6000):])
	}
}

// Addr is "127.0.0.1:PORT".
func (s *SSHD) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Log is what it has said.
func (s *SSHD) Log() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// SSHLogin is how a stock client logs in.
type SSHLogin struct {
	User    string
	Answers []string // to prompts of keyboard-interactive or password, in their order; more prompts than these are cancelled
	Key     string   // file of a private key, "" for none
	Methods string   // PreferredAuthentications, "" for keyboard-interactive
	Options []string // more options, each a word of its own
	Command []string // remote command
	Runtime string   // for tests of the client: directory that gets what was asked, "" to forget it
}

// Client is the stock ssh client, which runs outside of the host as whoever the test is. It reads no configuration and
// trusts the server's key.
func (s *SSHD) Client(l SSHLogin) *exec.Cmd {
	s.h.tb.Helper()
	dir := l.Runtime
	if dir == "" {
		dir = s.h.tb.TempDir()
	}
	askpass := filepath.Join(dir, "askpass")
	// What it is asked is a line of "asked"; as many lines as there are by now say which answer is next.
	s.h.check(os.WriteFile(askpass, []byte(`#!/bin/sh
cd "${0%/*}" || exit 1
printf '%s\n' "$1" | tr '\n' ' ' >>asked
echo >>asked
n=$(wc -l <asked)
[ "$n" -le "$(wc -l <answers)" ] || exit 1
sed -n "${n}p" answers
`), 0o700))
	answers := ""
	for _, a := range l.Answers {
		answers += a + "\n"
	}
	s.h.check(os.WriteFile(filepath.Join(dir, "answers"), []byte(answers), 0o600))
	if l.Methods == "" {
		l.Methods = "keyboard-interactive"
	}
	args := []string{
		"-F", "none", "-T", "-p", strconv.Itoa(s.Port), "-l", l.User,
		"-o", "UserKnownHostsFile=" + s.KnownHosts, "-o", "StrictHostKeyChecking=yes", "-o", "NumberOfPasswordPrompts=1",
		"-o", "PreferredAuthentications=" + l.Methods, "-o", "IdentitiesOnly=yes", "-o", "LogLevel=INFO",
	}
	if l.Key != "" {
		args = append(args, "-i", l.Key)
	}
	args = append(append(args, l.Options...), "127.0.0.1")
	cmd := exec.Command("ssh", append(args, l.Command...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SSH_ASKPASS=" + askpass, "SSH_ASKPASS_REQUIRE=force",
	}
	return cmd
}

// SSHKey makes a key pair and returns the file of the private key and the line for authorized_keys.
func SSHKey(tb testing.TB) (file, public string) {
	tb.Helper()
	Need(tb, "ssh-keygen")
	file = filepath.Join(tb.TempDir(), "id")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file).CombinedOutput(); err != nil {
		tb.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		tb.Fatal(err)
	}
	return file, strings.TrimSpace(string(b))
}
