package sshapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/secret"
)

// TestEnumeration: an unknown user name and a wrong key look alike, and are looked up alike.
func TestEnumeration(t *testing.T) {
	var asked counter
	b := newBed(t, func(o *sshapi.Options) { asked.Keys = o.Keys; o.Keys = &asked })
	key, other := newSigner(t), newSigner(t)
	who := b.login()
	user := b.add(who, key, mytoken.SSHKeyRequest{})
	unknown := strings.Repeat("a", len(user))
	var texts []string
	for name, c := range map[string]struct {
		user string
		key  ssh.Signer
	}{"wrong_key": {user, other}, "unknown_user": {unknown, key}, "both": {unknown, other}} {
		before := asked.count()
		_, err := b.dial(c.user, c.key)
		if err == nil {
			t.Fatalf("%s: let in", name)
		}
		texts = append(texts, err.Error())
		if n := asked.count() - before; n != 1 {
			t.Errorf("%s: looked up %d times", name, n)
		}
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("answers differ: %q", texts)
	}
	if strings.Contains(b.log.String(), user) || strings.Contains(b.log.String(), unknown) {
		t.Error("a user name is in the log")
	}
	t.Run("switched_off", func(t *testing.T) {
		_, err := b.desk.SetGrant(context.Background(), who, mytoken.GrantSSH, false)
		must(t, err)
		if _, err := b.dial(user, key); err == nil || err.Error() != texts[0] {
			t.Errorf("%v", err)
		}
	})
	t.Run("never_looked_up", func(t *testing.T) {
		before := asked.count()
		for _, user := range []string{"", "root", strings.Repeat("x", 65), strings.Repeat("x", 1<<16)} {
			if _, err := b.dial(user, key); err == nil {
				t.Errorf("%d characters: let in", len(user))
			}
		}
		if asked.count() != before {
			t.Error("it was looked up")
		}
	})
}

// counter counts questions.
type counter struct {
	sshapi.Keys
	mu sync.Mutex
	n  int
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) SSHKnown(ctx context.Context, user secret.Text, fingerprint string) (bool, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Keys.SSHKnown(ctx, user, fingerprint)
}

func TestOnlyKeys(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	ca := newSigner(t)
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{user}, ValidBefore: ssh.CertTimeInfinity,
	}
	must(t, cert.SignCert(rand.Reader, ca))
	certified, err := ssh.NewCertSigner(cert, key)
	must(t, err)
	for name, method := range map[string]ssh.AuthMethod{
		"password":    ssh.Password("x"),
		"interactive": ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return nil, nil }),
		"certificate": ssh.PublicKeys(certified),
	} {
		_, err := ssh.Dial("tcp", b.addr, &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{method}, HostKeyCallback: ssh.FixedHostKey(b.host), Timeout: 20 * time.Second,
		})
		if err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// TestNothingElse: what ssh can do beside one command is refused, and the command works all the same.
func TestNothingElse(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	c, err := b.dial(b.add(b.login(), key, mytoken.SSHKeyRequest{}), key)
	must(t, err)
	defer c.Close()
	for _, kind := range []string{"direct-tcpip", "x11", "direct-streamlocal@openssh.com", "", "session\x00"} {
		if _, _, err := c.OpenChannel(kind, []byte("anything")); err == nil {
			t.Errorf("channel %q was opened", kind)
		}
	}
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "weird"} {
		if ok, _, err := c.SendRequest(kind, true, []byte("x")); ok || err != nil {
			t.Errorf("request %q: %v %v", kind, ok, err)
		}
	}
	s, err := c.NewSession()
	must(t, err)
	for _, kind := range []string{"pty-req", "x11-req", "auth-agent-req@openssh.com", "subsystem", "signal", "env"} {
		if ok, err := s.SendRequest(kind, true, ssh.Marshal(struct{ A, B string }{"LD_PRELOAD", "/x"})); ok || err != nil {
			t.Errorf("request %q: %v %v", kind, ok, err)
		}
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("a second session was opened")
	}
	out, err := s.Output("AT")
	if err != nil || !strings.HasPrefix(string(out), "access-") {
		t.Errorf("%q %v", out, err)
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("a session after the command")
	}
}

