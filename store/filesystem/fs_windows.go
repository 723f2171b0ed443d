package filesystem

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Type returns the kind of drive of path. Only fixed and RAM drives count as local.
func Type(path string) (name string, local bool, err error) {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(path) + `\`)
	if err != nil {
		return "", false, err
	}
	switch windows.GetDriveType(root) {
	case windows.DRIVE_FIXED:
		return "fixed", true, nil
	case windows.DRIVE_RAMDISK:
		return "ram", true, nil
	case windows.DRIVE_REMOTE:
		return "remote", false, nil
	}
	return "removable", false, nil
}
