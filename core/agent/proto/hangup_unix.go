//go:build unix

package proto

import (
	"errors"
	"syscall"
)

// hungUp reports that the other side has closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
