// Package geotest writes small databases of countries, for tests and the demo.
//
// It is no tool for real ones: every network is spelled out, and nothing is shared between records.
//
// Standards: MaxMind DB file format 2.0.
//
// Not a public API.
package geotest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// Network is one network and the country it is in, two letters.
type Network struct {
	Prefix  netip.Prefix
	Country string
}

// Type is what the databases call themselves.
const Type = "OIDCbox-Test-Country"

// ErrNetwork is returned for a network that cannot be written: inside or around another one, or without a country.
var ErrNetwork = errors.New("network cannot be written")

// node is one bit of the tree: each side leads to another node, to a record, or nowhere.
type node struct {
	to     [2]*node
	record int // offset among the data, -1: an inner node
}

// Encode returns a database that was built at a time.
func Encode(built time.Time, networks ...Network) ([]byte, error) {
	root := &node{record: -1}
	var data []byte
	for _, n := range networks {
		if len(n.Country) != 2 || !n.Prefix.IsValid() || !insert(root, n.Prefix.Masked(), len(data)) {
			return nil, ErrNetwork
		}
		data = append(data, mapOf("country", mapOf("iso_code", text(n.Country)))...)
	}
	nodes := flatten(root)
	number := map[*node]uint32{}
	for i, n := range nodes {
		number[n] = uint32(i)
	}
	var b []byte
	for _, n := range nodes {
		for _, to := range n.to {
			b = append24(b, target(to, number, uint32(len(nodes))))
		}
	}
	b = append(b, make([]byte, separator)...)
	b = append(b, data...)
	b = append(b, "\xab\xcd\xefMaxMind.com"...)
	return append(b, metadata(built, uint32(len(nodes)))...), nil
}

const separator = 16 // zero bytes between tree and data

// target is the value of a record of the tree: another node, a place among the data, or that there is nothing.
func target(to *node, number map[*node]uint32, count uint32) uint32 {
	switch {
	case to == nil:
		return count
	case to.record >= 0:
		return count + separator + uint32(to.record)
	}
	return number[to]
}

// insert follows the bits of p, those of an IPv4 address below ::/96. It reports whether there was room.
func insert(root *node, p netip.Prefix, record int) bool {
	a := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		v4 := p.Addr().As4()
		a = [16]byte{12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]}
		bits += 96
	}
	at := root
	for i := range bits {
		side := a[i/8] >> (7 - i%8) & 1
		if at.to[side] == nil {
			at.to[side] = &node{record: -1}
		}
		at = at.to[side]
		if at.record >= 0 {
			return false
		}
	}
	if bits == 0 || at.to != [2]*node{} {
		return false
	}
	at.record = record
	return true
}

// flatten lists the inner nodes, the root first.
func flatten(root *node) []*node {
	list := []*node{root}
	for i := 0; i < len(list); i++ {
		for _, to := range list[i].to {
			if to != nil && to.record < 0 {
				list = append(list, to)
			}
		}
	}
	return list
}

func append24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

func metadata(built time.Time, count uint32) []byte {
	return mapOf(
		"binary_format_major_version", number(5, 2),
		"binary_format_minor_version", number(5, 0),
		"build_epoch", number(9, uint64(built.Unix())),
		"database_type", text(Type),
		"description", mapOf("en", text("made for a test")),
		"ip_version", number(5, 6),
		"languages", control(11, 0),
		"node_count", number(6, uint64(count)),
		"record_size", number(5, 24),
	)
}

// mapOf encodes pairs of a name and a value that is encoded already.
func mapOf(pairs ...any) []byte {
	b := control(7, len(pairs)/2)
	for _, p := range pairs {
		switch v := p.(type) {
		case string:
			b = append(b, text(v)...)
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

func text(s string) []byte { return append(control(2, len(s)), s...) }

// number encodes an unsigned integer of a type, in as few bytes as it takes.
func number(kind int, v uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, v)
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return append(control(kind, len(b)), b...)
}

// control is the byte or the bytes in front of a value of at most 284 bytes or entries.
func control(kind, size int) []byte {
	first, rest := byte(size), []byte(nil)
	if size >= 29 {
		first, rest = 29, []byte{byte(size - 29)}
	}
	if kind > 7 {
		return append([]byte{first, byte(kind - 7)}, rest...)
	}
	return append([]byte{byte(kind)<<5 | first}, rest...)
}
