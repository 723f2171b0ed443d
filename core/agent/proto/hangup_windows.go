package proto

import (
	"errors"

	"golang.org/x/sys/windows"
)

// hungUp reports that the other side has closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAECONNABORTED)
}
