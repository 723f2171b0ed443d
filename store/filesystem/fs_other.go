//go:build !linux && !darwin && !freebsd && !windows

package filesystem

// Type does not know the types of file systems here, so that none counts as local.
func Type(string) (name string, local bool, err error) { return "unknown", false, nil }
