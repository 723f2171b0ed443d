package sock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DialPatient is Dial for a process that has nothing else to do than to wait for the answer: reads and writes block
// their thread. A short-lived command is done before Go's poller and its threads are running. Of deadlines it knows
// those in the past, which end what is going on.
func DialPatient(ctx context.Context, path string) (net.Conn, error) {
	if err := checkLength(path); err != nil {
		return nil, err
	}
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	c := &patientConn{fd: fd, addr: net.UnixAddr{Name: path, Net: "unix"}}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.connect(path); err != nil {
		_ = c.Close()
		return nil, err
	}
	p, err := PeerOfFD(fd)
	if err == nil && !trusted(p) {
		err = fmt.Errorf("socket %s is served by uid %d: %w", path, p.UID, ErrForeign)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// patientConn is a connection without Go's poller.
type patientConn struct {
	fd   int
	addr net.UnixAddr

	mu     sync.Mutex
	late   bool // a deadline has passed
	closed bool
}

// connect waits for a server with a full queue up to queueWait.
func (c *patientConn) connect(path string) error {
	wait := unix.NsecToTimeval(int64(queueWait))
	err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	for err == nil {
		if err = unix.Connect(c.fd, &unix.SockaddrUnix{Name: path}); err == nil {
			return nil
		}
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
	}
	if refused(err) {
		return fmt.Errorf("socket %s: %w", path, ErrNobody)
	}
	return fmt.Errorf("connect to socket: %w", err)
}

func (c *patientConn) Read(b []byte) (int, error) {
	for len(b) > 0 {
		n, err := unix.Read(c.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case c.isLate():
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
	return 0, nil
}

// Write sends b, in one piece where the socket takes it.
func (c *patientConn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := unix.SendmsgN(c.fd, b[done:], nil, nil, unix.MSG_NOSIGNAL)
		done += max(n, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case c.isLate():
			return done, os.ErrDeadlineExceeded
		case err != nil:
			return done, os.NewSyscallError("write", err)
		case done == len(b):
			return done, nil
		}
	}
}

func (c *patientConn) isLate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.late
}

func (c *patientConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	return unix.Close(c.fd)
}

// SetDeadline ends reads and writes for good when t has passed.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case t.IsZero():
		return nil
	case time.Until(t) > 0:
		return os.ErrNoDeadline
	}
	c.late = true
	return unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

func (c *patientConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *patientConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *patientConn) LocalAddr() net.Addr                { return &net.UnixAddr{Net: "unix"} }
func (c *patientConn) RemoteAddr() net.Addr               { return &c.addr }
