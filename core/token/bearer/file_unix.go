//go:build unix

package bearer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// open does not wait for the other end of a pipe.
func open(path string, strict bool) (*os.File, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if strict {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) {
		return nil, fmt.Errorf("%w: it is a symbolic link", ErrUntrusted)
	}
	return f, err
}

// check looks at the file that was opened, not at its name.
func check(f *os.File, strict bool) error {
	info, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	owner := ownerOf(info)
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("%w: it is no regular file", ErrUntrusted)
	case owner != os.Geteuid() && (strict || owner != 0):
		return fmt.Errorf("%w: it belongs to uid %d", ErrUntrusted, owner)
	case strict && mode.Perm()&0o077 != 0:
		return fmt.Errorf("%w: its mode is %#o, others can get at it", ErrUntrusted, mode.Perm())
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("%w: its mode is %#o, others can write to it", ErrUntrusted, mode.Perm())
	case strict && links(info) > 1:
		return fmt.Errorf("%w: it has another name as well, where somebody else may have found it", ErrUntrusted)
	case info.Size() > maxFile:
		return ErrTooLarge
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// links counts the names of a file.
func links(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// checkDir refuses a directory in which somebody else could replace our file.
func checkDir(dir string, info fs.FileInfo) error {
	switch owner, mode := ownerOf(info), info.Mode(); {
	case !info.IsDir():
		return syscall.ENOTDIR
	case owner != os.Geteuid() && owner != 0:
		return fmt.Errorf("%w: its directory %s belongs to uid %d", ErrUntrusted, filepath.Clean(dir), owner)
	case mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0:
		return fmt.Errorf("%w: everybody can replace files in %s", ErrUntrusted, filepath.Clean(dir))
	}
	return nil
}
