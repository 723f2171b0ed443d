package proto

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
)

const (
	// MaxRequest is the largest request in bytes of JSON. Configurations with many scopes have a few kilobytes.
	MaxRequest = 256 << 10
	// MaxReply is the largest answer that Serve sends: what a socket buffer takes in one write, so that clients which read
	// once get all of it.
	MaxReply = 140 << 10
	// maxAnswer is the largest answer that a Client takes from somebody else's agent.
	maxAnswer = 1 << 20

	// maxDepth bounds nesting.
	maxDepth = 64
	// maxTries bounds how often an unclear end of a cipher message is tried.
	maxTries = 8
	firstBuf = 2 << 10
)

// wireSize is the size on the wire of a cipher message with n bytes of text, with room for the line end that some send.
func wireSize(n int) int {
	return maxCount + 1 + nonceLen + 1 + base64.StdEncoding.EncodedLen(n+secretbox.Overhead) + 2
}

// errAgain is what the reader of an inbox says when there is nothing more just now. The inbox hands it on and can be
// asked again for the same message.
var errAgain = errors.New("there is nothing more just now")

// inbox collects the bytes of messages. Messages have no length and no terminator: the one who waits has to know when
// one is whole.
type inbox struct {
	r    io.Reader
	max  int
	buf  []byte
	read func() // called after each read that left the message unfinished

	blanks int     // dropped before the first byte
	scan   scanner // of the object
	tries  int     // to open the cipher message
}

// wipe clears what was collected.
func (in *inbox) wipe() { clear(in.buf[:cap(in.buf)]) }

// more reads at least one byte. io.EOF after the last; ErrTooLarge when the limit is reached.
func (in *inbox) more() error {
	if len(in.buf) >= in.max {
		return ErrTooLarge
	}
	if len(in.buf) == cap(in.buf) {
		grown := make([]byte, len(in.buf), min(in.max, max(firstBuf, 4*cap(in.buf))))
		copy(grown, in.buf)
		clear(in.buf)
		in.buf = grown
	}
	n, err := in.r.Read(in.buf[len(in.buf):cap(in.buf)])
	in.buf = in.buf[:len(in.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// first waits for the first byte that is no white space and returns it. The bytes before it are dropped: an empty
// message is sent as a blank. They count all the same, or whoever sends them faster than they are read would keep a
// loop for himself.
func (in *inbox) first() (byte, error) {
	for {
		before := len(in.buf)
		in.buf = trimLeft(in.buf)
		if len(in.buf) > 0 {
			return in.buf[0], nil
		}
		if in.blanks += before; in.blanks > in.max {
			return 0, ErrTooLarge
		}
		if err := in.more(); err != nil {
			return 0, err
		}
	}
}

// trimLeft moves what is left to the start, so that blanks cannot use the room up.
func trimLeft(b []byte) []byte {
	t := bytes.TrimLeft(b, " \t\r\n")
	return b[:copy(b, t)]
}

// next notes that the message is unfinished and reads on. The end of the stream is io.ErrUnexpectedEOF.
func (in *inbox) next() error {
	if in.read != nil {
		in.read()
	}
	err := in.more()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// object collects one JSON object and returns its text, a part of the buffer. Only white space may follow it.
func (in *inbox) object() ([]byte, error) {
	for {
		end, err := in.scan.scan(in.buf)
		if err != nil {
			return nil, err
		}
		if end > 0 {
			if len(bytes.TrimSpace(in.buf[end:])) > 0 {
				return nil, ErrMalformed
			}
			return in.buf[:end], nil
		}
		if err := in.next(); err != nil {
			return nil, err
		}
	}
}

// key collects one public key and takes it out of the buffer. What cannot be one is refused at its first wrong byte.
func (in *inbox) key() ([]byte, error) {
	for {
		n := min(len(in.buf), keyLen)
		for _, c := range in.buf[:n] {
			if !isBase64(c) {
				return nil, ErrMalformed
			}
		}
		if n == keyLen {
			key := bytes.Clone(in.buf[:keyLen])
			in.buf = trimLeft(in.buf[:copy(in.buf, in.buf[keyLen:])])
			return key, nil
		}
		if err := in.next(); err != nil {
			return nil, err
		}
	}
}

// peerKey collects one public key and reads it.
func (in *inbox) peerKey() (*ecdh.PublicKey, error) {
	text, err := in.key()
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

// sealed collects one cipher message and returns its text, which the caller wipes.
//
// The length in front counts characters where some clients mean bytes, so it is only a hint of when to look: the
// message is whole when it opens. Padding, a line end or the end of the stream settle that there is no more.
func (in *inbox) sealed(s *session) ([]byte, error) {
	for {
		body, ended := bytes.CutSuffix(in.buf, []byte{'\n'})
		body = bytes.TrimSuffix(body, []byte{'\r'})
		count, _, box, ok := splitCipher(body)
		if !ok && len(body) > maxCount+1+nonceLen {
			return nil, ErrMalformed
		}
		if ok {
			ended = ended || bytes.HasSuffix(box, []byte{'='})
			enough := len(box)%4 == 0 && len(box) >= base64.StdEncoding.EncodedLen(count+secretbox.Overhead)
			if ended && len(box)%4 == 0 || enough {
				plain, err := s.open(body)
				if in.tries++; err == nil || ended || in.tries >= maxTries {
					return plain, err
				}
			}
		}
		if err := in.next(); errors.Is(err, errAgain) {
			return nil, err
		} else if err != nil {
			return in.settle(s, err)
		}
	}
}

// settle tries what is there once more when nothing more comes.
func (in *inbox) settle(s *session, err error) ([]byte, error) {
	plain, openErr := s.open(bytes.TrimSpace(in.buf))
	if openErr != nil {
		return nil, err
	}
	return plain, nil
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}

// scanner finds the end of a JSON object in a growing buffer; each byte is looked at once. Whether it is good JSON is
// not its business.
type scanner struct {
	pos     int
	depth   int
	text    bool // inside a string
	escaped bool
}

// scan returns the index after the object, or 0 while it is unfinished.
func (s *scanner) scan(b []byte) (int, error) {
	for ; s.pos < len(b); s.pos++ {
		switch c := b[s.pos]; {
		case s.escaped:
			s.escaped = false
		case s.text:
			s.escaped = c == '\\'
			s.text = c != '"'
		case c == '"':
			s.text = true
		case c == '{' || c == '[':
			if s.depth++; s.depth > maxDepth {
				return 0, fmt.Errorf("nested too deeply: %w", ErrMalformed)
			}
		case c == '}' || c == ']':
			if s.depth--; s.depth <= 0 {
				return s.pos + 1, nil
			}
		}
	}
	return 0, nil
}
