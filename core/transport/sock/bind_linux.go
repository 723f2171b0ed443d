package sock

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// bind makes the socket with its final mode from the first moment: Linux gives the file the mode of the unbound socket,
// less the umask. The umask itself belongs to the whole process and stays as it is.
func bind(path string, mode fs.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if ctlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode.Perm())) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen at socket: %w", err)
	}
	// A umask of 0177 or less strict has changed nothing; a stricter one may have taken the group's bits.
	return finish(l.(*net.UnixListener), path, mode)
}
