package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/secret"
)

// maxSecret is more than any password, key or client secret has.
const maxSecret = 64 << 10

// ErrNotRegular: the name is that of a directory, a device or a pipe.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge: the file is longer than allowed.
var ErrTooLarge = errors.New("file is too large")

// ReadFile returns a file of at most limit bytes, which has to be a regular one: a pipe could hang for ever.
func ReadFile(name string, limit int64) ([]byte, error) {
	b, _, err := readFile(name, limit)
	return b, err
}

func readFile(name string, limit int64) ([]byte, os.FileInfo, error) {
	fi, err := os.Stat(name) // before it is opened, since opening a pipe waits for somebody to write
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: %w", name, ErrNotRegular)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, nil, fmt.Errorf("read %s: %w", name, ErrTooLarge)
	}
	return b, fi, nil
}

// Path returns the name of a file or directory: one that is not absolute is below the directory of the configuration.
func (r *Reader) Path(a At) (string, bool) {
	s, ok := r.Text(a)
	if ok && !filepath.IsAbs(s) {
		s = filepath.Join(r.dir, s)
	}
	return s, ok
}

// SecretFile returns what stands in the file that is named at a, without the line break at its end. A file that others
// may change is refused; one that everybody may read is a note, since containers mount secrets so.
func (r *Reader) SecretFile(a At) (secret.Text, bool) {
	name, ok := r.Path(a)
	if !ok {
		return secret.Text{}, false
	}
	b, fi, err := readFile(name, maxSecret)
	if err != nil {
		r.Fault(a, "%v", err)
		return secret.Text{}, false
	}
	defer clear(b)
	text := bytes.TrimRight(b, "\r\n")
	mode := fi.Mode().Perm()
	switch {
	case len(text) == 0:
		r.Fault(a, "%s is empty", name)
		return secret.Text{}, false
	case mode&0o002 != 0:
		r.Fault(a, "%s can be changed by everybody (mode %04o)", name, mode)
		return secret.Text{}, false
	case mode&0o004 != 0:
		r.Note(a, "%s can be read by everybody (mode %04o)", name, mode)
	}
	return secret.New(bytes.Clone(text)), true
}
