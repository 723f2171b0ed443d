//go:build !linux

package sock

// trustedPort cannot know.
func trustedPort(int) error { return ErrForeign }
