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
	reveal func(func([]byte) error) error
	clear  func()
}

// New takes ownership of b: the caller must not use b afterwards, and Wipe clears it in place.
func New(b []byte) Text {
	var (
		mu    sync.RWMutex
		wiped bool
	)
	return Text{
		reveal: func(fn func([]byte) error) error {
			mu.RLock()
			defer mu.RUnlock()
			if wiped {
				return ErrWiped
			}
			return fn(b)
		},
		clear: func() {
			mu.Lock()
			defer mu.Unlock()
			clear(b)
			wiped = true
		},
	}
}

// FromString copies s. The string itself cannot be cleared: prefer New where the bytes are at hand.
func FromString(s string) Text { return New([]byte(s)) }

// Use calls fn with the bytes. fn must not keep, change or print them, and must not call Wipe on the same secret.
// It returns fn's error, or ErrWiped.
func (t Text) Use(fn func([]byte) error) error {
	if t.reveal == nil {
		return fn(nil)
	}
	return t.reveal(fn)
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
	if t.clear != nil {
		t.clear()
	}
}

// Empty reports whether there are no bytes (also after Wipe).
func (t Text) Empty() bool { return t.Len() == 0 }

// Len returns the number of bytes, 0 after Wipe.
func (t Text) Len() int {
	if t.reveal == nil {
		return 0
	}
	n := 0
	_ = t.Use(func(b []byte) error { n = len(b); return nil })
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
