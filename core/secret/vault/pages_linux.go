package vault

import "golang.org/x/sys/unix"

// keepOutOfCore asks for the mapping to be left out of core files and of child processes; both are best effort.
func keepOutOfCore(b []byte) {
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	_ = unix.Madvise(b, unix.MADV_DONTFORK)
}
