package proto

import (
	"container/list"
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// maxLoops is how many threads serve one socket: an agent has one person's programs to answer.
	maxLoops = 4
	// inARow is how many connections a loop takes before it looks after those that it has.
	inARow = 16
	// keptKeys is how many key pairs a loop makes ahead once it has needed one.
	keptKeys = 2
	// soon is how quickly a client that has its answer asks again when it does so in a loop, and how long a loop looks out
	// for that before it sleeps: waking a thread takes longer than an answer. It looks out only while that pays.
	soon = 50 * time.Microsecond
	// lastWords is how long a loop that is told to end waits for clients that have just connected and are about to ask.
	lastWords = 300 * time.Millisecond
	// loopBuf is what a request with its public key or cipher usually fits in.
	loopBuf = 4 << 10
)

// loops serve the connections of one socket with a few threads that wait for all of them at once and answer by
// themselves what the handler answers without waiting (docs/decisions/0006). Goroutines, each parked in Go's poller,
// cost a request several hand-overs between threads, which is most of its time.
type loops struct {
	s      *server
	addr   net.Addr
	listen int // the listening socket; a descriptor of our own, so that nobody closes it under a thread
	stop   int // an eventfd that ends all

	mu   sync.Mutex
	wg   sync.WaitGroup
	left int // that may still be started
	err  error
}

// newLoops returns nil where only the portable way goes: a listener that is no Unix socket of the system, or peers that
// have to be looked up (Allow may wait).
func (s *server) newLoops(ln net.Listener) (*loops, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok || s.o.Allow != nil {
		return nil, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, nil //nolint:nilerr // Accept says what is wrong with it
	}
	ls := &loops{s: s, addr: ln.Addr(), listen: -1, left: min(runtime.GOMAXPROCS(0), maxLoops)}
	ctlErr := raw.Control(func(fd uintptr) {
		if domain, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); e != nil || domain != unix.AF_UNIX {
			return
		}
		ls.listen, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if ctlErr != nil || ls.listen < 0 && err == nil {
		return nil, nil //nolint:nilerr // as above
	}
	if err == nil {
		ls.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare to serve %s: %w", ln.Addr(), err)
	}
	return ls, nil
}

// run serves until the server's context ends or the socket breaks.
func (ls *loops) run() error {
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ls.s.ctx, func() { defer close(stopped); ls.end() })
	ls.more()
	ls.wg.Wait()
	if !cancel() {
		<-stopped // or the write would go to a descriptor of somebody else
	}
	_ = unix.Close(ls.listen)
	_ = unix.Close(ls.stop)
	return ls.err
}

// end wakes all loops for the last time.
func (ls *loops) end() {
	_, _ = unix.Write(ls.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// more starts one more loop if there may be one. It is called by a loop that has more than one thing to do, so that an
// agent that is asked now and then has one thread.
func (ls *loops) more() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.left == 0 {
		return
	}
	ls.left--
	ls.wg.Go(func() {
		if err := ls.loop(); err != nil {
			ls.mu.Lock()
			ls.err = errors.Join(ls.err, err)
			ls.mu.Unlock()
			ls.end()
		}
	})
}

// loop is one thread's work.
type loop struct {
	ls      *loops
	s       *server
	epoll   int
	events  [inARow]unix.EpollEvent
	waiting map[int32]*loopConn
	silent  list.List // of *loopConn that have said nothing, oldest first
	partial list.List // of those that have begun, oldest first
	spare   *loopConn // for the next connection
	buf     []byte    // for the next one that says something
	out     []byte    // for the next answer
	keys    []*ecdh.PrivateKey
	sealed  bool          // somebody has needed a key
	looking bool          // the last event came soon after an answer
	crowded bool          // connections come faster than they are answered
	idle    time.Time     // since when there is nothing to do
	pause   time.Duration // after an accept that failed; 0 while all is well
	resume  time.Time     // when to listen again
	ending  bool          // takes no more connections
}

// loop returns when it is told to end and those who have just connected are answered.
func (ls *loops) loop() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("serve %s: %w", ls.addr, err)
	}
	l := &loop{ls: ls, s: ls.s, epoll: epoll, waiting: make(map[int32]*loopConn)}
	defer unix.Close(epoll) //nolint:errcheck // nothing to save
	defer l.closeAll()
	err = l.watch(ls.stop, unix.EPOLLIN)
	if err == nil {
		err = l.listen()
	}
	for err == nil {
		var ended bool
		if ended, err = l.turn(); ended {
			return nil
		}
	}
	return fmt.Errorf("accept at %s: %w", ls.addr, err)
}

// turn waits for something to do and does it. It is true when nothing is left to do.
func (l *loop) turn() (ended bool, err error) {
	n, err := l.wait()
	if err != nil {
		return false, err
	}
	if n > 1 {
		l.ls.more()
	}
	for _, ev := range l.events[:n] {
		switch ev.Fd {
		case int32(l.ls.stop):
			l.lastWords()
		case int32(l.ls.listen):
			if l.ending { // came together with the end
				continue
			}
			if err := l.accept(); err != nil {
				return false, err
			}
		default:
			if c := l.waiting[ev.Fd]; c != nil {
				l.step(c)
			}
		}
	}
	l.expire()
	return l.ending && len(l.waiting) == 0, nil
}

