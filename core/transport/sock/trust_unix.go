//go:build unix

package sock

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// maxPath is the room for a path in a socket address: 108 on Linux, 104 on the BSDs.
const maxPath = len(unix.RawSockaddrUnix{}.Path)

// trusted accepts processes of ours and of root.
func trusted(uid uint32) bool { return uid == me() || uid == 0 }

// Own reports whether p runs as us. It is the rule for servers: root has better ways than to ask a user's daemon.
func Own(p Peer) bool { return p.UID == me() }

// Admit is what a server does with a new connection: it returns the peer when allow accepts it, else ErrForeign. A nil
// allow is Own. Without credentials the answer is no.
func Admit(c net.Conn, allow func(Peer) bool) (Peer, error) {
	p, err := PeerOf(c)
	if err != nil {
		return Peer{}, err
	}
	if allow == nil {
		allow = Own
	}
	if !allow(p) {
		return p, ErrForeign
	}
	return p, nil
}

// queueFull reports that the server has more connections waiting than it asked the kernel to keep.
func queueFull(err error) bool { return errors.Is(err, unix.EAGAIN) }

// refused reports that there is nobody behind a socket file, or no file.
func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) }
