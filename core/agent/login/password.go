package login

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/core/secret"
)

// maxLine bounds a password in a file.
const maxLine = 4 << 10

// FirstLine returns the first line of r without its end, as a password is kept in a file. The caller wipes it.
func FirstLine(r io.Reader) (secret.Text, error) {
	buf := make([]byte, maxLine+2) // a line may end with two characters
	n, err := io.ReadFull(r, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(buf)
		return secret.Text{}, err
	}
	line, _, ended := bytes.Cut(buf[:n], []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if !ended && len(line) > maxLine {
		clear(buf)
		return secret.Text{}, fmt.Errorf("the first line has more than %d bytes", maxLine)
	}
	clear(buf[len(line):])
	return secret.New(line), nil
}

// PasswordFile returns the first line of a regular file: nothing that it reads can keep it waiting, other than a slow
// file system. The original takes a file that others can read, so it is taken here too. The caller wipes the result.
func PasswordFile(path string) (secret.Text, error) {
	info, err := os.Stat(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read password file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return secret.Text{}, fmt.Errorf("read password file %s: %w", path, ErrUnsafe)
	}
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read password file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	pw, err := FirstLine(f)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read password file %s: %w", path, err)
	}
	return pw, nil
}
