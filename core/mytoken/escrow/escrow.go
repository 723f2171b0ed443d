package escrow

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

var (
	// ErrKey is returned for a file that is no X25519 key of the kind that is wanted, in PEM.
	ErrKey = errors.New("not an X25519 key in PEM")
	// ErrSealed is returned for a deposit that another key opens, or that was changed.
	ErrSealed = errors.New("deposit does not open with this key")
)

const (
	typePublic  = "PUBLIC KEY"
	typePrivate = "PRIVATE KEY"
	purpose     = "oidcbox mytoken 1 escrow"
	version     = 1
	maxBox      = 64 << 10
)

// Recipient is the public half of an escrow key. It seals, and opens nothing.
type Recipient struct {
	key hpke.PublicKey
	id  string
}

// Key is the private half. It prints as nothing but its ID.
type Key struct {
	key func() hpke.PrivateKey
	id  string
}

// Deposit is a refresh token with what is needed to revoke it.
type Deposit struct {
	Login   string // of the server's records; a deposit opens under no other
	Issuer  string // of the provider
	Subject string
	At      time.Time // when it was sealed
	Refresh secret.Text
}

// ParseRecipient reads a public key (PEM, SubjectPublicKeyInfo).
func ParseRecipient(text []byte) (*Recipient, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != typePublic {
		return nil, fmt.Errorf("read the escrow key: %w", ErrKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the escrow key: %w", ErrKey)
	}
	key, ok := parsed.(*ecdh.PublicKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("read the escrow key: %w", ErrKey)
	}
	pub, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("read the escrow key: %w", ErrKey)
	}
	return &Recipient{key: pub, id: idOf(key)}, nil
}

// idOf names a key pair: the beginning of the SHA-256 of its public half.
func idOf(key *ecdh.PublicKey) string {
	sum := sha256.Sum256(key.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// ID names the key pair; it is the same for both halves.
func (r *Recipient) ID() string { return r.id }

// ParseKey reads a private key (PEM, PKCS #8, not encrypted).
func ParseKey(text secret.Text) (*Key, error) {
	var key *ecdh.PrivateKey
	_ = text.Use(func(b []byte) error {
		block, _ := pem.Decode(b)
		if block == nil || block.Type != typePrivate {
			return nil
		}
		defer clear(block.Bytes)
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err == nil {
			key, _ = parsed.(*ecdh.PrivateKey)
		}
		return nil
	})
	if key == nil || key.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("read the private escrow key: %w", ErrKey)
	}
	private, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("read the private escrow key: %w", ErrKey)
	}
	return &Key{key: func() hpke.PrivateKey { return private }, id: idOf(key.PublicKey())}, nil
}

// ID names the key pair.
func (k *Key) ID() string { return k.id }

// String returns the ID.
func (k *Key) String() string { return "escrow key " + k.id }

// GenerateKey makes a key pair, both halves in PEM. The private one belongs into a safe, not onto the server.
func GenerateKey() (private secret.Text, public []byte, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("make an escrow key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("make an escrow key: %w", err)
	}
	defer clear(der)
	pub, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("make an escrow key: %w", err)
	}
	private = secret.New(pem.EncodeToMemory(&pem.Block{Type: typePrivate, Bytes: der}))
	return private, pem.EncodeToMemory(&pem.Block{Type: typePublic, Bytes: pub}), nil
}

// content is what lies in a box.
type content struct {
	Version int       `json:"v"`
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	At      time.Time `json:"at"`
	Refresh string    `json:"refresh_token"`
}

func info(login string) []byte { return []byte(purpose + "\x00" + login) }

// Seal returns a box that the private half of the key opens, under the same login only.
func (r *Recipient) Seal(d Deposit) ([]byte, error) {
	text, err := json.Marshal(content{version, d.Issuer, d.Subject, d.At.UTC(), d.Refresh.Expose()})
	if err != nil {
		return nil, fmt.Errorf("seal a refresh token: %w", err)
	}
	defer clear(text)
	box, err := hpke.Seal(r.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info(d.Login), text)
	if err != nil {
		return nil, fmt.Errorf("seal a refresh token: %w", err)
	}
	return box, nil
}

// Open returns what was sealed for a login. The error is ErrSealed for another key, another login, and changed bytes.
// The caller wipes the refresh token.
func (k *Key) Open(login string, box []byte) (Deposit, error) {
	if len(box) > maxBox {
		return Deposit{}, fmt.Errorf("open a deposit: %w", ErrSealed)
	}
	text, err := hpke.Open(k.key(), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info(login), box)
	if err != nil {
		return Deposit{}, fmt.Errorf("open a deposit: %w", ErrSealed)
	}
	defer clear(text)
	var c content
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&c); err != nil || c.Version != version || c.Refresh == "" {
		return Deposit{}, fmt.Errorf("open a deposit: it is not one of this version: %w", ErrSealed)
	}
	return Deposit{
		Login: login, Issuer: c.Issuer, Subject: c.Subject, At: c.At, Refresh: secret.FromString(c.Refresh),
	}, nil
}
