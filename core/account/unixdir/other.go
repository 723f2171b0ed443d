//go:build !linux

package unixdir

import (
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// System is the accounts of a Linux host. There is none elsewhere.
type System struct{ backend.System }

// New fails with backend.ErrUnsupported: shadow-utils are Linux's.
func New(Options) (*System, error) {
	return nil, fmt.Errorf("local accounts: %w", backend.ErrUnsupported)
}
