//go:build !linux

package sock

import (
	"context"
	"net"
)

// DialPatient is Dial.
func DialPatient(ctx context.Context, path string) (net.Conn, error) { return Dial(ctx, path) }

// DialPatientServedBy is DialServedBy.
func DialPatientServedBy(ctx context.Context, path string, trust func(uid uint32) bool) (net.Conn, error) {
	return DialServedBy(ctx, path, trust)
}
