package filesystem

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Type returns the type of file system of path. Local are those on which locks and maps work and that only this
// machine changes; everything else, FUSE included, counts as network.
func Type(path string) (name string, local bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", false, err
	}
	name, local = fsByMagic(uint32(st.Type))
	return name, local, nil
}

func fsByMagic(magic uint32) (name string, local bool) {
	switch magic {
	case unix.EXT4_SUPER_MAGIC: // ext2 and ext3 too
		return "ext", true
	case unix.XFS_SUPER_MAGIC:
		return "xfs", true
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", true
	case 0x2fc12fc1:
		return "zfs", true
	case unix.TMPFS_MAGIC:
		return "tmpfs", true
	case unix.RAMFS_MAGIC:
		return "ramfs", true
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", true
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs", true
	case 0xca451a4e:
		return "bcachefs", true
	case 0x3153464a:
		return "jfs", true
	case unix.REISERFS_SUPER_MAGIC:
		return "reiserfs", true
	}
	return networkName(magic), false
}

// networkName is for messages only.
func networkName(magic uint32) string {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, 0xff534d42:
		return "smb"
	case 0x0bd00bd0:
		return "lustre"
	case 0x47504653:
		return "gpfs"
	case 0x19830326:
		return "beegfs"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "afs"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.V9FS_MAGIC:
		return "9p"
	}
	return fmt.Sprintf("%#x", magic)
}
