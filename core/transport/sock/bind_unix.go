//go:build unix

package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// finish gives a socket that was made too strict the mode that was asked for.
func finish(l *net.UnixListener, path string, mode fs.FileMode) (net.Listener, error) {
	ln, err := newListener(l, path)
	if err != nil {
		return nil, err
	}
	if ln.file.Mode().Perm() != mode.Perm() {
		if err := os.Chmod(path, mode.Perm()); err != nil {
			_ = ln.Close()
			return nil, fmt.Errorf("set mode of socket: %w", err)
		}
	}
	return ln, nil
}

// lockDir takes the lock on the directory itself: a lock file would stay behind and keep the directory from being
// removed with the socket. Where others may open the directory, as in /tmp, they can hold the lock for ever: after the
// wait it goes on without it.
func lockDir(dir string, wait time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	const pause = 10 * time.Millisecond
	for tries := int(wait / pause); ; tries-- {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOLCK) {
			// A file system without locks: bind itself still lets only one of two win.
			return func() { _ = f.Close() }, nil
		}
		busy := errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
		if busy && tries <= 0 && !onlyOurs(f) {
			return func() { _ = f.Close() }, nil
		}
		if !busy || tries <= 0 {
			_ = f.Close()
			return nil, err
		}
		time.Sleep(pause)
	}
}

// onlyOurs reports whether nobody else can open a directory, and so lock it.
func onlyOurs(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uint32(os.Getuid()) && fi.Mode().Perm()&0o077 == 0
}
