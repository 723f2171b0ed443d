package prompt

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Bounds of a conversation.
const (
	maxLine  = 1000 // bytes of a line without its end, as Assuan has it
	maxLines = 200  // of one reply: status and comments included
	maxPin   = 2048
)

// assuan is the client's end of the protocol over the pipes of a program.
type assuan struct {
	in  io.Writer
	out io.Reader
	buf [maxLine + 2]byte
	n   int // bytes in buf
}

// assuanError is an ERR reply: its code is that of libgpg-error.
type assuanError struct{ code int }

func (e *assuanError) Error() string { return "pinentry error " + strconv.Itoa(e.code) }

// call sends a command and waits for OK.
func (a *assuan) call(command, argument string) error {
	if err := a.send(command, argument); err != nil {
		return err
	}
	return a.reply(nil)
}

// pin sends GETPIN and returns what came as data. Nothing was entered counts as an empty one.
func (a *assuan) pin() (secret.Text, error) {
	if err := a.send("GETPIN", ""); err != nil {
		return secret.Text{}, err
	}
	data := make([]byte, 0, maxPin)
	if err := a.reply(&data); err != nil {
		clear(data)
		return secret.Text{}, err
	}
	return secret.New(data), nil
}

// send writes one line. A text that is too long is cut where no character and no escape is.
func (a *assuan) send(command, argument string) error {
	line := []byte(command)
	if argument != "" {
		line = append(line, ' ')
		for _, r := range argument {
			next := escape(r)
			if len(line)+len(next) > maxLine {
				break
			}
			line = append(line, next...)
		}
	}
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return nil
}

// escape is a character as a text may hold it.
func escape(r rune) string {
	if r == '%' || r < ' ' || r == 0x7f {
		return fmt.Sprintf("%%%02X", r)
	}
	return string(utf8.AppendRune(nil, r))
}

// reply reads up to OK or ERR. Data goes to data; where none is wanted it is a fault. Status lines and comments are
// passed over, inquiries refused.
func (a *assuan) reply(data *[]byte) error {
	for range maxLines {
		line, err := a.line()
		if err != nil {
			return err
		}
		word, rest, _ := strings.Cut(firstBytes(line), " ")
		switch {
		case word == "OK":
			return nil
		case word == "ERR":
			code, _, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				return fmt.Errorf("%w: error without a number", ErrBroken)
			}
			return &assuanError{code: n}
		case word == "D" && data != nil && len(line) > 2:
			if err := unescape(data, line[2:]); err != nil {
				return err
			}
		case word == "INQUIRE":
			if err := a.send("CAN", ""); err != nil {
				return err
			}
		case word == "S", strings.HasPrefix(word, "#"), word == "D" && len(line) <= 2, word == "":
		default:
			return fmt.Errorf("%w: it does not speak the protocol", ErrBroken)
		}
	}
	return fmt.Errorf("%w: it said more than %d lines", ErrBroken, maxLines)
}

// firstBytes is the start of a line that can hold a command and an error's number, never a secret in a string.
func firstBytes(line []byte) string {
	if bytes.HasPrefix(line, []byte("D ")) {
		return "D"
	}
	return string(line[:min(len(line), 64)])
}

// line returns the next line without its end. It is part of the buffer and good until the next call.
func (a *assuan) line() ([]byte, error) {
	a.wipe()
	for a.n < len(a.buf) {
		n, err := a.out.Read(a.buf[a.n : a.n+1])
		if n == 1 {
			if a.buf[a.n] == '\n' {
				return bytes.TrimSuffix(a.buf[:a.n], []byte("\r")), nil
			}
			a.n++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBroken, err)
		}
	}
	return nil, fmt.Errorf("%w: a line is too long", ErrBroken)
}

// wipe clears what was read: it may have been a secret.
func (a *assuan) wipe() {
	clear(a.buf[:])
	a.n = 0
}

// unescape appends the data of a D line. It never lets dst grow: that would leave a copy of a secret behind.
func unescape(dst *[]byte, line []byte) error {
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == '%' {
			if i+2 >= len(line) {
				return fmt.Errorf("%w: a cut escape", ErrBroken)
			}
			hi, lo := hexDigit(line[i+1]), hexDigit(line[i+2])
			if hi < 0 || lo < 0 {
				return fmt.Errorf("%w: a wrong escape", ErrBroken)
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		if len(*dst) == cap(*dst) {
			return fmt.Errorf("%w: more than %d bytes were typed", ErrBroken, maxPin)
		}
		*dst = append(*dst, c)
	}
	return nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
