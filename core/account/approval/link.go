package approval

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// A link is the base64url of
//
//	version (1 byte, 1) · who asks (16 bytes of a hash) · what for (16) · which administrator (8) ·
//	until (8, Unix seconds) · HMAC-SHA-256 of all that
//
// in which the hashes are the first bytes of a SHA-256. It is short, so that no mail program breaks it, and says nothing
// about anybody.
const (
	linkVersion = 1
	whoBytes    = 16
	whatBytes   = 16
	adminBytes  = 8
	linkBody    = 1 + whoBytes + whatBytes + adminBytes + 8
	linkBytes   = linkBody + sha256.Size
	keyBytes    = 32
)

// link is what was signed.
type link struct {
	who   [whoBytes]byte
	what  [whatBytes]byte
	admin [adminBytes]byte
	until time.Time
}

func (l link) sign(key []byte) string {
	b := make([]byte, 0, linkBytes)
	b = append(b, linkVersion)
	b = append(b, l.who[:]...)
	b = append(b, l.what[:]...)
	b = append(b, l.admin[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, mac(key, b)...))
}

func mac(key, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("oidcbox approval link\x00"))
	m.Write(body)
	return m.Sum(nil)
}

// parseLink reads a link that was signed with key and has not expired. The error is ErrLink.
func parseLink(text string, key []byte, now time.Time) (link, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The decoder passes over line breaks: a link has one spelling.
	if err != nil || len(b) != linkBytes || b[0] != linkVersion || strings.ContainsAny(text, "\r\n") {
		return link{}, fmt.Errorf("%w: it has another form", ErrLink)
	}
	if !hmac.Equal(b[linkBody:], mac(key, b[:linkBody])) {
		return link{}, fmt.Errorf("%w: signature", ErrLink)
	}
	var l link
	rest := b[1:]
	rest = rest[copy(l.who[:], rest):]
	rest = rest[copy(l.what[:], rest):]
	rest = rest[copy(l.admin[:], rest):]
	l.until = time.Unix(int64(binary.BigEndian.Uint64(rest)), 0)
	if !now.Before(l.until) {
		return link{}, fmt.Errorf("%w: it was good until %s", ErrLink, l.until.UTC().Format(time.DateTime))
	}
	return l, nil
}

// signingKey returns the key of this store's links, which is made at the first need of it.
func (o *Office) signingKey(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, keyBytes)
	_, _ = rand.Read(fresh) // it never fails
	var key []byte
	read := func(tx store.Tx) error {
		r, err := tx.Get(table(), store.Key{kindKey})
		key = r.Value
		return err
	}
	err := o.o.Engine.View(ctx, read)
	if errors.Is(err, store.ErrNotFound) {
		err = o.o.Engine.Update(ctx, func(tx store.WTx) error {
			r, err := tx.GetForUpdate(table(), store.Key{kindKey})
			key = r.Value
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
			key = fresh
			return tx.Put(table(), store.Record{Key: store.Key{kindKey}, Value: fresh})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("find the key of links: %w", err)
	}
	if len(key) != keyBytes {
		return nil, fmt.Errorf("find the key of links: %w", ErrRecord)
	}
	return key, nil
}

func short[T [whoBytes]byte | [adminBytes]byte](text string) (out T) {
	sum := sha256.Sum256([]byte(text))
	switch p := any(&out).(type) {
	case *[whoBytes]byte:
		copy(p[:], sum[:])
	case *[adminBytes]byte:
		copy(p[:], sum[:])
	}
	return out
}
