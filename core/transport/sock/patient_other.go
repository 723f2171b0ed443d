//go:build !linux

package sock

import (
	"context"
	"net"
)

// DialPatient is Dial.
func DialPatient(ctx context.Context, path string) (net.Conn, error) { return Dial(ctx, path) }
