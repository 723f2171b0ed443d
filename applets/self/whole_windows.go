package self

import "os"

// writeWhole writes a file that others may read.
func writeWhole(path string, b []byte) error { return os.WriteFile(path, b, 0o644) }
