package httpd

import (
	"net"
	"net/netip"
	"sync"

	"github.com/oidcbox/oidcbox/core/transport/limit"
)

// limitConns returns a listener that has at most n connections open. Accept waits for one to close, so that a flood
// costs the kernel's queue and not our memory.
//
// One address has at most perAddress of them (0: n), so that a stranger who holds connections open leaves some for the
// others; a further one is closed at once. Those that exempt names, proxies, may have all.
func limitConns(ln net.Listener, n, perAddress int, exempt func(netip.Addr) bool) net.Listener {
	return &boundedListener{
		Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{}),
		most: perAddress, exempt: exempt, from: map[string]int{},
	}
}

type boundedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	most   int
	exempt func(netip.Addr) bool // nil: nobody
	mu     sync.Mutex
	from   map[string]int // connections by address
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if leave, ok := l.enter(conn.RemoteAddr()); ok {
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { leave(); <-l.slots })}, nil
		}
		_ = conn.Close()
	}
}

// enter counts a connection of an address, and reports false for one too many. Peers without an address are not counted.
func (l *boundedListener) enter(peer net.Addr) (leave func(), ok bool) {
	t, isTCP := peer.(*net.TCPAddr)
	if l.most <= 0 || !isTCP {
		return func() {}, true
	}
	a := t.AddrPort().Addr().Unmap().WithZone("")
	if l.exempt != nil && l.exempt(a) {
		return func() {}, true
	}
	key := limit.Address(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[key] >= l.most {
		return nil, false
	}
	l.from[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.from[key]--; l.from[key] == 0 {
			delete(l.from, key)
		}
	}, true
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
