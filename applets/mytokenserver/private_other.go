//go:build !unix

package mytokenserver

import "io/fs"

// private has nothing to look at: access lists are not in the mode.
func private(fs.FileInfo) error { return nil }

// changeable has nothing to look at, either.
func changeable(fs.FileInfo) bool { return false }
