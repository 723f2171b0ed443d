package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Mode says what New does when memory cannot be locked.
type Mode int

const (
	// Prefer warns once and goes on with memory that is not locked: agents and commands.
	Prefer Mode = iota
	// Require fails: services that hold other people's secrets.
	Require
)

// areaSize holds the two keys of a Keys. The session key uses the first half of its area.
const areaSize = 2 * keySize

// Vault seals secrets for the life of the process. Its methods are safe for concurrent use.
type Vault struct {
	mu     sync.RWMutex // held for writing by Close only
	key    area         // nil after Close
	work   chan area    // the free work areas
	all    []area
	locked bool
}

// New makes a vault with a random session key. In mode Prefer, warn gets one line when memory cannot be locked; it may
// be nil. In mode Require the error is a *LimitError, which wraps ErrNoLockedMemory.
func New(mode Mode, warn func(msg string)) (*Vault, error) {
	areas, err := newAreas(areaSize)
	if err != nil && mode == Require {
		return nil, err
	}
	if err != nil {
		if warn != nil {
			warn(warning(err))
		}
		return newVault(plainAreas(areaSize), false), nil
	}
	return newVault(areas, true), nil
}

func warning(err error) string {
	msg := err.Error() + "; secrets may be written to swap space"
	var limit *LimitError
	if errors.As(err, &limit) {
		msg += " (" + limit.Hint() + ")"
	}
	return msg
}

func newVault(areas []area, locked bool) *Vault {
	v := &Vault{key: areas[0], work: make(chan area, workers), all: areas, locked: locked}
	_, _ = rand.Read(v.key.bytes()) // never fails
	if l, ok := v.key.(lockedArea); ok {
		l.buf.Freeze()
	}
	for _, a := range areas[1:] {
		v.work <- a
	}
	return v
}

// Locked reports whether the memory is really locked.
func (v *Vault) Locked() bool { return v.locked }

// Close wipes the session key: nothing that this vault has sealed can be opened again. It waits for running calls.
func (v *Vault) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key == nil {
		return
	}
	for _, a := range v.all {
		a.free()
	}
	v.key, v.all = nil, nil
}

// Sealed is a secret under the session key of one vault, in ordinary memory. It cannot be printed or encoded. The
// zero value is a sealed empty secret.
type Sealed struct{ box func() []byte }

// Empty reports whether the secret inside is empty.
func (s Sealed) Empty() bool { return s.box == nil }

// Format covers every verb of fmt.
func (Sealed) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[sealed]") }

// LogValue covers log/slog.
func (Sealed) LogValue() slog.Value { return slog.StringValue("[sealed]") }

// MarshalJSON refuses: what is sealed here can be opened by this process only.
func (Sealed) MarshalJSON() ([]byte, error) { return nil, errEncode }

// MarshalText refuses, for encoders that look for it.
func (Sealed) MarshalText() ([]byte, error) { return nil, errEncode }

// MarshalBinary refuses, for encoding/gob.
func (Sealed) MarshalBinary() ([]byte, error) { return nil, errEncode }

var errEncode = errors.New("a sealed secret cannot be encoded")

// Seal returns t as ciphertext. t stays as it is: the caller wipes it.
func (v *Vault) Seal(t secret.Text) (Sealed, error) {
	var s Sealed
	err := t.Use(func(plain []byte) error {
		if len(plain) == 0 {
			return nil
		}
		var err error
		s, err = v.sealBytes(plain)
		return err
	})
	return s, err
}

// Open returns a copy of the secret in ordinary memory. The caller wipes it as soon as it can.
func (v *Vault) Open(s Sealed) (secret.Text, error) {
	if s.Empty() {
		return secret.Text{}, nil
	}
	plain := make([]byte, 0, len(s.box())) // never grows, so there is one copy
	plain, err := v.openInto(plain, s)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(plain), nil
}

func (v *Vault) sealBytes(plain []byte) (Sealed, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, err := v.sessionKey()
	if err != nil {
		return Sealed{}, err
	}
	box, err := seal(make([]byte, 0, len(plain)+overhead), key, plain, nil)
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{box: func() []byte { return box }}, nil
}

func (v *Vault) openInto(dst []byte, s Sealed) ([]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.openLocked(dst, s)
}

func (v *Vault) openLocked(dst []byte, s Sealed) ([]byte, error) {
	key, err := v.sessionKey()
	if err != nil {
		return nil, err
	}
	plain, err := open(dst, key, s.box(), nil)
	if err != nil {
		return nil, ErrNotSealedHere
	}
	return plain, nil
}

// sessionKey is valid while v.mu is held.
func (v *Vault) sessionKey() ([]byte, error) {
	if v.key == nil {
		return nil, ErrClosed
	}
	b := v.key.bytes()
	if len(b) < keySize {
		// Somebody else's failed lock made memguard purge everything.
		return nil, ErrClosed
	}
	return b[:keySize], nil
}

// with opens s into a work area for the length of fn. At most workers calls run at one time; others wait.
func (v *Vault) with(s Sealed, fn func(plain []byte) error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if _, err := v.sessionKey(); err != nil {
		return err
	}
	a := <-v.work
	defer func() { v.work <- a }()
	room := a.bytes()
	if len(s.box())-overhead > len(room) {
		return ErrNotSealedHere
	}
	defer clear(room)
	plain, err := v.openLocked(room[:0], s)
	if err != nil {
		return err
	}
	return fn(plain)
}

// wipe overwrites the ciphertext, which every copy of s shares.
func (s Sealed) wipe() {
	if s.box != nil {
		clear(s.box())
	}
}
