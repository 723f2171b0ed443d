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

// changeable reports whether everybody may change a file.
func changeable(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }
