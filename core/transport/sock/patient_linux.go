package sock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DialPatient is Dial for a process that has nothing else to do than to wait for the answer: reads and writes block
// their thread. A short-lived command is done before Go's poller and its threads are running. There is one deadline for
// both; once it has passed, it stays so. A write ends up to queueWait after it where the other side takes nothing.
func DialPatient(ctx context.Context, path string) (net.Conn, error) {
	return DialPatientServedBy(ctx, path, trusted)
}

// DialPatientServedBy is DialServedBy in the way of DialPatient.
func DialPatientServedBy(ctx context.Context, path string, trust func(uid uint32) bool) (net.Conn, error) {
	if err := checkLength(path); err != nil {
		return nil, err
	}
	if err := checkSocket(path, trust); err != nil {
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
	if err == nil && !trust(p.UID) {
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

	mu       sync.Mutex
	deadline time.Time // zero for none
	late     bool      // a deadline in the past was set
	closed   bool
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
		if !c.ready() {
			return 0, os.ErrDeadlineExceeded
		}
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
			NoteRead(c.fd)
			return n, nil
		}
	}
	return 0, nil
}

// Write sends b, in one piece where the socket takes it.
func (c *patientConn) Write(b []byte) (int, error) {
	NoteWrite()
	for done := 0; ; {
		n, err := unix.SendmsgN(c.fd, b[done:], nil, nil, unix.MSG_NOSIGNAL)
		done += max(n, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case c.isLate(), errors.Is(err, unix.EAGAIN): // the socket keeps the time of connect
			return done, os.ErrDeadlineExceeded
		case err != nil:
			return done, os.NewSyscallError("write", err)
		case done == len(b):
			return done, nil
		}
	}
}

// ready waits until there is something to read, or the other side has gone. It is false when the deadline has passed.
func (c *patientConn) ready() bool {
	left := c.left()
	if left == forEver {
		return true // the read waits by itself
	}
	for ; left > 0; left = c.left() {
		// Rounded up: a wait of less than a millisecond would be none at all.
		ms := min((left+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(ms))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true // the read says what is wrong
		}
	}
	return false
}

const forEver = time.Duration(math.MaxInt64)

// left is the time until the deadline.
func (c *patientConn) left() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.late:
		return 0
	case c.deadline.IsZero():
		return forEver
	}
	return time.Until(c.deadline)
}

func (c *patientConn) isLate() bool { return c.left() <= 0 }

func (c *patientConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	return unix.Close(c.fd)
}

// SetDeadline ends reads and writes for good when t has passed. One in the past ends also what is going on; one in the
// future is for what begins later.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline = t
	if t.IsZero() || c.late || time.Until(t) > 0 {
		return nil
	}
	c.late = true
	return unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

func (c *patientConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *patientConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *patientConn) LocalAddr() net.Addr                { return &net.UnixAddr{Net: "unix"} }
func (c *patientConn) RemoteAddr() net.Addr               { return &c.addr }
