//go:build unix

package setup

import "io/fs"

// private reports that nobody but its owner may read or change something.
func private(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
