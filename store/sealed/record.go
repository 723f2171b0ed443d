package sealed

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/store"
)

// adPrefix begins the associated data of every value and names this layout.
const adPrefix = "oidcbox store 1\x00"

// hide checks the key against the limits of the contract and returns what the engine keeps instead of it.
func (t readTx) hide(tab store.Table, key store.Key) (store.Key, error) {
	tab.Sealed = false
	if _, err := store.CheckKey(tab, key); err != nil {
		return nil, err
	}
	return t.hideParts(tab, key)
}

func (t readTx) hideParts(tab store.Table, key store.Key) (store.Key, error) {
	if !tab.HideKeys {
		return key, nil
	}
	hidden := make(store.Key, len(key))
	for i, part := range key {
		hash, err := t.sealer.HashPart(tab.Name, part)
		if err != nil {
			return nil, fmt.Errorf("hide key of table %q: %w", tab.Name, err)
		}
		hidden[i] = string(hash)
	}
	return hidden, nil
}

// seal turns a record into what the engine keeps. Where keys are hidden the real one goes before the value.
func (t readTx) seal(tab store.Table, r store.Record) (store.Record, error) {
	hidden, err := t.hide(tab, r.Key)
	if err != nil {
		return store.Record{}, err
	}
	tab.Sealed = false
	if err := store.CheckValue(tab, r.Value); err != nil {
		return store.Record{}, err
	}
	plain := r.Value
	if tab.HideKeys {
		key := r.Key.Encode()
		plain = make([]byte, 0, 2+len(key)+len(r.Value))
		plain = binary.BigEndian.AppendUint16(plain, uint16(len(key)))
		plain = append(append(plain, key...), r.Value...)
		defer clear(plain)
	}
	s := store.Record{Key: hidden, Expires: r.Expires}
	s.Value, err = t.sealer.Seal(plain, associated(tab, s))
	if err != nil {
		return store.Record{}, fmt.Errorf("seal record of table %q: %w", tab.Name, err)
	}
	return s, nil
}

// open reverses seal. want is the key that was asked for, nil in a Scan.
func (t readTx) open(tab store.Table, s store.Record, want store.Key) (store.Record, error) {
	plain, err := t.sealer.Open(s.Value, associated(tab, s))
	if err != nil {
		return store.Record{}, fmt.Errorf("open record of table %q: %w", tab.Name, err)
	}
	r := store.Record{Key: s.Key, Value: plain, Expires: s.Expires}
	if !tab.HideKeys {
		return r, nil
	}
	r.Key, r.Value, err = splitKey(plain)
	if err == nil && want != nil && !slices.Equal(r.Key, want) {
		err = fmt.Errorf("it belongs to another key: %w", store.ErrSealed)
	}
	if err != nil {
		return store.Record{}, fmt.Errorf("open record of table %q: %w", tab.Name, err)
	}
	return r, nil
}

func splitKey(plain []byte) (store.Key, []byte, error) {
	if len(plain) < 2 {
		return nil, nil, fmt.Errorf("it is too short: %w", store.ErrSealed)
	}
	n := int(binary.BigEndian.Uint16(plain))
	if len(plain) < 2+n {
		return nil, nil, fmt.Errorf("it is too short: %w", store.ErrSealed)
	}
	key, err := store.ParseKey(plain[2 : 2+n])
	if err != nil {
		return nil, nil, fmt.Errorf("its key is malformed: %w", store.ErrSealed)
	}
	return key, plain[2+n:], nil
}

// associated binds a value to its place: the layout, whether keys are hidden, the expiry, table and key.
func associated(tab store.Table, s store.Record) []byte {
	key := s.Key.Encode()
	ad := make([]byte, 0, len(adPrefix)+1+8+2+len(tab.Name)+len(key))
	ad = append(ad, adPrefix...)
	hidden := byte(0)
	if tab.HideKeys {
		hidden = 1
	}
	ad = append(ad, hidden)
	ad = binary.BigEndian.AppendUint64(ad, uint64(store.Millis(s.Expires)))
	ad = binary.BigEndian.AppendUint16(ad, uint16(len(tab.Name)))
	ad = append(ad, tab.Name...)
	return append(ad, key...)
}
