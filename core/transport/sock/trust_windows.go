package sock

import (
	"errors"
	"io/fs"
	"net"

	"golang.org/x/sys/windows"
)

// maxPath is the room for a path in a socket address.
const maxPath = 108

func trusted(uint32) bool { return true }

// Own cannot be known on Windows: the directory's access list has decided.
func Own(Peer) bool { return true }

// Admit accepts every peer: who could connect was decided by the directory's access list.
func Admit(net.Conn, func(Peer) bool) (Peer, error) { return Peer{}, nil }

func refused(err error) bool {
	return errors.Is(err, windows.WSAECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// queueFull: Windows waits by itself.
func queueFull(error) bool { return false }
