package services

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const smtpStart = 30 * time.Second // for two busy cores; a tenth of a second is usual

// SMTPServer is a running exim with a configuration of its own, which keeps every mail it takes. It refuses recipients
// called "refused" for good and those called "later" for now.
type SMTPServer struct {
	Port      int // STARTTLS, then AUTH PLAIN or LOGIN
	TLSPort   int // the same behind TLS
	PlainPort int // neither encryption nor login
	LoginPort int // as Port, with LOGIN alone
	CAFile    string
	User      string
	Password  string

	tb   testing.TB
	dir  string
	stop func()
}

// SMTP starts a mail server on free loopback ports until the test ends. As root it runs as the user that Debian's
// package makes.
func SMTP(tb testing.TB) *SMTPServer {
	tb.Helper()
	Need(tb, "exim4")
	dir, err := os.MkdirTemp("", "exim") // above tb.TempDir there is a directory that only root enters
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	tls := Certificates(tb)
	s := &SMTPServer{
		CAFile: filepath.Join(tls, "ca.pem"), User: "mytoken", Password: "kept in a file", tb: tb, dir: dir,
	}
	for _, name := range []string{"server.pem", "server.key"} {
		b, err := os.ReadFile(filepath.Join(tls, name))
		s.check(err)
		s.check(os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	for range opTries { // somebody may take a port between our asking and its binding
		s.Port, s.TLSPort, s.PlainPort, s.LoginPort = freePort(tb), freePort(tb), freePort(tb), freePort(tb)
		s.configure()
		if err = s.start(); err == nil {
			tb.Cleanup(func() { s.Stop() })
			return s
		}
	}
	tb.Fatalf("start exim: %v\n%s", err, s.Log())
	return nil
}

// smtpConfig has the directory, the four ports in the order of SMTPServer, user and group, user name and password.
const smtpConfig = `primary_hostname = localhost
exim_user = %[6]s
exim_group = %[7]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%slog
pid_file_path = %[1]s/pid
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[2]d : %[3]d : %[4]d : %[5]d
tls_on_connect_ports = %[3]d
tls_advertise_hosts = ${if eq{$received_port}{%[4]d}{}{*}}
tls_certificate = %[1]s/server.pem
tls_privatekey = %[1]s/server.key
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = recipient
acl_smtp_data = accept
host_lookup =
rfc1413_hosts =
smtp_accept_max_per_connection = 1000
smtp_accept_queue_per_connection = 0
smtp_accept_max = 50
message_size_limit = 1M
never_users =
begin acl
recipient:
  deny local_parts = refused
  defer local_parts = later
  accept authenticated = *
  accept condition = ${if eq{$received_port}{%[4]d}}
  deny
begin routers
kept:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  maildir_format
  directory = %[1]s/mail
  create_directory
  envelope_to_add
  return_path_add
  user = %[6]s
  group = %[7]s
  mode = 0644
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{%[8]s}}{eq{$auth3}{%[9]s}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if eq{$received_port}{%[5]d}{no}{yes}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{%[8]s}}{eq{$auth2}{%[9]s}}}}
  server_set_id = $auth1
`

func (s *SMTPServer) configure() {
	s.tb.Helper()
	user, group := fmt.Sprint(os.Geteuid()), fmt.Sprint(os.Getegid())
	if os.Geteuid() == 0 {
		user, group = "Debian-exim", "Debian-exim"
		out, err := exec.Command("chown", user+":"+group, s.dir).CombinedOutput()
		if err != nil {
			s.tb.Fatalf("%v\n%s", err, out)
		}
	}
	s.check(os.Chmod(s.dir, 0o755))
	conf := fmt.Sprintf(smtpConfig, s.dir, s.Port, s.TLSPort, s.PlainPort, s.LoginPort, user, group, s.User, s.Password)
	s.check(os.WriteFile(filepath.Join(s.dir, "exim.conf"), []byte(conf), 0o600))
	s.check(os.Chmod(filepath.Join(s.dir, "exim.conf"), 0o644))
}

func (s *SMTPServer) start() error {
	s.tb.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "out.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	s.check(err)
	defer log.Close()
	cmd := exec.Command("exim4", "-C", filepath.Join(s.dir, "exim.conf"), "-bdf")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "TMPDIR=" + s.dir, "HOME=" + s.dir}
	s.check(cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(smtpStart):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	for deadline := time.Now().Add(smtpStart); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-done:
			return errors.New("it ended at once")
		default:
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.LoginPort)); err == nil {
			c.Close()
			return nil
		}
	}
	s.stop()
	return errors.New("it does not listen")
}

// Stop ends the server. It may be called again.
func (s *SMTPServer) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Start starts the stopped server on its ports again.
func (s *SMTPServer) Start() {
	s.tb.Helper()
	if err := s.start(); err != nil {
		s.tb.Fatalf("start exim again: %v\n%s", err, s.Log())
	}
}

// Mails returns what was delivered so far, as it arrived, with a Return-path and an Envelope-to header on top. The order
// is that of arrival, to the second.
func (s *SMTPServer) Mails() (all [][]byte) {
	s.tb.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "mail", "new", "*"))
	s.check(err)
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		s.check(err)
		all = append(all, b)
	}
	return all
}

// WaitMails returns the mails once there are at least n, and fails the test when there are not soon.
func (s *SMTPServer) WaitMails(n int) [][]byte {
	s.tb.Helper()
	for deadline := time.Now().Add(smtpStart); ; time.Sleep(20 * time.Millisecond) {
		all := s.Mails()
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("%d mails arrived, not %d\n%s", len(all), n, s.Log())
		}
	}
}

// Settled waits until the server has delivered all that it took.
func (s *SMTPServer) Settled() {
	s.tb.Helper()
	for deadline := time.Now().Add(smtpStart); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(s.dir, "spool", "input", "*"))
		s.check(err)
		if len(left) == 0 {
			return
		}
	}
	s.tb.Fatalf("mails stay in the queue\n%s", s.Log())
}

// Log is what it has said.
func (s *SMTPServer) Log() string {
	var b bytes.Buffer
	for _, name := range []string{"out.log", "mainlog", "paniclog", "rejectlog"} {
		text, _ := os.ReadFile(filepath.Join(s.dir, name))
		b.Write(text)
	}
	return strings.TrimSpace(b.String())
}

func (s *SMTPServer) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}
