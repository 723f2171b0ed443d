//go:build !linux

package sock

import "errors"

// ProgramOf is not known here.
func ProgramOf(Peer) (string, error) { return "", errors.ErrUnsupported }
