package login

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// MaxFile bounds every file this package reads.
const MaxFile = 1 << 20

// The constants of the format since version 2.1.0. The original reads no others.
const (
	nonceSize = 24
	saltSize  = 16
	macSize   = 16
	keySize   = 32

	generated = "Generated using version: "
	// fileVersion is what we call ourselves in the last line: the version of the original whose files ours are like.
	fileVersion = "5.3.3"
	// newFormat is the first version of the present format.
	newFormat = "2.1.0"
)

// Format says how an account file is encrypted.
type Format int

// Formats of account files.
const (
	Password    Format = iota + 1 // seven lines, since 2.1.0
	OldPassword                   // one line, before 2.1.0; only read
	PGP                           // an OpenPGP message for gpg
)

// File is an account file taken apart, not opened yet.
type File struct {
	Format  Format
	Version string // of the program that wrote it; "" where it does not say

	params vault.Params
	nonce  []byte
	salt   []byte
	cipher []byte
	check  []byte
	armour []byte
	sum    [sha256.Size]byte
}

// Sum tells files apart: it is the SHA-256 of the bytes the file was read from.
func (f File) Sum() [sha256.Size]byte { return f.sum }

// ParseFile takes an account file apart. The error wraps ErrFormat, ErrParams or ErrTooLarge.
func ParseFile(b []byte) (File, error) {
	f, err := parseFile(b)
	if err != nil {
		return File{}, err
	}
	f.sum = sha256.Sum256(b)
	return f, nil
}

func parseFile(b []byte) (File, error) {
	if len(b) > MaxFile {
		return File{}, ErrTooLarge
	}
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte(pgpBegin)) {
		return parsePGP(b)
	}
	// Written without a newline at the end; editors and shells add one.
	lines := strings.Split(strings.TrimRight(string(b), "\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	version := ""
	if last := lines[len(lines)-1]; strings.HasPrefix(last, generated) {
		version = strings.TrimSpace(strings.TrimPrefix(last, generated))
		lines = lines[:len(lines)-1]
	}
	if atLeast(version, newFormat) {
		return parseNew(lines, version)
	}
	return parseOld(lines, version)
}

func parseNew(lines []string, version string) (File, error) {
	if len(lines) != 6 {
		return File{}, fmt.Errorf("%w: %d lines before the version, want 6", ErrFormat, len(lines))
	}
	p, err := parseParams(lines[3])
	if err != nil {
		return File{}, err
	}
	f := File{Format: Password, Version: version, params: p}
	for _, part := range []struct {
		name string
		line string
		size int // 0: any
		to   *[]byte
	}{
		{"nonce", lines[1], nonceSize, &f.nonce},
		{"salt", lines[2], saltSize, &f.salt},
		{"ciphertext", lines[4], 0, &f.cipher},
		{"check key", lines[5], keySize, &f.check},
	} {
		v, err := base64.StdEncoding.Strict().DecodeString(part.line)
		if err != nil {
			return File{}, fmt.Errorf("%w: the %s is no base64", ErrFormat, part.name)
		}
		if part.size != 0 && len(v) != part.size {
			return File{}, fmt.Errorf("%w: the %s has %d bytes, want %d", ErrFormat, part.name, len(v), part.size)
		}
		*part.to = v
	}
	if n, err := strconv.Atoi(lines[0]); err != nil || n != len(f.cipher) || n < macSize {
		return File{}, fmt.Errorf("%w: the ciphertext has not the stated length", ErrFormat)
	}
	return f, nil
}

// parseParams reads line 4: nonce : salt : MAC : key length : base64 variant : passes : bytes of memory : algorithm.
func parseParams(line string) (vault.Params, error) {
	var n [8]uint64
	parts := strings.Split(line, ":")
	if len(parts) != len(n) {
		return vault.Params{}, fmt.Errorf("%w: line 4 has %d numbers, want %d", ErrFormat, len(parts), len(n))
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 63)
		if err != nil {
			return vault.Params{}, fmt.Errorf("%w: line 4 has something else than numbers", ErrFormat)
		}
		n[i] = v
	}
	if [5]uint64(n[:5]) != [5]uint64{nonceSize, saltSize, macSize, keySize, 1} || n[7] != 2 {
		return vault.Params{}, fmt.Errorf("%w: line 4 names a cipher or encoding of another kind", ErrFormat)
	}
	if n[5] > math.MaxUint32 || n[6]>>10 > math.MaxUint32 {
		return vault.Params{}, fmt.Errorf("%w: %d passes over %d bytes", ErrParams, n[5], n[6])
	}
	p := vault.Params{Time: uint32(n[5]), Memory: uint32(n[6] >> 10), Threads: 1}
	if err := p.Check(); err != nil {
		return vault.Params{}, fmt.Errorf("%w: %w", ErrParams, err)
	}
	return p, nil
}

