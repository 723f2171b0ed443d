package mail

import (
	"net"
	"sync/atomic"
	"time"
)

// conn is a connection whose end and size nobody but this package sets: the library moves its deadline on with each
// step, and reads lines of any length.
type conn struct {
	net.Conn
	end  atomic.Int64 // in nanoseconds since 1970
	left atomic.Int64 // bytes that may still be read
}

// allow gives the server some time and some bytes from now on.
func (c *conn) allow(d time.Duration) {
	end := time.Now().Add(d)
	c.end.Store(end.UnixNano())
	c.left.Store(answerBytes)
	_ = c.Conn.SetDeadline(end) // of a closed connection, which the next step finds
}

func (c *conn) tooMuch() bool { return c.left.Load() <= 0 }

// Read fails once the server has sent more than it may.
func (c *conn) Read(b []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		return 0, ErrTooMuch
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// SetDeadline never goes beyond what allow has set.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.cap(t)) }

// SetReadDeadline is as SetDeadline.
func (c *conn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.cap(t)) }

// SetWriteDeadline is as SetDeadline.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.cap(t)) }

func (c *conn) cap(t time.Time) time.Time {
	if end := time.Unix(0, c.end.Load()); t.IsZero() || t.After(end) {
		return end
	}
	return t
}
