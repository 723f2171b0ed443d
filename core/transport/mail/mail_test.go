package mail

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func address(t testing.TB, s string) Address {
	t.Helper()
	a, err := ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func roots(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatal("no certificate")
	}
	return pool
}

func message(t *testing.T, to string) Message {
	return Message{
		ID: "17.abc@mytoken.example.org", Date: time.Unix(1700000000, 0).UTC(), To: address(t, to),
		Subject: "Mytoken \"Jürgens Läufe\" expires", Text: "Grüße.\n.\nFrom here on\n",
		HTML: "<p>Grüße.</p>", Unsubscribe: "https://mytoken.example.org/actions?action=a&code=b",
	}
}

func configOf(t *testing.T, s *services.SMTPServer) Config {
	return Config{
		Host: "localhost", Port: s.Port, Roots: roots(t, s.CAFile), User: s.User,
		Password: secret.FromString(s.Password), From: address(t, "mytoken@example.org"), FromName: "mytoken",
	}
}

func send(t *testing.T, c Config, m ...Message) error {
	t.Helper()
	mailer, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mailer.Open(t.Context())
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, one := range m {
		err = errors.Join(err, s.Send(t.Context(), one))
	}
	return err
}

func TestServer(t *testing.T) {
	server := services.SMTP(t)
	ok := message(t, "alice@example.net")
	arrives := func(t *testing.T, c Config) {
		t.Helper()
		before := len(server.Mails())
		if err := send(t, c, ok); err != nil {
			t.Fatalf("%v\n%s", err, server.Log())
		}
		server.WaitMails(before + 1)
	}
	t.Run("starttls_and_plain", func(t *testing.T) { arrives(t, configOf(t, server)) })
	t.Run("what_arrives_is_what_was_sent", func(t *testing.T) { arrived(t, server.Mails()[0]) })
	t.Run("login", func(t *testing.T) {
		c := configOf(t, server)
		c.Port = server.LoginPort
		arrives(t, c)
	})
	t.Run("tls_from_the_start", func(t *testing.T) {
		c := configOf(t, server)
		c.Port, c.Security = server.TLSPort, TLS
		arrives(t, c)
	})
	t.Run("no_encryption_on_loopback", func(t *testing.T) {
		c := configOf(t, server)
		c.Port, c.Security, c.User, c.Password = server.PlainPort, Loopback, "", secret.Text{}
		arrives(t, c)
	})
	t.Run("no_starttls_offered", func(t *testing.T) {
		c := configOf(t, server)
		c.Port = server.PlainPort
		refusedAt(t, send(t, c, ok), "connect", 0)
	})
	t.Run("unknown_authority", func(t *testing.T) {
		for _, security := range []Security{StartTLS, TLS} {
			c := configOf(t, server)
			c.Security, c.Roots = security, x509.NewCertPool()
			if security == TLS {
				c.Port = server.TLSPort
			}
			err := send(t, c, ok)
			var cert x509.UnknownAuthorityError
			if !errors.As(err, &cert) {
				t.Errorf("%s: %v", security, err)
			}
		}
	})
	t.Run("wrong_password", func(t *testing.T) {
		c := configOf(t, server)
		c.Password = secret.FromString("another")
		refusedAt(t, send(t, c, ok), "connect", 535)
	})
	t.Run("refused_recipient_does_not_keep_the_next", func(t *testing.T) {
		before := len(server.Mails())
		err := send(t, configOf(t, server), message(t, "refused@example.net"), message(t, "later@example.net"), ok)
		var all []*Error
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // of errors.Join
			var one *Error
			for _, e := range flat(e) {
				if errors.As(e, &one) {
					all = append(all, one)
				}
			}
		}
		if len(all) != 2 || !all[0].Permanent || all[0].Code != 550 || all[1].Permanent || all[1].Code != 451 {
			t.Errorf("%+v", all)
		}
		if strings.Contains(err.Error(), "example.net") {
			t.Errorf("the address is in %q", err)
		}
		server.WaitMails(before + 1)
	})
	t.Run("server_gone", func(t *testing.T) {
		server.Stop()
		refusedAt(t, send(t, configOf(t, server), ok), "connect", 0)
	})
}

