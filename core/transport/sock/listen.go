package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	defaultMode = 0o600
	// lockWait is how long two daemons that start at once wait for each other.
	lockWait = 2 * time.Second
	// aliveWait is how long the one at a socket may take to accept before it counts as living but stuck.
	aliveWait = 2 * time.Second
)

// ListenOptions say how a socket is made.
type ListenOptions struct {
	Mode fs.FileMode // of the socket file; 0 is 0600
}

// Listen makes a Unix socket at path. The directory must exist, be ours or root's, and not be writable for others
// unless it is sticky. A socket left by a dead process is replaced; one that somebody answers at is an *InUseError, and
// anything else at the path is ErrNotSocket and stays. The file is removed by Close if it is still the same.
func Listen(path string, o ListenOptions) (net.Listener, error) {
	if err := checkLength(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := safeDir(dir); err != nil {
		return nil, fmt.Errorf("directory of socket %s: %w", path, err)
	}
	// Between "nobody answers" and "bound" another of us must not do the same.
	unlock, err := lockDir(dir, lockWait)
	if err != nil {
		return nil, fmt.Errorf("lock directory of socket %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	mode := o.Mode
	if mode == 0 {
		mode = defaultMode
	}
	return bind(path, mode)
}

// removeStale removes a socket at path that nobody answers at.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if fi.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s: %w", path, ErrNotSocket)
	}
	ctx, cancel := context.WithTimeout(context.Background(), aliveWait)
	defer cancel()
	c, err := dialRaw(ctx, path)
	if err == nil {
		p, _ := PeerOf(c)
		_ = c.Close()
		return &InUseError{Path: path, PID: p.PID}
	}
	if !errors.Is(err, ErrNobody) {
		// A full backlog, or no permission: somebody is there, as far as we can know.
		return fmt.Errorf("%w: %w", &InUseError{Path: path}, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dead socket: %w", err)
	}
	return nil
}

// listener removes its file at Close, but not the file of a successor.
type listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
	once sync.Once
}

func newListener(l *net.UnixListener, path string) (*listener, error) {
	l.SetUnlinkOnClose(false)
	fi, err := os.Lstat(path)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("look at new socket: %w", err)
	}
	return &listener{UnixListener: l, path: path, file: fi}, nil
}

// Close stops listening and removes the file.
func (l *listener) Close() error {
	l.once.Do(func() {
		// Removed first: while we still listen, whoever connects is answered or refused, never left waiting.
		// The time is compared, too: where somebody removed our file by hand, its inode may be a successor's by now.
		fi, err := os.Lstat(l.path)
		if err == nil && os.SameFile(fi, l.file) && fi.ModTime().Equal(l.file.ModTime()) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
