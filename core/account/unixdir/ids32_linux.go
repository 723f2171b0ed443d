//go:build linux && (386 || arm)

package unixdir

import "golang.org/x/sys/unix"

// The calls without 32 take numbers of 16 bits here.
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetresuid = unix.SYS_SETRESUID32
)
