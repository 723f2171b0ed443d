package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// DialLoopback connects to "host[:port]" of this machine once it is sure whose process listens there: ours or root's, as
// Dial is. host is a loopback address or localhost, which is not looked up. Another host is ErrForeign, since nothing
// tells who answers there: a forwarding (ssh -L) brings it here. So is every port of a system that does not tell who
// listens.
func DialLoopback(ctx context.Context, place string, defaultPort int) (net.Conn, error) {
	addr, err := loopbackAddr(place, defaultPort)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr.String())
	switch {
	case refused(err):
		return nil, fmt.Errorf("%s: %w", addr, ErrNobody)
	case err != nil:
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	// Looked at afterwards: who was connected to is among those that listen.
	if err := trustedPort(addr.Port); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return c, nil
}

// loopbackAddr reads "host[:port]".
func loopbackAddr(place string, defaultPort int) (*net.TCPAddr, error) {
	host, port := place, strconv.Itoa(defaultPort)
	if h, p, err := net.SplitHostPort(place); err == nil {
		host, port = h, p
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q is no host[:port]: %w", place, errors.ErrUnsupported)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%q is not on this machine: %w", place, ErrForeign)
	}
	return &net.TCPAddr{IP: ip, Port: int(n)}, nil
}
