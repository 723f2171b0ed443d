package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Security is how the connection to the server is protected.
type Security string

// The ways. The zero value is StartTLS.
const (
	StartTLS Security = "starttls" // RFC 3207, and nothing is said before it but EHLO; usual on port 587
	TLS      Security = "tls"      // from the first byte; usual on port 465
	Loopback Security = "none"     // not at all, to a server on this machine
)

// Times and sizes of the conversation.
const (
	connectTime = 20 * time.Second
	sendTime    = 45 * time.Second
	quitTime    = 2 * time.Second
	// answerBytes is what a server may say, handshake and certificates included, until a session is open, and for each
	// message.
	answerBytes = 256 << 10
)

// Config says where mails go and from whom they come.
type Config struct {
	Host     string
	Port     int // 0: 587, 465 for TLS, 25 for Loopback
	Security Security
	Roots    *x509.CertPool // nil: those of the system
	User     string         // "" for no login
	Password secret.Text
	From     Address
	FromName string // shown with From, "" for none
	Hello    string // name of this machine in EHLO, "" for that of From's domain
}

// Mailer opens sessions with one mail server. It is safe for concurrent use.
type Mailer struct{ c Config }

// New returns a Mailer, or ErrConfig.
func New(c Config) (*Mailer, error) {
	refuse := func(why string) (*Mailer, error) { return nil, fmt.Errorf("%w: %s", ErrConfig, why) }
	if c.Security == "" {
		c.Security = StartTLS
	}
	if c.Port == 0 {
		c.Port = map[Security]int{StartTLS: 587, TLS: 465, Loopback: 25}[c.Security]
	}
	if c.Hello == "" {
		c.Hello = c.From.domain
	}
	switch {
	case c.Security != StartTLS && c.Security != TLS && c.Security != Loopback:
		return refuse("security is starttls, tls or none")
	case !serverName(c.Host):
		return refuse("there is no host, or its name is none")
	case c.Port < 1 || c.Port > 65535:
		return refuse("there is no such port")
	case c.From == Address{}:
		return refuse("there is no address that mails come from")
	case !plainLine(c.FromName) || len(c.FromName) > MaxSubject:
		return refuse("the name that mails come from is not one line of text")
	case !dotAtom(c.Hello):
		return refuse("the name of this machine has another form")
	case (c.User == "") != c.Password.Empty():
		return refuse("user and password go together")
	case c.User != "" && c.Security == Loopback:
		return refuse("a password is not sent without encryption")
	case !plainLine(c.User):
		return refuse("the user is not one line of text")
	}
	return &Mailer{c: c}, nil
}

func serverName(s string) bool {
	return net.ParseIP(s) != nil || s == "localhost" || domainName(s) || dotAtom(s)
}

// From is the address that mails come from.
func (m *Mailer) From() Address { return m.c.From }

// Session is a connection to the server, logged in where that was asked for. It is for one goroutine.
type Session struct {
	m      *Mailer
	client *gomail.Client
	smtp   *smtp.Client
	conn   *conn
}

// Open connects, encrypts and logs in, within 20 s. Nothing is kept when it fails. Errors: *Error, and what it wraps.
func (m *Mailer) Open(ctx context.Context) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	s := &Session{m: m}
	stop := func() bool { return true }
	dial := func(short context.Context, _, _ string) (net.Conn, error) { // its own context ends with the library's step
		c, err := s.dial(short)
		if s.conn != nil {
			stop = context.AfterFunc(ctx, func() { _ = s.conn.Close() })
		}
		return c, err
	}
	client, err := gomail.NewClient(m.c.Host, append(m.options(), gomail.WithDialContextFunc(dial))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s.client = client
	s.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return s, nil
	}
	if s.conn != nil {
		if s.conn.tooMuch() {
			err = ErrTooMuch
		}
		_ = s.conn.Close()
	}
	return nil, failure("connect", err)
}

func (m *Mailer) options() []gomail.Option {
	opts := []gomail.Option{
		gomail.WithPort(m.c.Port), gomail.WithHELO(m.c.Hello), gomail.WithTimeout(sendTime),
		gomail.WithoutNoop(), gomail.WithoutRset(), gomail.WithoutSMTPUTF8(),
		gomail.WithTLSConfig(m.tls()),
	}
	switch m.c.Security {
	case StartTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLS:
		opts = append(opts, gomail.WithSSL())
	case Loopback:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if m.c.User != "" {
		opts = append(opts, gomail.WithSMTPAuthCustom(&login{user: m.c.User, password: m.c.Password}))
	}
	return opts
}

func (m *Mailer) tls() *tls.Config {
	return &tls.Config{ServerName: m.c.Host, RootCAs: m.c.Roots, MinVersion: tls.VersionTLS12}
}

// dial connects. The library's own timers can only shorten what is set here.
func (s *Session) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", net.JoinHostPort(s.m.c.Host, strconv.Itoa(s.m.c.Port)))
	if err != nil {
		return nil, err
	}
	s.conn = &conn{Conn: raw}
	s.conn.allow(connectTime)
	switch s.m.c.Security {
	case Loopback:
		if a, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, errors.Join(ErrNotLoopback, raw.Close())
		}
	case TLS:
		c := tls.Client(s.conn, s.m.tls())
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		return c, nil
	}
	return s.conn, nil
}

// Send hands over one message, within 45 s, and returns when the server has taken it. The session can be used on after
// an error that has a code; after another it is to be closed. Errors: ErrMessage, *Error.
func (s *Session) Send(ctx context.Context, m Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	msg, err := m.build(s.m.c.From, s.m.c.FromName)
	if err != nil {
		return err
	}
	s.conn.allow(sendTime)
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	err = s.client.SendWithSMTPClient(s.smtp, msg)
	switch {
	case msg.IsDelivered():
		return nil
	case s.conn.tooMuch():
		return &Error{Stage: "message", Unknown: true, Err: ErrTooMuch}
	}
	return sendFailure(err)
}

// Close ends the session politely, if the server answers at once.
func (s *Session) Close() error {
	s.conn.allow(quitTime)
	_ = s.client.CloseWithSMTPClient(s.smtp) // what was taken stays taken, whatever the answer is
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection to the mail server: %w", err)
	}
	return nil
}
