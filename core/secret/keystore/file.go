package keystore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Permissions that a file with a secret must not give. systemd shows the access list of its credentials as a group
// bit, so a passphrase file may be readable by its group.
const (
	keyFileDeny    fs.FileMode = 0o077
	passphraseDeny fs.FileMode = 0o027
)

// readKeyFile returns the bytes of a key file.
func readKeyFile(path string) (secret.Text, error) {
	b, err := readSecretFile(path, keyFileDeny, maxKey)
	if err != nil {
		return secret.Text{}, fmt.Errorf("key file: %w", err)
	}
	if len(b) < minKey {
		clear(b)
		return secret.Text{}, fmt.Errorf("key file %s has %d bytes, need at least %d: %w", path, len(b), minKey, ErrUnfit)
	}
	return secret.New(b), nil
}

// makeKeyFile reads the file, or creates it with random bytes. undo removes what was created.
func makeKeyFile(path string) (key secret.Text, undo func(), err error) {
	undo = func() {}
	if path == "" {
		return secret.Text{}, undo, fmt.Errorf("no key file was named: %w", ErrUnfit)
	}
	key, err = readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, undo, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return secret.Text{}, undo, fmt.Errorf("create key file: %w", err)
	}
	undo = func() { _ = os.Remove(path) }
	b := make([]byte, minKey)
	_, _ = rand.Read(b) // never fails
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		undo()
		return secret.Text{}, func() {}, fmt.Errorf("create key file: %w", err)
	}
	return secret.New(b), undo, nil
}

// readPassphraseFile returns the first line of a file without its end. Pipes are taken as well.
func readPassphraseFile(path string) (secret.Text, error) {
	b, err := readSecretFile(path, passphraseDeny, maxPassphrase)
	if err != nil {
		return secret.Text{}, fmt.Errorf("passphrase file: %w", err)
	}
	return firstLine(b), nil
}

func readCredential(dir, name string) (secret.Text, error) {
	b, err := readCredentialBytes(dir, name)
	if err != nil {
		return secret.Text{}, err
	}
	if len(b) < minKey {
		clear(b)
		return secret.Text{}, fmt.Errorf("credential %s has %d bytes, need at least %d: %w", name, len(b), minKey, ErrUnfit)
	}
	return secret.New(b), nil
}

// readCredentialLine takes a credential as a passphrase, if it is one line of text.
func readCredentialLine(dir, name string) (secret.Text, error) {
	b, err := readCredentialBytes(dir, name)
	if err != nil {
		return secret.Text{}, err
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(text) > maxPassphrase || bytes.ContainsAny(text, "\n\x00") {
		clear(b)
		return secret.Text{}, fmt.Errorf("credential %s is no line of text: %w", name, ErrUnfit)
	}
	return firstLine(b), nil
}

// readCredentialBytes leaves the permissions to systemd, which mounts the directory for the service alone.
func readCredentialBytes(dir, name string) ([]byte, error) {
	if dir == "" || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") {
		return nil, fmt.Errorf("credential %q in %q: %w", name, dir, ErrUnfit)
	}
	b, err := readSecretFile(filepath.Join(dir, name), 0, maxKey)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	return b, nil
}

// firstLine cuts b at the first line end and takes ownership of it.
func firstLine(b []byte) secret.Text {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	clear(rest)
	return secret.New(bytes.TrimSuffix(line, []byte("\r")))
}

// readSecretFile reads at most limit bytes of a file that gives none of the denied permissions and is owned by us or
// by root. What is no regular file (a pipe) is read as it is; a directory is an error.
func readSecretFile(path string, deny fs.FileMode, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && deny != 0 {
		if err := checkAccess(path, info, deny); err != nil {
			return nil, err
		}
	}
	b := make([]byte, 0, limit+1) // never grows, so there is one copy
	n, err := io.ReadFull(f, b[:limit+1])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(b[:n])
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if n > limit {
		clear(b[:n])
		return nil, fmt.Errorf("%s is longer than %d bytes: %w", path, limit, ErrUnfit)
	}
	return b[:n], nil
}
