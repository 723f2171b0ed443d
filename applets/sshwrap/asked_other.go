//go:build !linux

package sshwrap

// askedByG is not to be known here.
func askedByG() bool { return false }
