//go:build darwin || freebsd

package sock

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// solLocal is the level of LOCAL_PEERCRED: SOL_LOCAL, which is 0 on both systems.
const solLocal = 0

// PeerOf returns who is at the other end (LOCAL_PEERCRED). ErrNoPeer for a connection that is no Unix socket.
func PeerOf(c net.Conn) (Peer, error) {
	if _, ok := c.(*net.UnixConn); !ok {
		return Peer{}, ErrNoPeer
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("read peer of socket: %w", err)
	}
	var cred *unix.Xucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED)
	})
	if ctlErr != nil {
		return Peer{}, fmt.Errorf("read peer of socket: %w", ctlErr)
	}
	if err != nil {
		return Peer{}, fmt.Errorf("%w: %w", ErrNoPeer, err)
	}
	p := Peer{UID: cred.Uid}
	if cred.Ngroups > 0 {
		p.GID = cred.Groups[0]
	}
	return p, nil
}
