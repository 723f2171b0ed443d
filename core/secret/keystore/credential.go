package keystore

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	minKey        = 32 // bytes of a key file or credential
	maxKey        = 64 << 10
	maxPassphrase = 4 << 10
)

// Credential opens a slot. The zero value opens none.
type Credential struct {
	kinds []Kind // of slots it may open, in the order they are tried
	// key returns what the credential has for a slot; the caller wipes it.
	key    func(ctx context.Context, s Slot) (secret.Text, error)
	forget func() // wipes what the credential has read; may be nil
	// slot describes a new slot that the credential opens; nil when that is a passphrase slot.
	slot func() NewSlot
}

// Passphrase opens passphrase slots. It keeps p: the caller wipes it after the last use, or calls Forget.
func Passphrase(p secret.Text) Credential {
	return Credential{
		kinds:  []Kind{KindPassphrase},
		forget: p.Wipe,
		key: func(context.Context, Slot) (secret.Text, error) {
			return p.Clone(), checkPassphrase(p)
		},
	}
}

// KeyFile opens key-file slots with the content of a file that only its owner may read.
func KeyFile(path string) Credential {
	return Credential{
		kinds: []Kind{KindKeyFile},
		key:   func(context.Context, Slot) (secret.Text, error) { return readKeyFile(path) },
		slot:  func() NewSlot { return NewSlot{Kind: KindKeyFile, Path: path} },
	}
}

// SystemdCredential opens credential slots with the file name in dir ($CREDENTIALS_DIRECTORY), or passphrase slots
// when the file is one line of text: an administrator may hand over either.
func SystemdCredential(dir, name string) Credential {
	return Credential{
		kinds: []Kind{KindCredential, KindPassphrase},
		key: func(_ context.Context, s Slot) (secret.Text, error) {
			if s.Kind == KindCredential {
				return readCredential(dir, name)
			}
			return readCredentialLine(dir, name)
		},
		slot: func() NewSlot { return NewSlot{Kind: KindCredential, Dir: dir, Name: name} },
	}
}

// Keyring opens keyring slots. Empty names are taken from the slot.
func Keyring(service, user string) Credential {
	return Credential{
		kinds: []Kind{KindKeyring},
		key: func(ctx context.Context, s Slot) (secret.Text, error) {
			if service == "" {
				return readKeyringEntry(ctx, s.Service, s.User)
			}
			return readKeyringEntry(ctx, service, user)
		},
		slot: func() NewSlot { return NewSlot{Kind: KindKeyring, Service: service, User: user} },
	}
}

// None reports whether c is the zero value.
func (c Credential) None() bool { return len(c.kinds) == 0 }

// Forget wipes the passphrase in c, if there is one. Call it after the last use.
func (c Credential) Forget() {
	if c.forget != nil {
		c.forget()
	}
}

// NewSlot is a slot that c opens, for Create and AddSlot. A systemd credential that is too short for a key counts as a
// passphrase. The caller wipes the passphrase in it.
func (c Credential) NewSlot(ctx context.Context) (NewSlot, error) {
	if c.None() {
		return NewSlot{}, fmt.Errorf("no credential: %w", ErrUnfit)
	}
	if c.slot != nil {
		n := c.slot()
		if n.Kind != KindCredential {
			return n, nil
		}
		key, err := c.key(ctx, Slot{Kind: KindCredential})
		key.Wipe()
		if err == nil || !errors.Is(err, ErrUnfit) {
			return n, err
		}
	}
	p, err := c.key(ctx, Slot{Kind: KindPassphrase})
	if err != nil {
		p.Wipe()
		return NewSlot{}, err
	}
	return NewSlot{Kind: KindPassphrase, Passphrase: p}, nil
}

// open tries the slots of h that c may open and returns the data key and the slot's place.
func (c Credential) open(ctx context.Context, h *header) (at int, dataKey secret.Text, err error) {
	tried := false
	var faults []error
	for _, kind := range c.kinds {
		for i := range h.slots {
			s := &h.slots[i]
			if s.kind != kind {
				continue
			}
			dataKey, err := c.openSlot(ctx, h, s)
			if err == nil {
				return i, dataKey, nil
			}
			if !errors.Is(err, errOtherKey) {
				faults = append(faults, err)
				continue
			}
			tried = true
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, secret.Text{}, err
	}
	return 0, secret.Text{}, c.refusal(h, tried, faults)
}

// errOtherKey: the slot was tried and does not open with this key.
var errOtherKey = errors.New("slot has another key")

func (c Credential) openSlot(ctx context.Context, h *header, s *slot) (secret.Text, error) {
	key, err := c.key(ctx, s.describe())
	defer key.Wipe()
	if err != nil {
		return secret.Text{}, err
	}
	kek, err := s.kek(ctx, key)
	if err != nil {
		return secret.Text{}, fmt.Errorf("derive the key of slot %x: %w", s.id, err)
	}
	defer kek.Wipe()
	dataKey, err := h.unwrap(s, kek)
	if err != nil {
		return secret.Text{}, errOtherKey
	}
	return dataKey, nil
}

// refusal says why nothing opened: what could not be read comes before what did not fit.
func (c Credential) refusal(h *header, tried bool, faults []error) error {
	switch {
	case tried && slices.Contains(c.kinds, KindPassphrase) && len(c.kinds) == 1:
		return ErrWrongPassphrase
	case tried:
		return ErrWrongKey
	case len(faults) > 0:
		return errors.Join(faults...)
	}
	have := make([]string, 0, len(h.slots))
	for _, s := range h.slots {
		have = append(have, s.kind.String())
	}
	want := make([]string, 0, len(c.kinds))
	for _, k := range c.kinds {
		want = append(want, k.String())
	}
	return fmt.Errorf("%w: it opens by %s, not by %s", ErrNoSlot, strings.Join(have, ", "), strings.Join(want, " or "))
}

func checkPassphrase(p secret.Text) error {
	switch n := p.Len(); {
	case n == 0:
		return fmt.Errorf("empty passphrase: %w", ErrUnfit)
	case n > maxPassphrase:
		return fmt.Errorf("passphrase of %d bytes: %w", n, ErrUnfit)
	}
	return nil
}

// deriveRandom makes a wrapping key out of bytes that are random already, so a fast derivation is enough.
func deriveRandom(key secret.Text, salt []byte, k Kind) (secret.Text, error) {
	var kek secret.Text
	err := key.Use(func(b []byte) error {
		if len(b) < minKey {
			return fmt.Errorf("%d bytes, need at least %d: %w", len(b), minKey, ErrUnfit)
		}
		out, err := hkdf.Key(sha256.New, b, salt, "oidcbox keystore v1 slot "+k.String(), 32)
		if err != nil {
			return fmt.Errorf("derive the slot's key: %w", err)
		}
		kek = secret.New(out)
		return nil
	})
	return kek, err
}
