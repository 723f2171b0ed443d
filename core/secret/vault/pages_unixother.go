//go:build unix && !linux

package vault

// keepOutOfCore does nothing here: memguard has set the limit for core files to 0 already.
func keepOutOfCore([]byte) {}
