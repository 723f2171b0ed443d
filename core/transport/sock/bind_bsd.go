//go:build unix && !linux

package sock

import (
	"fmt"
	"io/fs"
	"net"
	"sync"
	"syscall"
)

// umaskMu keeps two of us from mixing up the process's umask. There is no other way to make a socket with a mode here.
var umaskMu sync.Mutex

func bind(path string, mode fs.FileMode) (net.Listener, error) {
	umaskMu.Lock()
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	umaskMu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("listen at socket: %w", err)
	}
	return finish(l.(*net.UnixListener), path, mode)
}
