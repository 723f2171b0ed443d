package self

import "golang.org/x/sys/unix"

// freeBytes is how much a person without privileges can still write below dir.
func freeBytes(dir string) (n uint64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}
