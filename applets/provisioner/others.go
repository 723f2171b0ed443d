package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// openOthers makes the listeners for metrics and for the officer.
func (d *server) openOthers(s *settings, handed map[string]net.Listener) (o *daemon.Doors, err error) {
	o = &daemon.Doors{}
	defer func() {
		if err != nil {
			o.Close()
			o = nil
		}
	}()
	if s.metrics != "" {
		ln, err := net.Listen("tcp", s.metrics)
		if err != nil {
			return o, fmt.Errorf("listen for metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+metricsPath, d.page)
		mux.HandleFunc("GET "+healthPath, d.health)
		mux.HandleFunc("GET "+readyPath, d.ready)
		o.Add(ln, mux, "metrics")
	}
	ln, err := ownSocket(handed, controlName, s.control)
	if err != nil {
		return o, fmt.Errorf("control socket: %w", err)
	}
	if ln != nil {
		o.Add(admitting{ln}, d.controlHandler(), "control")
	}
	return o, nil
}

// admitting lets in who runs as us, and root.
type admitting struct{ net.Listener }

func (a admitting) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := sock.Admit(c, func(p sock.Peer) bool { return sock.Own(p) || p.UID == 0 })
		if err == nil {
			return admitted{c, peerAddr(peer.UID)}, nil
		}
		_ = c.Close()
	}
}

// admitted is a connection of somebody who is known: where it comes from is who that is.
type admitted struct {
	net.Conn
	peer peerAddr
}

// RemoteAddr is part of net.Conn.
func (a admitted) RemoteAddr() net.Addr { return a.peer }

// peerAddr is the uid at the other end of a Unix socket.
type peerAddr uint32

// Network and String are those of net.Addr.
func (peerAddr) Network() string { return "uid" }

func (p peerAddr) String() string { return strconv.FormatUint(uint64(p), 10) }

// personOf names who made a request over the control socket.
func personOf(ctx context.Context, remote string) string {
	uid, err := strconv.ParseUint(remote, 10, 32)
	if err != nil {
		return "somebody"
	}
	if u, err := (sysuser.DB{}).ByUID(ctx, uint32(uid)); err == nil {
		return u.Name
	}
	return "uid " + remote
}

// makeSocketDir makes the directory of a socket where it is not there, for a server without a unit that does so.
func makeSocketDir(path string) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	err := os.Mkdir(dir, 0o755) //nolint:gosec // others have to reach the socket
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return os.Chmod(dir, 0o755) //nolint:gosec // whatever the umask is
}
