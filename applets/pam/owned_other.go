//go:build !unix

package pam

import "io/fs"

// ownedByRoot: there is no PAM here.
func ownedByRoot(fs.FileInfo) bool { return false }
