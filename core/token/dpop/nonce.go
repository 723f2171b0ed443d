package dpop

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// nonceLife is how long a nonce is taken, nonceStep how often it changes: within a step all answers carry the same, so
// that a client has something to keep.
const (
	nonceLife = 5 * time.Minute
	nonceStep = time.Minute
	nonceText = 32 // characters: 8 bytes of time, 16 of the code over it
	minKey    = 32
)

// nonces makes and knows nonces without keeping any: each is a time and a code over it.
type nonces struct {
	o   Options
	key func() []byte // behind a closure, so that no verb of fmt reaches it
}

func newNonces(o Options) (*nonces, error) {
	key := make([]byte, minKey)
	if o.NonceKey.Empty() {
		_, _ = rand.Read(key) // never fails
	} else {
		if o.NonceKey.Len() < minKey {
			return nil, fmt.Errorf("%w: the key of the nonces has less than %d bytes", ErrOptions, minKey)
		}
		key = []byte(o.NonceKey.Expose())
	}
	return &nonces{o: o, key: func() []byte { return key }}, nil
}

// at returns the nonce of a time.
func (n *nonces) at(now time.Time) string {
	return n.of(now.Truncate(nonceStep).Unix())
}

func (n *nonces) of(seconds int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(seconds))
	h := hmac.New(sha256.New, n.key())
	h.Write([]byte("oidcbox DPoP nonce\n"))
	h.Write(b)
	return base64.RawURLEncoding.EncodeToString(h.Sum(b)[:nonceText*3/4])
}

// ours reports whether nonce is one that at returned not too long ago.
func (n *nonces) ours(nonce string, now time.Time) bool {
	if len(nonce) != nonceText {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil {
		return false
	}
	seconds := int64(binary.BigEndian.Uint64(b))
	if subtle.ConstantTimeCompare([]byte(n.of(seconds)), []byte(nonce)) != 1 {
		return false
	}
	made := time.Unix(seconds, 0)
	// Another instance's clock may be ahead of ours.
	return !made.After(now.Add(n.o.Ahead)) && !now.After(made.Add(nonceLife))
}
