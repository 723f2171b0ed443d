package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

// Limits and lengths of the header.
const (
	MaxSlots = 8
	MaxLabel = 64 // bytes of a slot's label

	magic      = "oidcboxK"
	version    = 1
	idSize     = 16
	slotIDSize = 4
	wrapSize   = 24 + 32 + 16 // nonce, data key, tag
	maxParams  = 512
	sumSize    = sha256.Size
	maxHeader  = 8 << 10
	prefixSize = len(magic) + 2 + 4 + 4 + idSize

	infoMAC = "oidcbox keystore v1 header"
)

// header is the one record that is not sealed.
type header struct {
	epoch   uint32       // counts data keys from 1; tables carry it in their names
	stale   uint32       // epoch whose tables are left over from a Rekey, 0 for none
	id      [idSize]byte // of the data key, random
	created time.Time    // of the keystore
	slots   []slot
	mac     [sumSize]byte
}

// slot is one wrapped copy of the data key.
type slot struct {
	id      [slotIDSize]byte
	kind    Kind
	created time.Time
	label   string
	params  []byte // what the kind needs to find the key again; see params.go
	wrapped [wrapSize]byte
}

// body is everything the MAC covers.
func (h *header) body() []byte {
	b := []byte(magic)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint32(b, h.epoch)
	b = binary.BigEndian.AppendUint32(b, h.stale)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.created.Unix()))
	b = append(b, byte(len(h.slots)))
	for _, s := range h.slots {
		b = append(b, s.id[:]...)
		b = append(b, byte(s.kind))
		b = binary.BigEndian.AppendUint64(b, uint64(s.created.Unix()))
		b = append(b, byte(len(s.label)))
		b = append(b, s.label...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.params)))
		b = append(b, s.params...)
		b = append(b, s.wrapped[:]...)
	}
	return b
}

// encode is the body, the MAC as it stands, and a checksum of both.
func (h *header) encode() []byte {
	b := append(h.body(), h.mac[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// sign sets the MAC under a key derived from the data key.
func (h *header) sign(dataKey secret.Text) error {
	mac, err := h.computeMAC(dataKey)
	if err != nil {
		return err
	}
	copy(h.mac[:], mac)
	return nil
}

// verify reports whether the MAC is right.
func (h *header) verify(dataKey secret.Text) error {
	mac, err := h.computeMAC(dataKey)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac, h.mac[:]) {
		return fmt.Errorf("%w: %w", ErrTampered, store.ErrCorrupt)
	}
	return nil
}

func (h *header) computeMAC(dataKey secret.Text) ([]byte, error) {
	key, err := vault.Derive(dataKey, infoMAC)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	var sum []byte
	err = key.Use(func(k []byte) error {
		m := hmac.New(sha256.New, k)
		_, _ = m.Write(h.body())
		sum = m.Sum(nil)
		return nil
	})
	return sum, err
}

// wrapAD binds a wrapped data key to its keystore, epoch and slot, so that a slot cannot be moved, and its parameters
// cannot be exchanged.
func (h *header) wrapAD(s *slot) []byte {
	b := binary.BigEndian.AppendUint16([]byte("oidcbox keystore slot"), version)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint32(b, h.epoch)
	b = append(b, s.id[:]...)
	b = append(b, byte(s.kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.params)))
	return append(b, s.params...)
}

// era names a data key: a transaction that finds another one in the header has the wrong key. The number alone would
// not do, since a restored backup counts again from an older one.
type era struct {
	epoch uint32
	id    [idSize]byte
}

func (h *header) era() era { return era{epoch: h.epoch, id: h.id} }

// parsePrefix reads the part of a header that every transaction looks at. The error wraps store.ErrVersion or
// store.ErrCorrupt.
func parsePrefix(b []byte) (e era, stale uint32, err error) {
	if len(b) < prefixSize || string(b[:len(magic)]) != magic {
		return era{}, 0, damaged("it does not begin as one")
	}
	r := &reader{b: b[len(magic):]}
	if v := r.uint16(); v != version {
		return era{}, 0, fmt.Errorf("keystore header has version %d, this program knows %d: %w", v, version,
			store.ErrVersion)
	}
	e.epoch, stale = r.uint32(), r.uint32()
	copy(e.id[:], r.take(idSize))
	return e, stale, nil
}

// parseHeader is strict: what it accepts encodes to the same bytes again.
func parseHeader(b []byte) (*header, error) {
	if string(b) == halfCopy {
		return nil, ErrHalfCopy
	}
	era, stale, err := parsePrefix(b)
	if err != nil {
		return nil, err
	}
	if len(b) > maxHeader || len(b) < prefixSize+2*sumSize {
		return nil, damaged("wrong length")
	}
	signed := b[:len(b)-sumSize]
	if sum := sha256.Sum256(signed); !bytes.Equal(sum[:], b[len(signed):]) {
		return nil, damaged("wrong checksum")
	}
	h := &header{epoch: era.epoch, stale: stale, id: era.id}
	copy(h.mac[:], signed[len(signed)-sumSize:])
	r := &reader{b: signed[prefixSize : len(signed)-sumSize]}
	h.created = r.time()
	n := int(r.byte())
	if n < 1 || n > MaxSlots {
		return nil, damaged("it has %d slots", n)
	}
	for range n {
		h.slots = append(h.slots, r.slot())
	}
	if r.failed || len(r.b) != 0 {
		return nil, damaged("wrong length")
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	return h, nil
}

// check refuses values that encode well and mean nothing.
func (h *header) check() error {
	if h.epoch == 0 || h.stale == h.epoch {
		return damaged("epoch %d, stale %d", h.epoch, h.stale)
	}
	for i, s := range h.slots {
		if err := checkLabel(s.label); err != nil {
			return damaged("slot %d: %v", i, err)
		}
		if err := checkParams(s.kind, s.params); err != nil {
			return damaged("slot %d: %v", i, err)
		}
		for _, other := range h.slots[:i] {
			if other.id == s.id {
				return damaged("slot %d: its id occurs twice", i)
			}
		}
	}
	return nil
}

func checkLabel(label string) error {
	if len(label) > MaxLabel || !utf8.ValidString(label) {
		return fmt.Errorf("label is not UTF-8 of at most %d bytes", MaxLabel)
	}
	for _, r := range label {
		if !unicode.IsPrint(r) {
			return errors.New("label holds a character that cannot be printed")
		}
	}
	return nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("keystore header: %s: %w", fmt.Sprintf(format, args...), store.ErrCorrupt)
}

// reader takes fields off a byte string. After the first field that is not there it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || len(r.b) < n {
		r.failed = true
		return make([]byte, n)
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) time() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(r.take(8))), 0).UTC()
}

func (r *reader) slot() slot {
	var s slot
	copy(s.id[:], r.take(slotIDSize))
	s.kind = Kind(r.byte())
	s.created = r.time()
	s.label = string(r.take(int(r.byte())))
	n := int(r.uint16())
	if n > maxParams {
		r.failed = true
		return s
	}
	s.params = bytes.Clone(r.take(n))
	copy(s.wrapped[:], r.take(wrapSize))
	return s
}
