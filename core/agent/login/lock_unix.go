//go:build !windows

package login

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockTime is how long another process of ours may keep us from changing a file. Its work takes milliseconds; where the
// file system has no such locks the change is made without.
const lockTime = 2 * time.Second

// lockDir keeps other processes of ours from changing the files of a directory until unlock is called.
func lockDir(dir string) (unlock func()) {
	d, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			return func() { _ = d.Close() }
		}
	}
}
