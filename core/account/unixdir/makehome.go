//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// Bounds of what is copied from the skeleton.
const (
	maxSkelFiles = 10_000
	maxSkelDepth = 32
)

func owner(info fs.FileInfo) (uint32, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

// checkHome lets a home pass that is not there, or is a directory of the user. Anything else was somebody's.
func checkHome(path string, uid uint32) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: look at home: %w", backend.ErrUnavailable, err)
	}
	if has, ok := owner(info); !ok || !info.IsDir() || has != uid {
		return fmt.Errorf("%w: %s is there and belongs to somebody else", backend.ErrTaken, path)
	}
	return nil
}

// makeHome makes the home of a user from the skeleton and reports whether it did. It is made beside its place, where
// only root can enter, and moved there when it is whole: a home is there with all that belongs into it, or not at
// all.
func (s *System) makeHome(u sysuser.User) (bool, error) {
	if err := checkHome(u.Home, u.UID); err != nil {
		return false, err
	}
	if _, err := os.Lstat(u.Home); err == nil {
		return false, nil
	}
	base, err := os.OpenRoot(s.HomeBase)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", s.HomeBase, err)
	}
	defer base.Close()
	stage := ".oidcbox-new" // no name of the alphabet
	if err := base.Mkdir(stage, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("make home: %w", err)
	}
	if info, err := base.Lstat(stage); err != nil || !info.IsDir() || !ownedByUs(info) {
		return false, fmt.Errorf("%w: %s/%s belongs to somebody else", backend.ErrUnavailable, s.HomeBase, stage)
	}
	temp := filepath.Join(stage, u.Name)
	if err := base.RemoveAll(temp); err != nil { // what a killed call left
		return false, fmt.Errorf("make home: %w", err)
	}
	if err := s.fillHome(base, temp, u); err != nil {
		return false, err
	}
	return true, place(filepath.Join(s.HomeBase, temp), u.Home)
}

func ownedByUs(info fs.FileInfo) bool {
	uid, ok := owner(info)
	return ok && int(uid) == os.Geteuid()
}

func (s *System) fillHome(base *os.Root, temp string, u sysuser.User) error {
	if err := base.Mkdir(temp, 0o700); err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	skel, err := os.OpenRoot(s.Skel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("open skeleton: %w", err)
	default:
		defer skel.Close()
		c := copier{from: skel, to: base, prefix: temp, uid: int(u.UID), gid: int(u.GID)}
		if err := c.dir(".", 0); err != nil {
			return fmt.Errorf("copy skeleton: %w", err)
		}
	}
	if err := base.Chmod(temp, s.HomeMode.Perm()); err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	if err := base.Lchown(temp, int(u.UID), int(u.GID)); err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	return nil
}

// place moves a home to where it belongs and never over something that is there.
func place(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: %s is there", backend.ErrTaken, to)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // NFS, old kernels
		err = os.Rename(from, to)
	}
	if err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	return nil
}

// copier copies files, directories and links for a new owner. Anything else in a skeleton is left out.
type copier struct {
	from, to *os.Root
	prefix   string
	uid, gid int
	files    int
}

func (c *copier) dir(path string, depth int) error {
	entries, err := fs.ReadDir(c.from.FS(), path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if c.files++; c.files > maxSkelFiles || depth > maxSkelDepth {
			return errors.New("skeleton is too large")
		}
		if err := c.entry(filepath.Join(path, e.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(path string, depth int) error {
	info, err := c.from.Lstat(path)
	if err != nil {
		return err
	}
	to := filepath.Join(c.prefix, path)
	switch {
	case info.IsDir():
		err = c.to.Mkdir(to, info.Mode().Perm()|0o700)
		if err == nil {
			err = c.dir(path, depth+1)
		}
	case info.Mode().IsRegular():
		err = c.file(path, to, info.Mode().Perm())
	case info.Mode()&fs.ModeSymlink != 0:
		var target string
		if target, err = c.from.Readlink(path); err == nil {
			err = c.to.Symlink(target, to)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return c.to.Lchown(to, c.uid, c.gid)
}

func (c *copier) file(from, to string, mode fs.FileMode) error {
	in, err := c.from.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := c.to.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// label gives a new home its SELinux context where the host has them. Without it a confined sshd reads no keys there.
func (s *System) label(ctx context.Context, home string) {
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil || !executable(s.tools.path["restorecon"]) {
		return
	}
	_, err := command.Run(ctx, command.Command{Path: s.tools.path["restorecon"], Args: []string{"-R", "--", home}})
	if err != nil {
		s.Log.Warn("label home", "home", home, "error", err)
	}
}
