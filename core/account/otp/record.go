package otp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Tables. Records of passwords stand under the digest of the password, lists under the identity.
func passwords() store.Table { return store.Table{Name: "otp", HideKeys: true} }
func owners() store.Table    { return store.Table{Name: "otp-owner", HideKeys: true} }

const (
	digestLabel = "oidcbox one-time password\x00"
	sealLabel   = "oidcbox one-time password: access token"
)

// record is a password as it is kept.
type record struct {
	Kind form.Kind `json:"kind"`
	ID   string    `json:"id"`
	Name string    `json:"name,omitempty"`
	// Token is nonce and ciphertext, with a key that only the password gives; ID is bound to it.
	Token []byte `json:"token,omitempty"`
}

// entry is a password in the list of its identity.
type entry struct {
	Key     string `json:"k"`
	Expires int64  `json:"e"` // milliseconds since 1970
}

// canonical returns a copy of what was presented in the spelling that is kept, and what it looks like.
func canonical(presented secret.Text) (secret.Text, form.Kind) {
	var spelt []byte
	kind := form.Other
	_ = presented.Use(func(p []byte) error {
		if c, ok := form.Canonical(p); ok {
			spelt, kind = c, form.Own
			return nil
		}
		if kind = form.LooksLike(p); kind == form.CompatForm {
			spelt = append(spelt, p...)
		}
		return nil
	})
	return secret.New(spelt), kind
}

// digest is the key of a password's record. A password has so many random bits that nothing is gained by a slow hash.
func digest(presented secret.Text) string {
	h := sha256.New()
	_, _ = io.WriteString(h, digestLabel)
	_ = presented.Use(func(p []byte) error {
		_, err := h.Write(p)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))
}

// sealer gives the cipher for the token behind a password.
func sealer(presented secret.Text) (cipher.AEAD, error) {
	var key []byte
	err := presented.Use(func(p []byte) (err error) {
		key, err = hkdf.Key(sha256.New, p, nil, sealLabel, 32)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("derive the key of a one-time password: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal an access token: %w", err)
	}
	return cipher.NewGCM(block)
}

// seal encodes the record of a password.
func seal(presented secret.Text, f Found) ([]byte, error) {
	r := record{Kind: f.Kind, ID: f.ID, Name: f.Name}
	if !f.Token.Empty() {
		aead, err := sealer(presented)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+f.Token.Len()+aead.Overhead())
		_, _ = rand.Read(nonce)
		err = f.Token.Use(func(t []byte) error {
			r.Token = aead.Seal(nonce, nonce, t, []byte(f.ID))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("seal an access token: %w", err)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a one-time password: %w", err)
	}
	return b, nil
}

// open decodes the record of a password that was presented.
func open(presented secret.Text, value []byte) (Found, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil || r.ID == "" {
		return Found{}, ErrDamaged
	}
	f := Found{Kind: r.Kind, ID: r.ID, Name: r.Name}
	if f.Kind == form.CompatForm && len(r.Token) == 0 || f.Kind == form.Own && f.Name == "" {
		return Found{}, ErrDamaged
	}
	if len(r.Token) == 0 {
		return f, nil
	}
	aead, err := sealer(presented)
	if err != nil {
		return Found{}, err
	}
	n := aead.NonceSize()
	if len(r.Token) < n {
		return Found{}, ErrDamaged
	}
	token, err := aead.Open(nil, r.Token[:n], r.Token[n:], []byte(r.ID))
	if err != nil {
		return Found{}, ErrDamaged
	}
	f.Token = secret.New(token)
	return f, nil
}

// owned locks and reads the list of an identity, without what has expired.
func (b *Book) owned(tx store.WTx, id string) ([]entry, error) {
	r, err := tx.GetForUpdate(owners(), store.Key{ownerKey(id)})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []entry
	if err := json.Unmarshal(r.Value, &list); err != nil {
		return nil, ErrDamaged
	}
	now, live := b.o.Now(), list[:0]
	for _, e := range list {
		if !store.Expired(e.Expires, now) {
			live = append(live, e)
		}
	}
	return live, nil
}

// ownerKey names the list of an identity, whose text may be longer than a key.
func ownerKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// putOwned writes the list of an identity. It ends with the last password in it.
func putOwned(tx store.WTx, id string, list []entry) error {
	value, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode a list of one-time passwords: %w", err)
	}
	last := int64(0)
	for _, e := range list {
		last = max(last, e.Expires)
	}
	return tx.Put(owners(), store.Record{
		Key: store.Key{ownerKey(id)}, Value: value, Expires: time.UnixMilli(last),
	})
}

// enlist adds e, in place of an older entry for the same password, and returns what is one too many.
func enlist(list []entry, e entry, most int) (kept, surplus []entry) {
	for _, old := range list {
		if old.Key != e.Key {
			kept = append(kept, old)
		}
	}
	kept = append(kept, e)
	if n := len(kept) - most; n > 0 {
		return kept[n:], kept[:n]
	}
	return kept, nil
}
