//go:build !unix

package self

// syncParent has nothing to do: directories cannot be synced here.
func syncParent(string) error { return nil }
