package mail

import (
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"

	"github.com/oidcbox/oidcbox/core/secret"
)

// login is AUTH PLAIN (RFC 4616), or LOGIN where a server has nothing better, on an encrypted connection only. The
// password leaves its secret on the way to the wire.
type login struct {
	user     string
	password secret.Text
	asked    int // questions of LOGIN answered
}

// Start chooses the mechanism.
func (l *login) Start(s *smtp.ServerInfo) (mechanism string, first []byte, err error) {
	offers := func(name string) bool {
		return slices.ContainsFunc(s.Auth, func(o string) bool { return strings.EqualFold(o, name) })
	}
	l.asked = 0
	switch {
	case !s.TLS:
		return "", nil, ErrNoAuth
	case offers("PLAIN"):
		err = l.password.Use(func(b []byte) error {
			first = append([]byte("\x00"+l.user+"\x00"), b...)
			return nil
		})
		return "PLAIN", first, err
	case offers("LOGIN"):
		return "LOGIN", nil, nil
	}
	return "", nil, ErrNoAuth
}

// Next answers the two questions of LOGIN: user, then password, whatever they are worded like.
func (l *login) Next(_ []byte, more bool) (answer []byte, err error) {
	if !more {
		return nil, nil
	}
	l.asked++
	switch l.asked {
	case 1:
		return []byte(l.user), nil
	case 2:
		err = l.password.Use(func(b []byte) error {
			answer = append([]byte{}, b...)
			return nil
		})
		return answer, err
	}
	return nil, ErrNoAuth
}
