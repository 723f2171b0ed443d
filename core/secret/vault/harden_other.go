//go:build !linux && !darwin

package vault

// HardenProcess does nothing here: memguard has forbidden core files where the system knows them.
func HardenProcess() error { return nil }