func flat(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // of errors.Join
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, flat(e)...)
		}
		return all
	}
	return []error{err}
}

func refusedAt(t *testing.T, err error, stage string, code int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Stage != stage || e.Code != code || e.Permanent || e.Unknown {
		t.Errorf("%v: %+v", err, e)
	}
}

func arrived(t *testing.T, raw []byte) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Mytoken \"Jürgens Läufe\" expires" {
		t.Errorf("subject %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<17.abc@mytoken.example.org>", "Auto-Submitted": "auto-generated",
		"List-Unsubscribe":      "<https://mytoken.example.org/actions?action=a&code=b>",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "To": "<alice@example.net>",
		"From": `"mytoken" <mytoken@example.org>`, "Return-Path": "<mytoken@example.org>",
		"Envelope-To": "alice@example.net", "X-Mailer": "", "User-Agent": "",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	kind, _, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	body, _ := io.ReadAll(m.Body)
	if kind != "multipart/alternative" || !bytes.Contains(body, []byte("Gr=C3=BC=C3=9Fe")) {
		t.Errorf("%s\n%s", kind, body)
	}
}

func TestAddress(t *testing.T) {
	for _, s := range []string{
		"a@b.de", "alice.o'neil+tokens@Uni.EXAMPLE", "x@xn--bcher-kva.example", strings.Repeat("l", 64) + "@example.org",
	} {
		a := address(t, s)
		if again := address(t, a.String()); again != a {
			t.Errorf("%q becomes %q", a, again)
		}
	}
	for _, s := range []string{
		"", "@", "a@", "@b.de", "a@b", "a.@b.de", ".a@b.de", "a..b@b.de", "-froot@b.de", "a b@c.de", "a@b.de ", " a@b.de",
		"a@b.de\r\nRCPT TO:<x@y.de>", "a@b.de\nBcc: x@y.de", "a\x00@b.de", "<a@b.de>", "Alice <a@b.de>", "a@b.de,c@d.de",
		`"a b"@c.de`, `"a@b.de> ORCPT=x"@c.de`, "a(comment)@b.de", "a@[127.0.0.1]", "a@127.0.0.1", "a@b..de", "a@-b.de",
		"a@b-.de", "a@b.de.", "ä@b.de", "a@bücher.de", "a@b.de@", strings.Repeat("l", 65) + "@example.org",
		"a@" + strings.Repeat("d.", 130) + "de", "a@" + strings.Repeat("d", 64) + ".de", "a;b@c.de", `a\@c.de`, "a@c.d_e",
	} {
		if a, err := ParseAddress(s); !errors.Is(err, ErrAddress) || a != (Address{}) {
			t.Errorf("%q: %v, %v", s, a, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("alice@example.org")
	f.Add("\"a@b.de> ORCPT=x\"@c.de")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		parsed, err := mail.ParseAddress(a.String())
		if err != nil || parsed.Address != a.String() || parsed.Name != "" {
			t.Fatalf("%q is read by others as %v, %v", s, parsed, err)
		}
		if strings.ContainsAny(a.String(), " \t\r\n<>(),;:\\\"[]\x00") || len(a.String()) > maxAddress {
			t.Fatalf("%q", a)
		}
	})
}

func TestMessageRefused(t *testing.T) {
	for name, edit := range map[string]func(*Message){
		"no_recipient":           func(m *Message) { m.To = Address{} },
		"newline_in_subject":     func(m *Message) { m.Subject = "a\r\nBcc: b@c.de" },
		"other_direction":        func(m *Message) { m.Subject = "a\u202eb" },
		"line_separator":         func(m *Message) { m.Subject = "a\u2028b" },
		"long_subject":           func(m *Message) { m.Subject = strings.Repeat("a", MaxSubject+1) },
		"no_utf8":                func(m *Message) { m.Text = "\xff" },
		"zero_byte":              func(m *Message) { m.HTML = "\x00" },
		"long_text":              func(m *Message) { m.Text = strings.Repeat("a", MaxPart+1) },
		"identifier_with_header": func(m *Message) { m.ID = "a@b>\r\nX: y" },
		"unsubscribe_by_http":    func(m *Message) { m.Unsubscribe = "http://example.org/" },
		"unsubscribe_twice":      func(m *Message) { m.Unsubscribe = "https://example.org/>,<https://b.de" },
		"unsubscribe_no_url":     func(m *Message) { m.Unsubscribe = "https://example.org/\r\nX: y" },
	} {
		m := message(t, "alice@example.net")
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		edit(&m)
		if err := m.Check(); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	good := Config{Host: "mail.example.org", From: address(t, "a@example.org")}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"no_host":                func(c *Config) { c.Host = "" },
		"host_with_more":         func(c *Config) { c.Host = "a b" },
		"no_sender":              func(c *Config) { c.From = Address{} },
		"unknown_security":       func(c *Config) { c.Security = "ssl" },
		"user_without_password":  func(c *Config) { c.User = "u" },
		"password_in_clear":      func(c *Config) { c.Security, c.User, c.Password = Loopback, "u", secret.FromString("p") },
		"newline_in_name":        func(c *Config) { c.FromName = "a\nb" },
		"newline_in_hello":       func(c *Config) { c.Hello = "a\r\nb" },
		"newline_in_user":        func(c *Config) { c.User, c.Password = "u\r\n", secret.FromString("p") },
		"port_that_is_none":      func(c *Config) { c.Port = 70000 },
		"negative_port":          func(c *Config) { c.Port = -1 },
		"password_without_user_": func(c *Config) { c.Password = secret.FromString("p") },
	} {
		c := good
		edit(&c)
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// script is a mail server that answers as it is told.
func script(t *testing.T, talk func(*textproto.Conn)) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		talk(textproto.NewConn(c))
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
}

func loopbackConfig(t *testing.T, port int) Config {
	return Config{Host: "127.0.0.1", Port: port, Security: Loopback, From: address(t, "mytoken@example.org")}
}

func TestHostileServer(t *testing.T) {
	t.Run("talks_without_end", func(t *testing.T) {
		port := script(t, func(c *textproto.Conn) {
			for b := bytes.Repeat([]byte("a"), 4096); ; {
				if _, err := c.W.Write(b); err != nil {
					return
				}
			}
		})
		if err := send(t, loopbackConfig(t, port)); !errors.Is(err, ErrTooMuch) {
			t.Error(err)
		}
	})
	t.Run("says_nothing", func(t *testing.T) {
		port := script(t, func(c *textproto.Conn) { _, _ = c.ReadLine() })
		m, err := New(loopbackConfig(t, port))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := m.Open(ctx); err == nil || time.Since(began) > connectTime/2 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	t.Run("answer_to_the_message_lost", func(t *testing.T) {
		port := script(t, func(c *textproto.Conn) { taken(c, "") })
		var e *Error
		err := send(t, loopbackConfig(t, port), message(t, "alice@example.net"))
		if !errors.As(err, &e) || !e.Unknown || e.Permanent || strings.Contains(err.Error(), "alice") {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses_the_text", func(t *testing.T) {
		port := script(t, func(c *textproto.Conn) { taken(c, "554 5.7.1 alice@example.net spams") })
		var e *Error
		err := send(t, loopbackConfig(t, port), message(t, "alice@example.net"))
		if !errors.As(err, &e) || e.Unknown || !e.Permanent || e.Code != 554 || strings.Contains(err.Error(), "alice") {
			t.Errorf("%v", err)
		}
	})
	t.Run("wants_a_password_in_clear", func(t *testing.T) {
		var l login
		if _, _, err := l.Start(&smtp.ServerInfo{Auth: []string{"PLAIN", "LOGIN"}}); !errors.Is(err, ErrNoAuth) {
			t.Error(err)
		}
	})
}

// taken plays a conversation up to the end of a message, and answers that with last, or closes.
func taken(c *textproto.Conn, last string) {
	_ = c.PrintfLine("220 here")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			_ = c.PrintfLine("250-here\r\n250 ENHANCEDSTATUSCODES")
		case "DATA":
			_ = c.PrintfLine("354 go on")
			if _, err := c.ReadDotBytes(); err != nil || last == "" {
				return
			}
			_ = c.PrintfLine("%s", last)
		case "QUIT":
			_ = c.PrintfLine("221 bye")
			return
		default:
			_ = c.PrintfLine("250 ok")
		}
	}
}
