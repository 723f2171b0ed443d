package boltstore

import (
	"os"
	"syscall"
)

// checkPrivate accepts: access is governed by lists that the directory of the profile hands down, not by modes.
func checkPrivate(string, os.FileInfo) error { return nil }

// syncDir does nothing: directories cannot be opened for that, and renames are journalled.
func syncDir(string) error { return nil }

// noSpaceErrors are ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
func noSpaceErrors() []error { return []error{syscall.Errno(39), syscall.Errno(112)} }
