package sshapi

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/config"
)

// maxKeyFile bounds a file with a host key.
const maxKeyFile = 64 << 10

// ErrHostKey is returned for a file that is no host key, or that others can read.
var ErrHostKey = errors.New("no usable ssh host key")

// NewHostKey makes an Ed25519 key and returns it as OpenSSH keeps one. The caller clears it.
func NewHostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an ssh host key: %w", err)
	}
	defer clear(key)
	block, err := ssh.MarshalPrivateKey(key, "mytoken server")
	if err != nil {
		return nil, fmt.Errorf("write an ssh host key: %w", err)
	}
	defer clear(block.Bytes)
	return pem.EncodeToMemory(block), nil
}

// Signer is a host key, for who may not import the library.
type Signer = ssh.Signer

// ReadHostKeys reads host keys without passphrase, as ssh-keygen makes them. The error wraps ErrHostKey.
func ReadHostKeys(paths ...string) ([]ssh.Signer, error) {
	var out []ssh.Signer
	for _, path := range paths {
		s, err := readHostKey(path)
		if err != nil {
			return nil, fmt.Errorf("read the ssh host key %s: %w", path, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func readHostKey(path string) (ssh.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: others can get at it (mode %04o)", ErrHostKey, mode)
	}
	b, err := config.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, bare(err)
	}
	defer clear(b)
	s, err := ssh.ParsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no private key without passphrase", ErrHostKey)
	}
	return s, nil
}

// bare is an error without the path, which is named already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%w: %w", ErrHostKey, err)
}

// HostKey names a host key, for the server's own description.
type HostKey struct{ Type, Fingerprint string }

// HostKeysOf names host keys.
func HostKeysOf(signers []ssh.Signer) []HostKey {
	out := make([]HostKey, 0, len(signers))
	for _, s := range signers {
		out = append(out, HostKey{s.PublicKey().Type(), ssh.FingerprintSHA256(s.PublicKey())})
	}
	return out
}
