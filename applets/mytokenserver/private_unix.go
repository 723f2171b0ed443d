//go:build unix

package mytokenserver

import "io/fs"

// private refuses what somebody else than its owner may read or change.
func private(info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 != 0 {
		return errKeyMode
	}
	return nil
}
