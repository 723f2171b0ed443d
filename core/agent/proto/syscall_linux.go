package proto

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// The calls below never wait, so that the runtime need not know of them: telling it costs as much as they do.

// acceptNow takes a connection that waits, or says EAGAIN.
func acceptNow(fd int) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
		if errno != unix.EINTR && errno != unix.ECONNABORTED {
			return int(n), errno
		}
	}
}

// receiveNow reads what is there, or says EAGAIN. b is not empty.
func receiveNow(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno == 0 {
		sock.NoteRead(fd)
	}
	return int(n), errno
}

// sendNow writes as much as the socket takes, or says EAGAIN.
func sendNow(fd int, b []byte) (int, unix.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	sock.NoteWrite()
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// epollNow returns the events that are there.
func epollNow(fd int, events []unix.EpollEvent) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}

// yield lets other threads of the system have the processor.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

func closeNow(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
