package sock

import (
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PeerOf returns who is at the other end (SO_PEERCRED). ErrNoPeer for a connection that is no Unix socket.
func PeerOf(c net.Conn) (Peer, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return Peer{}, ErrNoPeer
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("read peer of socket: %w", err)
	}
	var p Peer
	if ctlErr := raw.Control(func(fd uintptr) { p, err = PeerOfFD(int(fd)) }); ctlErr != nil {
		return Peer{}, fmt.Errorf("read peer of socket: %w", ctlErr)
	}
	return p, err
}

// PeerOfFD is PeerOf for a bare descriptor.
func PeerOfFD(fd int) (Peer, error) {
	// A server asks for every connection: the call does not wait, and the runtime need not know of it.
	var cred unix.Ucred
	size := uint32(unix.SizeofUcred)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERCRED,
		uintptr(unsafe.Pointer(&cred)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return Peer{}, fmt.Errorf("%w: %w", ErrNoPeer, errno)
	}
	// TCP sockets answer SO_PEERCRED with uid -1.
	if cred.Uid == ^uint32(0) {
		return Peer{}, ErrNoPeer
	}
	return Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}, nil
}
