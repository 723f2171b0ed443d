package keystore

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

// Slot describes a key slot. It holds nothing secret.
type Slot struct {
	ID      string // eight hex digits
	Kind    Kind
	Label   string
	Created time.Time
	// Cost is set for passphrases.
	Cost vault.Params
	// Service and User name the entry of a keyring slot; Name the credential of a credential slot.
	Service, User, Name string
	// Key is the fingerprint of the key of an ssh-agent slot.
	Key string

	challenge [challengeSize]byte
	public    [ed25519.PublicKeySize]byte
}

// NewSlot says how a new slot gets its key. Fill in the fields of its Kind.
type NewSlot struct {
	Kind  Kind
	Label string // for people, at most MaxLabel bytes; may be empty

	Passphrase secret.Text  // KindPassphrase. The caller wipes it.
	Cost       vault.Params // KindPassphrase; zero for vault.DefaultParams

	Path string // KindKeyFile; 32 random bytes are written there when no file is

	Dir, Name string // KindCredential: $CREDENTIALS_DIRECTORY and the name in it

	Service, User string // KindKeyring; a new random key is kept there. Empty: "oidcbox" and the keystore's id

	// KindSSHAgent: Path is the socket, Name the fingerprint or the comment of the key; "" is the only one there is.
}

func (s *slot) describe() Slot {
	d := Slot{ID: hex.EncodeToString(s.id[:]), Kind: s.kind, Label: s.label, Created: s.created}
	p, err := parseParams(s.kind, s.params)
	if err != nil {
		return d
	}
	switch s.kind {
	case KindPassphrase:
		d.Cost = p.cost
	case KindCredential:
		d.Name = p.names[0]
	case KindKeyring:
		d.Service, d.User = p.names[0], p.names[1]
	case KindSSHAgent:
		d.Key, d.challenge, d.public = fingerprint(p.public[:]), p.challenge, p.public
	}
	return d
}

// madeSlot is a slot that is not stored yet.
type madeSlot struct {
	slot slot
	kek  secret.Text
	undo func() // takes back what was made outside the store: a key file, a keyring entry
}

// takeBack undoes what the slot left outside the store, unless the slot may have been stored after all.
func (m madeSlot) takeBack(err error) {
	if !errors.Is(err, store.ErrUnknown) {
		m.undo()
	}
}

// makeSlot gets or makes the key that n asks for. It changes nothing in the store. After an error nothing is left to
// take back.
func makeSlot(ctx context.Context, h *header, n NewSlot, now time.Time) (madeSlot, error) {
	s := slot{kind: n.Kind, label: n.Label, created: now.UTC().Truncate(time.Second)}
	_, _ = rand.Read(s.id[:]) // never fails
	p := n.params(h)
	if n.Kind == KindSSHAgent {
		public, err := chooseSSHKey(ctx, n)
		if err != nil {
			return madeSlot{}, fmt.Errorf("new key slot: %w", err)
		}
		p.challenge, p.public = newChallenge(), [ed25519.PublicKeySize]byte(public)
	}
	s.params = p.encode(n.Kind)
	if err := errors.Join(checkLabel(n.Label), checkParams(s.kind, s.params)); err != nil {
		return madeSlot{}, fmt.Errorf("new key slot: %w: %w", ErrUnfit, err)
	}
	key, undo, err := n.key(ctx, s.describe())
	defer key.Wipe()
	if err != nil {
		return madeSlot{}, fmt.Errorf("new key slot: %w", err)
	}
	kek, err := s.kek(ctx, key)
	if err != nil {
		undo()
		return madeSlot{}, fmt.Errorf("new key slot: %w", err)
	}
	return madeSlot{slot: s, kek: kek, undo: undo}, nil
}

// params has a new salt.
func (n NewSlot) params(h *header) (p params) {
	_, _ = rand.Read(p.salt[:]) // never fails
	switch n.Kind {
	case KindPassphrase:
		p.cost = n.Cost
		if p.cost == (vault.Params{}) {
			p.cost = vault.DefaultParams()
		}
	case KindCredential:
		p.names = []string{n.Name}
	case KindKeyring:
		p.names = keyringNames(h, n)
	}
	return p
}

// key gets or makes the slot's key. undo is never nil when err is.
func (n NewSlot) key(ctx context.Context, s Slot) (key secret.Text, undo func(), err error) {
	undo = func() {}
	switch n.Kind {
	case KindPassphrase:
		return n.Passphrase.Clone(), undo, checkPassphrase(n.Passphrase)
	case KindKeyFile:
		return makeKeyFile(n.Path)
	case KindCredential:
		key, err = readCredential(n.Dir, n.Name)
		return key, undo, err
	case KindKeyring:
		return makeKeyringEntry(ctx, s.Service, s.User)
	case KindSSHAgent:
		key, err = makeSignature(ctx, n.Path, s)
		return key, undo, err
	}
	return key, undo, fmt.Errorf("%v is not known: %w", n.Kind, ErrUnfit)
}

// kek derives the key that wraps the data key from what the credential gave.
func (s *slot) kek(ctx context.Context, key secret.Text) (secret.Text, error) {
	p, err := parseParams(s.kind, s.params)
	if err != nil {
		return secret.Text{}, err
	}
	if s.kind == KindPassphrase {
		return vault.Argon2(ctx, key, p.salt[:], p.cost)
	}
	return deriveRandom(key, p.salt[:], s.kind)
}

// wrap stores the data key in s under kek.
func (h *header) wrap(s *slot, kek, dataKey secret.Text) error {
	box, err := vault.SealWith(kek, dataKey, h.wrapAD(s))
	if err != nil {
		return fmt.Errorf("wrap the data key: %w", err)
	}
	if len(box) != wrapSize {
		return fmt.Errorf("wrap the data key: %d bytes, not %d", len(box), wrapSize)
	}
	copy(s.wrapped[:], box)
	return nil
}

func (h *header) unwrap(s *slot, kek secret.Text) (secret.Text, error) {
	return vault.OpenWith(kek, s.wrapped[:], h.wrapAD(s))
}

func (h *header) describe() []Slot {
	all := make([]Slot, 0, len(h.slots))
	for i := range h.slots {
		all = append(all, h.slots[i].describe())
	}
	return all
}
