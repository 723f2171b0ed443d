//go:build !windows

package self

import "github.com/google/renameio/v2"

// writeWhole writes a file that others may read, whole or not at all.
func writeWhole(path string, b []byte) error { return renameio.WriteFile(path, b, 0o644) }
