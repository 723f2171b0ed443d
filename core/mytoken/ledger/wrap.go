package ledger

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

const (
	keySize  = 32
	saltSize = 16
)

// box is a secret under a key that a text yields: that of a mytoken or of a code.
type box struct {
	Salt []byte `json:"salt"`
	Data []byte `json:"data"`
}

// purposes of boxes; each has keys of its own.
const (
	forKey    = "oidcbox mytoken 1 key"    // the key of a login, under a mytoken
	forAnswer = "oidcbox mytoken 1 answer" // a mytoken, under the one it replaced
	forCode   = "oidcbox mytoken 1 code"   // what a code stands for, under the code
)

// newKey returns a random key.
func newKey() secret.Text {
	b := make([]byte, keySize)
	rand.Read(b)
	return secret.New(b)
}

// derive is HKDF-SHA-256 of the whole text (RFC 5869). A mytoken has at least the 122 random bits of its jti, which is
// kept nowhere, so no slow derivation is needed; a short code is stretched before it comes here.
func derive(text secret.Text, salt []byte, purpose string) (key secret.Text, err error) {
	err = text.Use(func(b []byte) error {
		k, err := hkdf.Key(sha256.New, b, salt, purpose, keySize)
		key = secret.New(k)
		return err
	})
	return key, err
}

// lock seals what under text, bound to id.
func lock(text, what secret.Text, purpose, id string) (*box, error) {
	x := &box{Salt: make([]byte, saltSize)}
	rand.Read(x.Salt)
	key, err := derive(text, x.Salt, purpose)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	defer key.Wipe()
	if x.Data, err = vault.SealWith(key, what, []byte(purpose+"\x00"+id)); err != nil {
		return nil, fmt.Errorf("seal with a derived key: %w", err)
	}
	return x, nil
}

// open reverses lock. The error is store.ErrSealed for another text, another id, or changed bytes.
func (x *box) open(text secret.Text, purpose, id string) (secret.Text, error) {
	if x == nil {
		return secret.Text{}, fmt.Errorf("nothing is sealed here: %w", store.ErrSealed)
	}
	key, err := derive(text, x.Salt, purpose)
	if err != nil {
		return secret.Text{}, fmt.Errorf("derive a key: %w", err)
	}
	defer key.Wipe()
	what, err := vault.OpenWith(key, x.Data, []byte(purpose+"\x00"+id))
	if err != nil {
		return secret.Text{}, fmt.Errorf("%w: %w", store.ErrSealed, err)
	}
	return what, nil
}

// loginSealer seals the records of one login under its key. The keys of rows are hashed without it: a row can be
// removed by who cannot read it. The engine below hides them once more, with the server's key.
type loginSealer struct{ key secret.Text }

func (s loginSealer) Seal(plaintext, ad []byte) ([]byte, error) {
	t := secret.New(bytes.Clone(plaintext))
	defer t.Wipe()
	return vault.SealWith(s.key, t, ad)
}

func (s loginSealer) Open(ciphertext, ad []byte) ([]byte, error) {
	t, err := vault.OpenWith(s.key, ciphertext, ad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrSealed, err)
	}
	defer t.Wipe()
	var plain []byte
	err = t.Use(func(b []byte) error { plain = bytes.Clone(b); return nil })
	return plain, err
}

func (s loginSealer) HashPart(table, part string) ([]byte, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "oidcbox mytoken 1 row\x00%d\x00%s%s", len(table), table, part))
	return sum[:vault.HashSize], nil
}

// hashOf is the SHA-256 of a mytoken: equality with that of a row is authenticity.
func hashOf(t secret.Text) []byte {
	var sum [sha256.Size]byte
	_ = t.Use(func(b []byte) error { sum = sha256.Sum256(b); return nil })
	return sum[:]
}

// newID returns 128 random bits as text.
func newID() string { return rand.Text() }
