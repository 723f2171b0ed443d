//go:build !unix

package vault

// preflight has nothing to ask: VirtualLock works within the minimum working set, which always holds a vault.
func preflight() error { return nil }

func lockLimit() int64 { return -1 }

func newPlainArea(size int) area { return &heapArea{b: make([]byte, size)} }