// lastWords takes no more connections; those in the socket's queue are for the program that comes next, if one does. Who
// has been silent for longer than a client that has something to ask is let go.
func (l *loop) lastWords() {
	l.ending, l.resume = true, time.Time{}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.ls.stop, nil)
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.ls.listen, nil) // perhaps it listened no more
	for _, c := range l.waiting {
		if t := c.since.Add(lastWords); t.Before(c.expires) {
			c.expires = t
		}
	}
}

// wait returns how many events there are.
func (l *loop) wait() (int, error) {
	if n := l.lookOut(); n > 0 {
		return n, nil
	}
	n, err := unix.EpollWait(l.epoll, l.events[:], l.timeout())
	l.looking = !l.idle.IsZero() && time.Since(l.idle) < soon
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, err
}

// lookOut returns the events that are there, or come soon where they did so before. While nobody wants anything, keys
// are made ahead.
func (l *loop) lookOut() int {
	l.crowded = false
	for l.idle = time.Now(); ; {
		wanting := l.sealed && len(l.keys) < keptKeys
		if !wanting && !l.looking {
			return 0
		}
		n, errno := epollNow(l.epoll, l.events[:])
		switch {
		case errno != 0:
			return 0
		case n > 0:
			l.crowded = time.Since(l.idle) < soon/10
			return n
		case wanting:
			if k, err := newKey(); err == nil { // else it is said when the key is needed
				l.keys = append(l.keys, k)
			}
		case time.Since(l.idle) > soon:
			l.looking = false
		default:
			yield()
		}
	}
}

// timeout is the number of milliseconds until the next thing ends, -1 for never: an idle agent is never woken.
func (l *loop) timeout() int {
	next := l.resume
	for _, of := range []*list.List{&l.silent, &l.partial} {
		if front := of.Front(); front != nil {
			if t := front.Value.(*loopConn).expires; next.IsZero() || t.Before(next) {
				next = t
			}
		}
	}
	if next.IsZero() {
		return -1
	}
	// Rounded up, or the last millisecond would be spent asking.
	return int(max(time.Until(next)+time.Millisecond-1, 0) / time.Millisecond)
}

// expire ends what has waited for too long, and listens again after a pause.
func (l *loop) expire() {
	if l.resume.IsZero() && l.silent.Len() == 0 && l.partial.Len() == 0 {
		return
	}
	now := time.Now()
	if !l.resume.IsZero() && !now.Before(l.resume) {
		l.resume = time.Time{}
		if err := l.listen(); err != nil {
			l.later(err)
		}
	}
	for _, of := range []*list.List{&l.silent, &l.partial} {
		for front := of.Front(); front != nil; front = of.Front() {
			c := front.Value.(*loopConn)
			if now.Before(c.expires) {
				break
			}
			c.ended = os.ErrDeadlineExceeded
			l.step(c)
		}
	}
}

func (l *loop) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// listen asks for new connections. One connection wakes one thread.
func (l *loop) listen() error { return l.watch(l.ls.listen, unix.EPOLLIN|unix.EPOLLEXCLUSIVE) }

// accept takes a connection, or all that are there when many come.
func (l *loop) accept() error {
	n := 1
	if l.crowded {
		n = inARow
	}
	for i := range n {
		fd, errno := acceptNow(l.ls.listen)
		switch {
		case errno == 0:
			if i == 1 {
				l.ls.more()
			}
			l.pause = 0
			l.admit(fd)
		case errno == unix.EAGAIN, l.s.ctx.Err() != nil:
			return nil
		case temporary(errno):
			l.later(errno)
			return nil
		default:
			return errno
		}
	}
	return nil
}

// later stops taking connections for a while for want of descriptors, and gives one back.
func (l *loop) later(err error) {
	l.s.log.Warn("cannot accept", "err", err)
	l.s.evict()
	l.pause = min(max(5*time.Millisecond, 2*l.pause), maxPause)
	l.resume = time.Now().Add(l.pause)
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.ls.listen, nil)
}

// admit serves a new connection as far as that goes at once.
func (l *loop) admit(fd int) {
	p, err := sock.PeerOfFD(fd)
	if err == nil && !sock.Own(p) {
		err = sock.ErrForeign
	}
	if err != nil {
		l.s.log.Warn("refused a connection", "uid", p.UID, "pid", p.PID, "err", err)
		_ = closeNow(fd)
		return
	}
	c := l.spare
	l.spare = nil
	if c == nil {
		c = newLoopConn(l)
	}
	c.fd, c.peer = fd, p
	l.step(c)
}

// key returns a key pair for one connection.
func (l *loop) key() (*ecdh.PrivateKey, error) {
	l.sealed = true
	n := len(l.keys)
	if n == 0 {
		return newKey()
	}
	k := l.keys[n-1]
	l.keys = l.keys[:n-1]
	return k, nil
}

func (l *loop) closeAll() {
	for _, c := range l.waiting {
		l.finish(c)
	}
}
