//go:build darwin || freebsd

package filesystem

import "golang.org/x/sys/unix"

// Type returns the type of file system of path. Local are those on which locks and maps work and that only this
// machine changes; everything else counts as network.
func Type(path string) (name string, local bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", false, err
	}
	name = unix.ByteSliceToString(st.Fstypename[:])
	switch name {
	case "apfs", "hfs", "ufs", "zfs", "tmpfs":
		return name, true, nil
	}
	return name, false, nil
}
