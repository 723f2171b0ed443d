package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// queueWait is how long a server may be too busy to accept.
const queueWait = 10 * time.Second

// Dial connects to the socket at path once it is sure whose it is: directory and socket are ours or root's and nobody
// else can replace them, and the process that listens runs as us or root. The errors are ErrNobody (no socket, or a
// dead one), ErrForeign, ErrNotSocket, ErrPathTooLong, or the system's.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	return DialServedBy(ctx, path, trusted)
}

// DialServedBy is Dial for a socket of somebody else's: its owner, the owner of its directory and whoever listens are
// those that trust accepts. Where the system has no uids, everybody is trusted.
func DialServedBy(ctx context.Context, path string, trust func(uid uint32) bool) (net.Conn, error) {
	if err := checkLength(path); err != nil {
		return nil, err
	}
	if err := checkSocket(path, trust); err != nil {
		return nil, err
	}
	c, err := dialRaw(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := checkListener(c, path, trust); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// dialRaw connects without looking. A full queue of connections is waited for, as a blocking connect would, up to
// queueWait.
func dialRaw(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	const longest = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return c, nil
		case refused(err):
			return nil, fmt.Errorf("socket %s: %w", path, ErrNobody)
		case !queueFull(err) || !sleep(ctx, pause):
			return nil, fmt.Errorf("connect to socket: %w", err)
		}
	}
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// checkListener closes the gap between looking at the file and connecting: the kernel says who listens.
func checkListener(c net.Conn, path string, trust func(uid uint32) bool) error {
	p, err := PeerOf(c)
	if errors.Is(err, ErrNoPeer) {
		return nil
	}
	if err != nil {
		return err
	}
	if !trust(p.UID) {
		return fmt.Errorf("socket %s is served by uid %d: %w", path, p.UID, ErrForeign)
	}
	return nil
}

// checkLength says what the kernel would call "invalid argument".
func checkLength(path string) error {
	// One byte is kept for the NUL at the end.
	if len(path) >= maxPath {
		return fmt.Errorf("%s: %w (%d bytes, at most %d)", path, ErrPathTooLong, len(path), maxPath-1)
	}
	return nil
}