func TestTooLarge(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	if o := b.run(user, key, "AT application/json {\"scope\":\""+strings.Repeat("x", 70_000)+"\"}"); o.status != 2 ||
		!strings.Contains(o.errOut, "longer than") || len(o.errOut) > 1000 {
		t.Errorf("%.300q", o.errOut)
	}
	c, err := b.dial(user, key)
	must(t, err)
	defer c.Close()
	s, err := c.NewSession()
	must(t, err)
	for range 200 { // a flood of variables ends the connection
		if err := s.Setenv("A", "B"); err != nil && !strings.Contains(err.Error(), "failed") {
			return
		}
	}
	t.Error("200 variables were read")
}

// TestHugePacket: a packet that says it is larger than any, before anybody has proved anything.
func TestHugePacket(t *testing.T) {
	b := newBed(t)
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "SSH-2.0-x\r\n")
	must(t, err)
	_, _ = c.Write(bytes.Repeat([]byte{0xff}, 64<<10))
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection stays open")
	}
}

// TestSilent: strangers that say nothing, as many as they like, take room that is bounded, and not for long.
func TestSilent(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) {
		o.Limits = sshapi.Limits{Connections: 40, PerAddress: 30, Handshake: 2 * time.Second}
	})
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range 1000 {
		c, err := net.Dial("tcp", b.addr)
		must(t, err)
		conns = append(conns, c)
	}
	for _, c := range conns { // each is closed by the server
		must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("a silent connection stays open")
		}
	}
	if o := b.run(user, key, "AT"); o.status != 0 {
		t.Errorf("nobody is served afterwards: %+v", o)
	}
}

// TestIdle: who has come in and asks for nothing goes.
func TestIdle(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) { o.Limits.Idle = 300 * time.Millisecond })
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	for name, prepare := range map[string]func(*ssh.Client){
		"no_session": func(*ssh.Client) {},
		"no_command": func(c *ssh.Client) { _, err := c.NewSession(); must(t, err) },
	} {
		c, err := b.dial(user, key)
		must(t, err)
		prepare(c)
		over := make(chan struct{})
		go func() { _ = c.Wait(); close(over) }()
		select {
		case <-over:
		case <-time.After(30 * time.Second):
			t.Errorf("%s: the connection stays open", name)
		}
		_ = c.Close()
	}
}

// TestGuessing: after some wrong keys an address is cut off at the first one; a right one still comes in.
func TestGuessing(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) { o.Limits.Refused = 4 })
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	for range 6 {
		if _, err := b.dial(strings.Repeat("q", 24), key); err == nil {
			t.Fatal("let in")
		}
	}
	if _, err := b.dial(strings.Repeat("q", 24), key); err == nil || strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("still listened to: %v", err)
	}
	if o := b.run(user, key, "AT"); o.status != 0 {
		t.Errorf("%+v", o)
	}
}

// TestStop: when the server ends, a command under way comes to its end, and an idle connection does not delay it.
func TestStop(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	wait := make(chan struct{})
	b.op.set(func(o *op) { o.wait = wait })
	idle, err := b.dial(user, key)
	must(t, err)
	defer idle.Close()
	c, err := b.dial(user, key)
	must(t, err)
	defer c.Close()
	s, err := c.NewSession()
	must(t, err)
	var out bytes.Buffer
	s.Stdout = &out
	must(t, s.Start("AT"))
	for calls := 0; calls == 0; time.Sleep(5 * time.Millisecond) {
		b.op.set(func(o *op) { calls = o.calls })
	}
	ended := make(chan struct{})
	go func() { b.end(); close(ended) }()
	for { // nobody new is let in
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			break
		}
		_ = c.Close()
		time.Sleep(5 * time.Millisecond)
	}
	close(wait)
	if err := s.Wait(); err != nil || !strings.HasPrefix(out.String(), "access-") {
		t.Errorf("%v %q", err, out.String())
	}
	<-ended
}

