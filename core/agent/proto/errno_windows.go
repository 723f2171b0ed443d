package proto

import (
	"errors"

	"golang.org/x/sys/windows"
)

// temporary reports an error of Accept that goes away: the client has, or descriptors or memory will be free again.
func temporary(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAEMFILE) ||
		errors.Is(err, windows.WSAENOBUFS)
}

// hungUp reports that the other side has closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAECONNABORTED)
}
