package keystore

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Kind says how a slot gets at its key.
type Kind uint8

// The kinds of slots. The numbers are part of the file format.
const (
	KindPassphrase Kind = 1 // Argon2id of what a person remembers
	KindKeyFile    Kind = 2 // random bytes in a file
	KindCredential Kind = 3 // random bytes that systemd hands to a service
	KindKeyring    Kind = 4 // random bytes in the keyring of the operating system
	KindSSHAgent   Kind = 5 // signature of an Ed25519 key in an ssh-agent
)

// String is the word used in commands and in JSON. It goes into the derivation of a slot's key, so it is part of the
// file format.
func (k Kind) String() string {
	switch k {
	case KindPassphrase:
		return "passphrase"
	case KindKeyFile:
		return "keyfile"
	case KindCredential:
		return "systemd"
	case KindKeyring:
		return "keyring"
	case KindSSHAgent:
		return "ssh-agent"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	saltSize = 16
	maxName  = 200 // bytes of a credential's name, a keyring's service or user
)

var errParams = errors.New("parameters do not fit the kind")

// params are a slot's parameters in use: a salt for every kind, costs for passphrases, and where the key is for the
// others. Names hold the path's base name at most: a header tells nothing about a home directory.
type params struct {
	salt  [saltSize]byte
	cost  vault.Params
	names []string // credential: its name. keyring: service, user. key file: none
	// ssh-agent: what is signed, and by which key.
	challenge [challengeSize]byte
	public    [ed25519.PublicKeySize]byte
}

func (p params) encode(k Kind) []byte {
	b := append([]byte(nil), p.salt[:]...)
	if k == KindPassphrase {
		b = binary.BigEndian.AppendUint32(b, p.cost.Time)
		b = binary.BigEndian.AppendUint32(b, p.cost.Memory)
		return append(b, p.cost.Threads)
	}
	if k == KindSSHAgent {
		return append(append(b, p.challenge[:]...), p.public[:]...)
	}
	for _, n := range p.names {
		b = append(b, byte(len(n)))
		b = append(b, n...)
	}
	return b
}

func checkParams(k Kind, b []byte) error {
	_, err := parseParams(k, b)
	return err
}

// parseParams is strict; costs are within vault's limits afterwards.
func parseParams(k Kind, b []byte) (params, error) {
	var p params
	r := &reader{b: b}
	copy(p.salt[:], r.take(saltSize))
	names := 0
	switch k {
	case KindPassphrase:
		p.cost = vault.Params{Time: r.uint32(), Memory: r.uint32(), Threads: r.byte()}
		if err := p.cost.Check(); err != nil {
			return params{}, err
		}
	case KindKeyFile:
	case KindCredential:
		names = 1
	case KindKeyring:
		names = 2
	case KindSSHAgent:
		copy(p.challenge[:], r.take(len(p.challenge)))
		copy(p.public[:], r.take(len(p.public)))
	default:
		return params{}, fmt.Errorf("%v is not known", k)
	}
	for range names {
		n := string(r.take(int(r.byte())))
		if n == "" || len(n) > maxName || !utf8.ValidString(n) {
			return params{}, errParams
		}
		p.names = append(p.names, n)
	}
	if r.failed || len(r.b) != 0 {
		return params{}, errParams
	}
	return p, nil
}

// ParseKind reverses String.
func ParseKind(s string) (Kind, bool) {
	for k := KindPassphrase; k <= KindSSHAgent; k++ {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}