// TestPanic: what breaks off in the API is one command's misfortune.
func TestPanic(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) {
		o.API = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	for range 2 {
		if o := b.run(user, key, "AT"); o.status != 5 || o.out != "" || o.errOut != "internal_server_error\n" {
			t.Errorf("%+v", o)
		}
	}
}

// TestSlowAPI: a command ends with its time, whatever the provider does.
func TestSlowAPI(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) { o.Limits.Total = time.Second })
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	wait := make(chan struct{})
	defer close(wait)
	b.op.set(func(o *op) { o.wait = wait })
	c, err := b.dial(user, key)
	must(t, err)
	defer c.Close()
	s, err := c.NewSession()
	must(t, err)
	if out, err := s.Output("AT"); err == nil || len(out) > 0 {
		t.Errorf("%q %v", out, err)
	}
}

func TestProxy(t *testing.T) {
	b := newBed(t, func(o *sshapi.Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{Capabilities: all()})
	through := func(header string) (string, error) {
		raw, err := net.Dial("tcp", b.addr)
		must(t, err)
		defer raw.Close()
		_, err = io.WriteString(raw, header)
		must(t, err)
		conn, channels, requests, err := ssh.NewClientConn(raw, b.addr, &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(b.host),
		})
		if err != nil {
			return "", err
		}
		c := ssh.NewClient(conn, channels, requests)
		defer c.Close()
		s, err := c.NewSession()
		must(t, err)
		out, err := s.Output("AT")
		must(t, err)
		_ = out
		token := b.tokenOf()
		events, err := b.ledger.Events(context.Background(), token, 1)
		must(t, err)
		return events[0].IP, nil
	}
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x30\x39\x00\x16"
	for header, want := range map[string]string{
		"PROXY TCP4 198.51.100.7 192.0.2.1 12345 22\r\n":  "198.51.100.7",
		"PROXY TCP6 2001:db8::7 2001:db8::1 12345 22\r\n": "2001:db8::7",
		"PROXY UNKNOWN\r\n": "127.0.0.1",
		v2:                  "198.51.100.7",
	} {
		if got, err := through(header); err != nil || got != want {
			t.Errorf("%q: %q %v", header, got, err)
		}
	}
	for _, header := range []string{"", "PROXY TCP4 x y 1 2\r\n", "SSH-2.0-x\r\n", "PROXY TCP4 " + strings.Repeat("1", 200)} {
		if got, err := through(header); err == nil {
			t.Errorf("%q: let in as %s", header, got)
		}
	}
	t.Run("of_a_stranger", func(t *testing.T) {
		b := newBed(t, func(o *sshapi.Options) { o.Limits.Handshake = time.Second })
		raw, err := net.Dial("tcp", b.addr)
		must(t, err)
		defer raw.Close()
		_, err = io.WriteString(raw, "PROXY TCP4 198.51.100.7 192.0.2.1 12345 22\r\n")
		must(t, err)
		must(t, raw.SetReadDeadline(time.Now().Add(30*time.Second)))
		answer, _ := io.ReadAll(raw)
		if strings.Count(string(answer), "\n") > 1 {
			t.Errorf("%q", answer)
		}
	})
}

// tokenOf is the mom_id of the one mytoken of an ssh key.
func (b *bed) tokenOf() string {
	b.t.Helper()
	list, err := b.ledger.List(context.Background(), b.person())
	must(b.t, err)
	for _, e := range list {
		if strings.HasPrefix(e.Name, "mytoken for ssh-grant: ") {
			return e.MOMID
		}
	}
	b.t.Fatal("there is no mytoken of a key")
	return ""
}

func (b *bed) person() string {
	b.op.mu.Lock()
	defer b.op.mu.Unlock()
	return ledgerUser(b.op.subject)
}

var _ sshapi.Keys = (*desk.SSHKeys)(nil)