// parseOld reads the single line of versions before 2.1.0: length : salt : nonce : ciphertext, in hexadecimal.
func parseOld(lines []string, version string) (File, error) {
	if len(lines) != 1 {
		return File{}, ErrFormat
	}
	parts := strings.Split(lines[0], ":")
	if len(parts) != 4 {
		return File{}, ErrFormat
	}
	f := File{Format: OldPassword, Version: version}
	var err [3]error
	f.salt, err[0] = hex.DecodeString(parts[1])
	f.nonce, err[1] = hex.DecodeString(parts[2])
	f.cipher, err[2] = hex.DecodeString(parts[3])
	if err != [3]error{} || len(f.salt) != saltSize || len(f.nonce) != nonceSize || len(f.cipher) < macSize {
		return File{}, ErrFormat
	}
	// Some versions stated the length of the plaintext, some that of the ciphertext.
	if n, err := strconv.Atoi(parts[0]); err != nil || n != len(f.cipher) && n != len(f.cipher)-macSize {
		return File{}, fmt.Errorf("%w: the ciphertext has not the stated length", ErrFormat)
	}
	return f, nil
}

const (
	pgpBegin = "-----BEGIN PGP MESSAGE-----"
	pgpEnd   = "-----END PGP MESSAGE-----"
)

func parsePGP(b []byte) (File, error) {
	b = bytes.TrimLeft(b, " \t\r\n")
	i := bytes.Index(b, []byte(pgpEnd))
	if i < 0 {
		return File{}, fmt.Errorf("%w: the OpenPGP message has no end", ErrFormat)
	}
	f := File{Format: PGP, armour: append(bytes.Clone(b[:i+len(pgpEnd)]), '\n')}
	if _, v, ok := strings.Cut(string(b[i:]), generated); ok {
		f.Version = strings.TrimSpace(v)
	}
	return f, nil
}

// Armour returns the OpenPGP message for gpg's standard input, nil for files of other formats.
func (f File) Armour() []byte { return bytes.Clone(f.armour) }

// Open decrypts the file. The error wraps ErrWrongPassword, ErrFormat when the password fits but the content was
// changed, or ErrPGP. The caller wipes the result.
func (f File) Open(ctx context.Context, password secret.Text) (secret.Text, error) {
	switch f.Format {
	case Password:
		return f.openNew(ctx, password)
	case OldPassword:
		return f.openOld(ctx, password)
	case PGP:
		return secret.Text{}, ErrPGP
	default:
		return secret.Text{}, ErrFormat
	}
}

// atLeast compares versions of three numbers. What is none counts as older than any.
func atLeast(version, want string) bool {
	have, ok := numbers(version)
	if !ok {
		return false
	}
	least, _ := numbers(want)
	for i := range have {
		if have[i] != least[i] {
			return have[i] > least[i]
		}
	}
	return true
}

func numbers(version string) (n [3]uint64, ok bool) {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	if len(parts) < len(n) {
		return n, false
	}
	for i := range n {
		v, err := strconv.ParseUint(parts[i], 10, 32)
		if err != nil {
			return n, false
		}
		n[i] = v
	}
	return n, true
}
