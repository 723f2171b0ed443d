package sshlogin

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Messages of the PuTTY authentication plug-in protocol (PuTTY's manual, appendix H.6).
const (
	pluginInit             = 1
	pluginInitResponse     = 2
	pluginProtocol         = 3
	pluginProtocolAccept   = 4
	pluginProtocolReject   = 5
	pluginAuthSuccess      = 6
	pluginAuthFailure      = 7
	pluginInitFailure      = 8
	pluginKIServerRequest  = 20
	pluginKIServerResponse = 21
	pluginKIUserRequest    = 22
	pluginKIUserResponse   = 23
)

const (
	pluginVersion    = 2
	maxPluginMessage = 256 << 10 // what an SSH packet can have
	maxPluginPrompts = 64
)

// ErrPlugin is returned by ServePlugin for what is no message of the protocol, or none that may come now.
var ErrPlugin = errors.New("not what PuTTY says to an authentication plug-in")

// Connection is where PuTTY connects to.
type Connection struct {
	Host string // by which PuTTY keeps its key
	Port uint32
	User string // "" when PuTTY has none yet
}

// Plugin decides what a plug-in answers.
type Plugin interface {
	// Begin returns the user to log in as. What the error says is shown to the person.
	Begin(ctx context.Context, c Connection) (user string, err error)
	// Password returns the answer to the question for the token. ServePlugin wipes it.
	Password(ctx context.Context) (secret.Text, error)
}

// ServePlugin is the plug-in's side of a connection to PuTTY, on its standard input and output. It answers the
// server's question for the token once in each round of keyboard-interactive (RFC 4256), has PuTTY put every other
// question to the person, and answers a request without questions without answers. It returns nil when PuTTY hangs up.
func ServePlugin(ctx context.Context, in io.Reader, out io.Writer, p Plugin) error {
	s := pluginSession{in: bufio.NewReader(in), out: out, plugin: p}
	if err := s.begin(ctx); err != nil {
		return err
	}
	for {
		m, err := s.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		method := m.text()
		if m.kind != pluginProtocol || m.broken {
			return fmt.Errorf("%w: message %d", ErrPlugin, m.kind)
		}
		if method != "keyboard-interactive" {
			if err := s.write(newMessage(pluginProtocolReject).putText("")); err != nil {
				return err
			}
			continue
		}
		if err := s.write(newMessage(pluginProtocolAccept)); err != nil {
			return err
		}
		if err := s.rounds(ctx); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

type pluginSession struct {
	in     *bufio.Reader
	out    io.Writer
	plugin Plugin
}

func (s *pluginSession) begin(ctx context.Context) error {
	m, err := s.read()
	if err != nil {
		return fmt.Errorf("read PuTTY's first message: %w", err)
	}
	version, c := m.number(), Connection{}
	c.Host, c.Port, c.User = m.text(), m.number(), m.text()
	if m.kind != pluginInit || m.broken {
		return fmt.Errorf("%w: message %d", ErrPlugin, m.kind)
	}
	if version < pluginVersion {
		err = fmt.Errorf("%w: version %d of the protocol; PuTTY has version %d from release 0.78 on",
			ErrPlugin, version, pluginVersion)
		return errors.Join(err, s.write(newMessage(pluginInitFailure).putText(err.Error())))
	}
	user, err := s.plugin.Begin(ctx, c)
	if err != nil {
		return errors.Join(err, s.write(newMessage(pluginInitFailure).putText(err.Error())))
	}
	return s.write(newMessage(pluginInitResponse).putNumber(pluginVersion).putText(user))
}

// rounds answers requests until PuTTY says how the method ended.
func (s *pluginSession) rounds(ctx context.Context) error {
	answered := false
	for {
		m, err := s.read()
		if err != nil {
			return err
		}
		switch m.kind {
		case pluginAuthSuccess, pluginAuthFailure:
			return nil
		case pluginKIServerRequest:
			if err := s.round(ctx, m, &answered); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: message %d", ErrPlugin, m.kind)
		}
	}
}

// kiPrompt is one question of a server.
type kiPrompt struct {
	text string
	echo bool
}

func (s *pluginSession) round(ctx context.Context, m *message, answered *bool) error {
	name, instruction, language := m.text(), m.text(), m.text()
	n := m.number()
	if n > maxPluginPrompts {
		return fmt.Errorf("%w: a request with %d questions", ErrPlugin, n)
	}
	prompts := make([]kiPrompt, n)
	for i := range prompts {
		prompts[i] = kiPrompt{m.text(), m.flag()}
	}
	if m.broken {
		return fmt.Errorf("%w: a request that is cut short", ErrPlugin)
	}
	answers, err := s.own(ctx, prompts, answered)
	defer wipe(answers)
	if err != nil {
		return err
	}
	user := newMessage(pluginKIUserRequest).putText(name).putText(instruction).putText(language)
	var others []kiPrompt
	for i, p := range prompts {
		if answers[i] == nil {
			others = append(others, p)
		}
	}
	if len(others) > 0 {
		if err := s.askUser(user, others, answers); err != nil {
			return err
		}
	}
	reply := newMessage(pluginKIServerResponse).putNumber(uint32(len(answers)))
	defer func() { clear(reply.body) }()
	for _, a := range answers {
		reply.putBytes(a)
	}
	return s.write(reply)
}

// own answers the question for the token; what stays nil is for the person.
func (s *pluginSession) own(ctx context.Context, prompts []kiPrompt, answered *bool) ([][]byte, error) {
	answers := make([][]byte, len(prompts))
	for i, p := range prompts {
		if *answered || p.echo || !asksForSecret(p.text) {
			continue
		}
		t, err := s.plugin.Password(ctx)
		if err != nil {
			return answers, err
		}
		*answered = true
		err = t.Use(func(b []byte) error {
			answers[i] = append(make([]byte, 0, len(b)), b...)
			return nil
		})
		t.Wipe()
		if err != nil {
			return answers, err
		}
	}
	return answers, nil
}

func (s *pluginSession) askUser(request *message, prompts []kiPrompt, answers [][]byte) error {
	request.putNumber(uint32(len(prompts)))
	for _, p := range prompts {
		request.putText(p.text).putFlag(p.echo)
	}
	if err := s.write(request); err != nil {
		return err
	}
	m, err := s.read()
	if err != nil {
		return err
	}
	defer clear(m.body)
	if n := m.number(); m.kind != pluginKIUserResponse || n != uint32(len(prompts)) {
		return fmt.Errorf("%w: message %d with %d answers", ErrPlugin, m.kind, n)
	}
	for i := range answers {
		if answers[i] == nil {
			answers[i] = append([]byte{}, m.bytes()...)
		}
	}
	if m.broken {
		return fmt.Errorf("%w: answers that are cut short", ErrPlugin)
	}
	return nil
}

func wipe(list [][]byte) {
	for _, b := range list {
		clear(b)
	}
}

// read reads one message: its length, its type, its body.
func (s *pluginSession) read() (*message, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxPluginMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrPlugin, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, fmt.Errorf("%w: a message that is cut short", ErrPlugin)
	}
	return &message{kind: body[0], body: body[1:]}, nil
}

func (s *pluginSession) write(m *message) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(m.body)+1))
	b = append(append(b, m.kind), m.body...)
	defer clear(b)
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("answer PuTTY: %w", err)
	}
	return nil
}

