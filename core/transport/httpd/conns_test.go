package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// TestConnectionsOfOneAddress: who holds as many connections as there may be of one address gets no more, and one that
// ends makes room; a proxy may have all.
func TestConnectionsOfOneAddress(t *testing.T) {
	const most = 2
	for name, c := range map[string]struct {
		exempt func(netip.Addr) bool
		third  bool
	}{
		"stranger": {nil, false},
		"other":    {func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }, false},
		"proxy":    {func(a netip.Addr) bool { return a.IsLoopback() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			addr, _, _ := start(t, ok, Options{MaxConns: 8, PerAddress: most, Exempt: c.exempt})
			var held []net.Conn
			for range most {
				conn, answered := hold(t, addr)
				if !answered {
					t.Fatal("one of the first was not answered")
				}
				held = append(held, conn)
			}
			if _, answered := hold(t, addr); answered != c.third {
				t.Errorf("one more was answered: %v", answered)
			}
			_ = held[0].Close()
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if _, answered := hold(t, addr); answered {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("a connection that ended makes no room")
				}
			}
		})
	}
}

// hold opens a connection, which stays open until the test ends, and reports whether a request on it is answered.
func hold(t *testing.T, addr string) (net.Conn, bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	n, _ := conn.Read(make([]byte, 64))
	return conn, n > 0
}
