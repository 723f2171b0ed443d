package pam

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// errOwner: a file that decides about logins could have been written by somebody else than root.
var errOwner = errors.New("is not root's alone to write")

const maxFile = 4 << 20 // bytes: a map of fifty thousand users

// readOwned reads a file that decides who is let in: a regular one of root's (or of ours, who are root on a host), that
// nobody else may write.
func readOwned(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || !ownedByRoot(info) {
		return nil, fmt.Errorf("%s %w", path, errOwner)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}
