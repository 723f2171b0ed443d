package sshapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// errProxy is returned for a connection of a proxy without a header that can be read.
var errProxy = errors.New("no usable PROXY header")

const (
	// maxLine is the longest header of version 1, with its end.
	maxLine = 107
	// maxBlock bounds the part of a header of version 2 behind its length: addresses, and what proxies add.
	maxBlock = 2048
	// signature begins a header of version 2.
	signature = "\r\n\r\n\x00\r\nQUIT\n"
)

// readProxy reads the header of a proxy of ours and nothing behind it. The proxy's own checks (LOCAL, UNKNOWN) come
// from the proxy itself.
func readProxy(conn net.Conn, peer netip.Addr) (net.Conn, netip.Addr, error) {
	client, err := parseProxy(conn)
	if err != nil {
		return nil, peer, err
	}
	if !client.IsValid() {
		client = peer
	}
	return conn, client, nil
}

// parseProxy returns the client that a header names, the zero address where it names none. It reads byte by byte what it
// must: what follows is ssh's.
func parseProxy(r io.Reader) (netip.Addr, error) {
	head := make([]byte, len(signature))
	if _, err := io.ReadFull(r, head); err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", errProxy, err)
	}
	if string(head) == signature {
		return parseBlock(r)
	}
	if !bytes.HasPrefix(head, []byte("PROXY ")) {
		return netip.Addr{}, errProxy
	}
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n")) {
		if len(head) >= maxLine {
			return netip.Addr{}, fmt.Errorf("%w: it is too long", errProxy)
		}
		if _, err := io.ReadFull(r, one); err != nil {
			return netip.Addr{}, fmt.Errorf("%w: %w", errProxy, err)
		}
		head = append(head, one[0])
	}
	return parseLine(strings.TrimSuffix(string(head), "\r\n"))
}

// parseLine reads a header of version 1.
func parseLine(line string) (netip.Addr, error) {
	f := strings.Split(line, " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return netip.Addr{}, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return netip.Addr{}, errProxy
	}
	client, err := netip.ParseAddr(f[2])
	if err != nil || client.Zone() != "" || client.Is4() != (f[1] == "TCP4") {
		return netip.Addr{}, errProxy
	}
	return client.Unmap(), nil
}

// parseBlock reads what is behind the signature of a header of version 2.
func parseBlock(r io.Reader) (netip.Addr, error) {
	var fixed struct {
		Version, Family uint8
		Length          uint16
	}
	if err := binary.Read(r, binary.BigEndian, &fixed); err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", errProxy, err)
	}
	if fixed.Version>>4 != 2 || fixed.Length > maxBlock {
		return netip.Addr{}, errProxy
	}
	block := make([]byte, fixed.Length)
	if _, err := io.ReadFull(r, block); err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", errProxy, err)
	}
	switch fixed.Version & 0xf {
	case 0: // LOCAL: the proxy itself
		return netip.Addr{}, nil
	case 1:
	default:
		return netip.Addr{}, errProxy
	}
	size := 0
	switch fixed.Family {
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	default:
		return netip.Addr{}, fmt.Errorf("%w: neither TCP over IPv4 nor over IPv6", errProxy)
	}
	if len(block) < 2*size+4 {
		return netip.Addr{}, errProxy
	}
	client, _ := netip.AddrFromSlice(block[:size])
	return client.Unmap(), nil
}
