// Package secret holds a value that cannot be printed.
//
// A [Text] keeps its bytes behind a closure, so that no verb of fmt, no log/slog handler, no encoder and no error
// chain can show them, also when the Text sits in an unexported field of somebody else's struct. The only way to the
// bytes is [Text.Use], which is easy to find in a review.
//
// It does not lock memory and does not encrypt: that is core/secret/vault. Go may have copied the bytes before they
// came here; Wipe clears the one copy this package owns.
//
// This package is a public API of the module.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

var (
	// ErrWiped is returned by Use after Wipe was called on the value or on any copy of it.
	ErrWiped = errors.New("secret was wiped")

	errEncode = errors.New("a secret cannot be encoded")
)

const redacted = "[secret]"

// Text is a secret byte string. The zero value is an empty secret. Copies share the bytes: wiping one wipes all.
type Text struct {
	// do is one closure and not one for each action: a secret is made for every request of a daemon.
	do func(a action, fn func([]byte) error) (int, error)
}

type action uint8

const (
	use action = iota // fn gets the bytes
	wipe
	measure // the number of bytes
)

// New takes ownership of b: the caller must not use b afterwards, and Wipe clears it in place.
func New(b []byte) Text {
	var state struct {
		sync.RWMutex
		wiped bool
	}
	return Text{do: func(a action, fn func([]byte) error) (int, error) {
		if a == wipe {
			state.Lock()
			defer state.Unlock()
			clear(b)
			state.wiped = true
			return 0, nil
		}
		state.RLock()
		defer state.RUnlock()
		switch {
		case state.wiped:
			return 0, ErrWiped
		case a == measure:
			return len(b), nil
		}
		return 0, fn(b)
	}}
}

// FromString copies s. The string itself cannot be cleared: prefer New where the bytes are at hand.
func FromString(s string) Text { return New([]byte(s)) }

// Use calls fn with the bytes. fn must not keep, change or print them, and must not call Wipe on the same secret.
// It returns fn's error, or ErrWiped.
func (t Text) Use(fn func([]byte) error) error {
	if t.do == nil {
		return fn(nil)
	}
	_, err := t.do(use, fn)
	return err
}

// Expose returns the bytes as a string for a library or a wire that takes nothing else. Call it on the last line
// before the call and store the result nowhere. A wiped secret gives "".
func (t Text) Expose() string {
	var s string
	_ = t.Use(func(b []byte) error { s = string(b); return nil })
	return s
}

// Clone returns an independent copy: wiping one leaves the other. The clone of a wiped secret is wiped.
func (t Text) Clone() Text {
	b, err := t.copy()
	c := New(b)
	if err != nil {
		c.Wipe()
	}
	return c
}

func (t Text) copy() ([]byte, error) {
	var c []byte
	err := t.Use(func(b []byte) error { c = append(c, b...); return nil })
	return c, err
}

// Wipe overwrites the bytes. It waits for a running Use.
func (t Text) Wipe() {
	if t.do != nil {
		_, _ = t.do(wipe, nil)
	}
}

// Empty reports whether there are no bytes (also after Wipe).
func (t Text) Empty() bool { return t.Len() == 0 }

// Len returns the number of bytes, 0 after Wipe.
func (t Text) Len() int {
	if t.do == nil {
		return 0
	}
	n, _ := t.do(measure, nil) // after Wipe it is 0
	return n
}

// Equal compares in time that depends on the lengths only. A wiped secret equals nothing, not even an empty one.
func (t Text) Equal(o Text) bool {
	// The copy is taken before Use: the two may be one secret, and a Use inside a Use could wait for a Wipe for ever.
	b, err := o.copy()
	if err != nil {
		return false
	}
	defer clear(b)
	equal := false
	_ = t.Use(func(a []byte) error {
		equal = subtle.ConstantTimeCompare(a, b) == 1
		return nil
	})
	return equal
}

// ID names the secret in logs: the first 8 bytes of its SHA-256 as hex. Only for values with high entropy (tokens):
// the hash of a password can be searched for.
func (t Text) ID() string {
	var id string
	_ = t.Use(func(b []byte) error {
		sum := sha256.Sum256(b)
		id = hex.EncodeToString(sum[:8])
		return nil
	})
	return id
}

// Format covers every verb of fmt.
func (Text) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue covers log/slog.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON refuses: a secret is written by the code that means to, through Use.
func (Text) MarshalJSON() ([]byte, error) { return nil, errEncode }

// MarshalText refuses, for encoders that look for it.
func (Text) MarshalText() ([]byte, error) { return nil, errEncode }

// MarshalBinary refuses, for encoding/gob.
func (Text) MarshalBinary() ([]byte, error) { return nil, errEncode }
