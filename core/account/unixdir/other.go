//go:build !linux

package unixdir

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// System is the accounts of a Linux host. There is none elsewhere.
type System struct{ backend.System }

// New fails with backend.ErrUnsupported: shadow-utils are Linux's.
func New(Options) (*System, error) {
	return nil, fmt.Errorf("local accounts: %w", backend.ErrUnsupported)
}

// EndSessions fails likewise.
func (s *System) EndSessions(context.Context, backend.Account) error { return backend.ErrUnsupported }
