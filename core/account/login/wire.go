package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	// MaxSecret bounds a secret, in bytes. The largest access tokens are a tenth of it.
	MaxSecret = 64 << 10

	maxText     = 256 // bytes of user, remote host and service
	maxQuestion = 2*MaxSecret + 16*maxText
	maxAnswer   = 8 << 10
)

// wireQuestion is a question with its secret.
type wireQuestion struct {
	Question
	Secret wireSecret `json:"secret,omitempty"`
}

// wireSecret is a JSON string of printable ASCII: nothing else is a secret here, and nothing else needs an escape.
type wireSecret []byte

// UnmarshalJSON takes the bytes out without making a string of them, which could not be cleared.
func (s *wireSecret) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return errors.New("the secret is no text")
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			if i++; i == len(b) || b[i] != '\\' && b[i] != '"' {
				return errors.New("the secret has an escape")
			}
		}
		out = append(out, b[i])
	}
	if !printable(out) {
		return errors.New("the secret has other characters than a secret has")
	}
	*s = out
	return nil
}

// printable reports whether b is ASCII without blanks and control characters.
func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// check is what holds for every question on the wire.
func (q Question) check() error {
	n := q.Secret.Len()
	switch {
	case q.Phase != Auth && q.Phase != Account:
		return fmt.Errorf("%w: phase %q", ErrQuestion, q.Phase)
	case q.Phase == Auth && n == 0:
		return fmt.Errorf("%w: there is no secret", ErrQuestion)
	case q.Phase == Account && n > 0:
		return fmt.Errorf("%w: a secret in the account phase", ErrQuestion)
	case n > MaxSecret:
		return fmt.Errorf("%w: a secret of %d bytes", ErrQuestion, n)
	case q.User == "":
		return fmt.Errorf("%w: there is no user", ErrQuestion)
	}
	for _, text := range []string{q.User, q.Remote, q.Via} {
		if len(text) > maxText || strings.ContainsFunc(text, control) {
			return fmt.Errorf("%w: a name that is too long or has control characters", ErrQuestion)
		}
	}
	return nil
}

// control reports whether a character has no place in a name: control characters, and what is no UTF-8.
func control(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }

// write writes the question as one line. The bytes of the secret are cleared behind it.
func (q Question) write(w io.Writer) error {
	if err := q.check(); err != nil {
		return err
	}
	head, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("write question: %w", err)
	}
	line := append(make([]byte, 0, len(head)+2*q.Secret.Len()+16), head[:len(head)-1]...)
	defer func() { clear(line[:cap(line)]) }()
	if q.Phase == Auth {
		line = append(line, `,"secret":"`...)
		err = q.Secret.Use(func(b []byte) error {
			if !printable(b) {
				return fmt.Errorf("%w: other characters than a secret has", ErrQuestion)
			}
			for _, c := range b {
				if c == '"' || c == '\\' {
					line = append(line, '\\')
				}
				line = append(line, c)
			}
			return nil
		})
		if err != nil {
			return err
		}
		line = append(line, '"')
	}
	_, err = w.Write(append(line, '}', '\n'))
	return err
}

// readQuestion reads one question. The error is ErrQuestion, or that of the connection.
func readQuestion(r io.Reader) (Question, error) {
	line, err := readLine(r, maxQuestion)
	defer clear(line)
	if err != nil {
		return Question{}, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	var w wireQuestion
	if err := unmarshal(line, &w); err != nil {
		return Question{}, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	q := w.Question
	q.Secret = secret.New(w.Secret)
	if err := q.check(); err != nil {
		q.Secret.Wipe()
		return Question{}, err
	}
	return q, nil
}

func (a Answer) write(w io.Writer) error {
	const maxReason = 1 << 10
	if len(a.Reason) > maxReason {
		a.Reason = a.Reason[:maxReason] // a character cut in two is written as U+FFFD
	}
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readAnswer reads one answer. The error is ErrAnswer, and the answer a no with it.
func readAnswer(r io.Reader) (Answer, error) {
	line, err := readLine(r, maxAnswer)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	var a Answer
	if err := unmarshal(line, &a); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if a.Allowed && a.ID == "" {
		return Answer{}, fmt.Errorf("%w: a yes for nobody", ErrAnswer)
	}
	return a, nil
}

// readLine reads up to a line feed, and at most limit bytes.
func readLine(r io.Reader, limit int) ([]byte, error) {
	buf := make([]byte, 0, 1024)
	for {
		if len(buf) == cap(buf) {
			grown := append(make([]byte, 0, min(2*cap(buf), limit)), buf...)
			clear(buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		if i := bytes.IndexByte(buf[len(buf):len(buf)+n], '\n'); i >= 0 {
			return buf[:len(buf)+i], nil
		}
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buf, io.ErrUnexpectedEOF
		case err != nil:
			return buf, err
		case len(buf) >= limit:
			return buf, fmt.Errorf("a line of more than %d bytes", limit)
		}
	}
}

// unmarshal reads exactly one object with no members but those of v.
func unmarshal(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return errors.New("not JSON of its form") // what encoding/json says may quote a secret
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something behind it")
	}
	return nil
}
