package jose

import (
	"bytes"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a key set.
const (
	MaxKeySet = 1 << 20
	maxKeys   = 256
	// maxTried bounds the signature checks one token can cost.
	maxTried = 4
)

// KeySet is a list of usable public keys. It does not change. The zero value and nil are empty.
type KeySet struct{ keys []*PublicKey }

// NewKeySet returns a set of these keys.
func NewKeySet(keys ...*PublicKey) *KeySet { return &KeySet{keys: keys} }

// ParseKeySet reads a JWK set (RFC 7517 section 5). Keys that are broken, weak, for another use or of a kind we do not
// know are left out and listed in skipped, each with its place in the set; they do not spoil the others. err is for a
// document that is no key set at all. A set without a usable key is not an error here.
func ParseKeySet(b []byte) (set *KeySet, skipped []error, err error) {
	if len(b) > MaxKeySet {
		return nil, nil, fmt.Errorf("read key set: %w", ErrTooLarge)
	}
	list, err := rawKeys(b)
	if err != nil {
		return nil, nil, fmt.Errorf("read key set: %w", err)
	}
	set = &KeySet{}
	for i, raw := range list {
		if i == maxKeys {
			return set, append(skipped, fmt.Errorf("key set has more than %d keys: the rest is left out", maxKeys)), nil
		}
		k, err := ParsePublicKey(raw)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the set: %w", i+1, err))
			continue
		}
		set.keys = append(set.keys, k)
	}
	return set, skipped, nil
}

// rawKeys finds the keys in the document. Faults that are inside one key (a repeated member, bad UTF-8) are left for
// ParsePublicKey to find, so that they cost that key only.
func rawKeys(b []byte) ([][]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return nil, ErrJSON
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, strictError(err)
	}
	var keys [][]byte
	found := false
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, strictError(err)
		}
		if name.String() != "keys" {
			if err := dec.SkipValue(); err != nil {
				return nil, strictError(err)
			}
			continue
		}
		if found {
			return nil, fmt.Errorf("%w: keys is there twice", ErrJSON)
		}
		found = true
		if keys, err = arrayOfValues(dec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, strictError(err)
	}
	if _, err := dec.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder's end is io.EOF itself
		return nil, fmt.Errorf("%w: something follows the object", ErrJSON)
	}
	if !found {
		return nil, fmt.Errorf("keys %w", ErrMissing)
	}
	return keys, nil
}

func arrayOfValues(dec *jsontext.Decoder) ([][]byte, error) {
	if dec.PeekKind() != '[' {
		return nil, &MemberError{"keys", "an array"}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, strictError(err)
	}
	var list [][]byte
	for dec.PeekKind() != ']' {
		if len(list) > maxKeys { // one more than is used says that there are more
			if err := dec.SkipValue(); err != nil {
				return nil, strictError(err)
			}
			continue
		}
		v, err := dec.ReadValue()
		if err != nil {
			return nil, strictError(err)
		}
		list = append(list, v.Clone())
	}
	_, err := dec.ReadToken()
	return list, err
}

// Len returns the number of usable keys.
func (s *KeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// Keys returns the usable keys in the order of the set.
func (s *KeySet) Keys() []*PublicKey {
	if s == nil {
		return nil
	}
	return append([]*PublicKey(nil), s.keys...)
}

// HasID reports whether a usable key has this kid.
func (s *KeySet) HasID(kid string) bool {
	if s == nil {
		return false
	}
	for _, k := range s.keys {
		if k.hasID && k.id == kid {
			return true
		}
	}
	return false
}

// Candidates returns the keys that may have signed a token with this header, at most four: those with exactly its kid,
// or all when it has none, and of them those that fit the algorithm.
func (s *KeySet) Candidates(h Header) []*PublicKey {
	if s == nil {
		return nil
	}
	var list []*PublicKey
	for _, k := range s.keys {
		if h.HasKeyID && (!k.hasID || k.id != h.KeyID) || !k.Fits(h.Alg) {
			continue
		}
		if list = append(list, k); len(list) == maxTried {
			break
		}
	}
	return list
}
