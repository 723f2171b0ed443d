package store

import (
	"errors"
	"fmt"
)

// Bytes of an encoded key. A part ends with keyEnd; a part byte 0x00 or 0x01 is written as keyEscape and itself plus
// one, so that keyEnd occurs nowhere else and the order of parts is the order of bytes.
const (
	keyEnd    = 0x00
	keyEscape = 0x01
)

var errKeyBytes = errors.New("bytes are no encoded key")

// Encode returns the bytes an engine keeps the key under. They sort as the parts do, part by part, and the encoding of
// a prefix is a prefix of the encoding. It does not check limits.
func (k Key) Encode() []byte {
	n := len(k)
	for _, part := range k {
		n += len(part)
	}
	b := make([]byte, 0, n)
	for _, part := range k {
		for i := range len(part) {
			if c := part[i]; c <= keyEscape {
				b = append(b, keyEscape, c+1)
				continue
			}
			b = append(b, part[i])
		}
		b = append(b, keyEnd)
	}
	return b
}

// ParseKey reverses Encode. Whatever it accepts encodes to the same bytes again.
func ParseKey(b []byte) (Key, error) {
	var (
		key  Key
		part []byte
	)
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case keyEnd:
			key = append(key, string(part))
			part = part[:0]
			continue
		case keyEscape:
			i++
			if i == len(b) || b[i] < 1 || b[i] > 2 {
				return nil, fmt.Errorf("escape at byte %d: %w", i-1, errKeyBytes)
			}
			part = append(part, b[i]-1)
		default:
			part = append(part, b[i])
		}
	}
	if len(b) == 0 || b[len(b)-1] != keyEnd {
		return nil, fmt.Errorf("last part does not end: %w", errKeyBytes)
	}
	return key, nil
}
