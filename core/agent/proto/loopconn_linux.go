package proto

import (
	"container/list"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// loopConn is one connection of a loop. The loop alone touches it until it is handed over; only seat is the server's.
type loopConn struct {
	l    *loop
	fd   int
	peer sock.Peer
	d    dialogue
	seat

	parked  bool // waits for its client: has a seat, is watched and on a list
	begun   bool // has a part of its request
	list    *list.List
	at      *list.Element // on list
	since   time.Time     // when it came to list
	expires time.Time
	ended   error // why there is nothing more to read
}

func newLoopConn(l *loop) *loopConn {
	c := &loopConn{l: l}
	c.d = dialogue{newKey: l.key, send: c.sendNow}
	c.d.in = inbox{r: c, max: MaxRequest, read: func() { c.begun = true }}
	c.hangUp = func() { _ = unix.Shutdown(c.fd, unix.SHUT_RDWR) }
	return c
}

// Read reads what is there.
func (c *loopConn) Read(b []byte) (int, error) {
	if c.ended != nil {
		return 0, c.ended
	}
	n, errno := receiveNow(c.fd, b)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, errAgain
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// sendNow writes b with one write. A socket that has just been opened takes that much.
func (c *loopConn) sendNow(b []byte) bool {
	n, errno := sendNow(c.fd, b)
	return errno == 0 && n == len(b)
}

// step goes on with a connection as far as that goes without waiting.
func (l *loop) step(c *loopConn) {
	if cap(c.d.in.buf) == 0 {
		c.d.in.buf, l.buf = l.buf, nil
		if c.d.in.buf == nil {
			c.d.in.buf = make([]byte, 0, loopBuf)
		}
	}
	text, err := c.d.request()
	switch {
	case errors.Is(err, errAgain):
		l.park(c)
	case err != nil:
		if out := c.d.complain(err); out != nil {
			c.sendNow(out)
		}
		l.finish(c)
	default:
		l.answer(c, text)
	}
}

// answer answers a whole request, or has somebody else do it.
func (l *loop) answer(c *loopConn, text []byte) {
	req, rep := readFor(text)
	if rep == nil {
		r, ok := l.s.answerNow(c.peer, req)
		if !ok {
			l.handOver(c, func() []byte {
				defer req.Wipe()
				req.peer = c.watched
				r := l.s.answer(c.peer, req)
				return c.d.answer(l.s.encode(&r, nil))
			})
			return
		}
		req.Wipe()
		rep = &r
	}
	text = l.s.encode(rep, l.out)
	out := c.d.answer(text)
	l.out = nil
	n, errno := sendNow(c.fd, out)
	if errno == unix.EAGAIN || errno == 0 && n < len(out) {
		l.handOver(c, func() []byte { return out[max(n, 0):] })
		return
	}
	clear(out)
	if cap(text) <= loopBuf {
		l.out = text[:0] // wiped: it is out, or has been sealed
	}
	l.finish(c)
}

// handOver gives a connection to a goroutine that writes what answer returns.
func (l *loop) handOver(c *loopConn, answer func() []byte) {
	room := false
	if c.parked {
		room = l.s.promote(&c.seat)
	} else if room = l.s.takeSeat(&c.seat); room {
		room = l.s.promote(&c.seat)
	}
	if !room {
		c.sendNow(busyText())
		l.finish(c)
		return
	}
	if c.parked {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
		l.unlist(c)
	}
	l.s.running.Go(func() {
		out := answer()
		deliver(c.fd, out)
		clear(out)
		c.d.wipe()
		l.s.leave(&c.seat)
		_ = closeNow(c.fd)
	})
}

// watched is the connection for Request.Watch: a descriptor of its own that Go's poller waits for.
func (c *loopConn) watched() (watchable, func(), error) {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "client")
	return f, func() { _ = f.Close() }, nil
}

// deliver writes b to a client that reads within writeTime.
func deliver(fd int, b []byte) {
	for end := time.Now().Add(writeTime); len(b) > 0; {
		n, errno := sendNow(fd, b)
		switch {
		case errno == 0:
			b = b[n:]
		case errno == unix.EINTR:
		case errno != unix.EAGAIN || !writable(fd, time.Until(end)):
			return
		}
	}
}

// writable waits until fd takes something.
func writable(fd int, wait time.Duration) bool {
	if wait <= 0 {
		return false
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(wait/time.Millisecond)+1)
	return n > 0 || errors.Is(err, unix.EINTR)
}

// park lets a connection wait for its client.
func (l *loop) park(c *loopConn) {
	if c.parked {
		if c.begun && c.list == &l.silent {
			l.unlist(c)
			l.enlist(c, &l.partial, l.s.o.Partial)
		}
		return
	}
	c.parked = true
	if !l.s.takeSeat(&c.seat) {
		c.sendNow(busyText())
		l.finish(c)
		return
	}
	if err := l.watch(c.fd, unix.EPOLLIN); err != nil {
		l.s.log.Warn("cannot wait for a client", "err", err)
		l.finish(c)
		return
	}
	if c.begun {
		l.enlist(c, &l.partial, l.s.o.Partial)
		return
	}
	// It may stay silent for long: the buffer is for those that speak.
	l.buf, c.d.in.buf = c.d.in.buf[:0], nil
	l.enlist(c, &l.silent, l.s.o.Silent)
}

func (l *loop) enlist(c *loopConn, of *list.List, wait time.Duration) {
	if l.ending { // who begins to speak now has no more time than the others
		wait = min(wait, lastWords)
	}
	c.since = time.Now()
	c.expires = c.since.Add(wait)
	c.list, c.at = of, of.PushBack(c)
	l.waiting[int32(c.fd)] = c
}

func (l *loop) unlist(c *loopConn) {
	if c.list == nil {
		return
	}
	c.list.Remove(c.at)
	c.list, c.at = nil, nil
	delete(l.waiting, int32(c.fd))
}

// finish ends a connection. One that never waited is used again.
func (l *loop) finish(c *loopConn) {
	l.unlist(c)
	if c.parked {
		l.s.leave(&c.seat) // before the descriptor can be somebody else's
	}
	_ = closeNow(c.fd)
	c.d.wipe()
	if c.parked || cap(c.d.in.buf) > loopBuf {
		return
	}
	in := inbox{r: c, max: MaxRequest, read: c.d.in.read, buf: c.d.in.buf[:0]}
	c.d = dialogue{newKey: c.d.newKey, send: c.d.send, in: in}
	c.begun, c.ended = false, nil
	l.spare = c
}