// message is read from its front, or written at its end, in the data types of RFC 4251 section 5. Reading beyond the
// end gives zero values and sets broken.
type message struct {
	kind   byte
	body   []byte
	broken bool
}

func newMessage(kind byte) *message { return &message{kind: kind} }

func (m *message) putNumber(n uint32) *message {
	m.body = binary.BigEndian.AppendUint32(m.body, n)
	return m
}

func (m *message) putBytes(b []byte) *message {
	m.putNumber(uint32(len(b)))
	m.body = append(m.body, b...)
	return m
}

func (m *message) putText(s string) *message { return m.putBytes([]byte(s)) }

func (m *message) putFlag(set bool) *message {
	b := byte(0)
	if set {
		b = 1
	}
	m.body = append(m.body, b)
	return m
}

func (m *message) take(n uint32) []byte {
	if m.broken || uint64(n) > uint64(len(m.body)) {
		m.broken = true
		return nil
	}
	b := m.body[:n]
	m.body = m.body[n:]
	return b
}

func (m *message) number() uint32 {
	if b := m.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (m *message) bytes() []byte { return m.take(m.number()) }
func (m *message) text() string  { return string(m.bytes()) }

func (m *message) flag() bool {
	b := m.take(1)
	return len(b) == 1 && b[0] != 0
}
