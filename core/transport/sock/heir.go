package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// errNoFile is for a listener that is no socket of the system.
var errNoFile = errors.New("the socket cannot be handed over")

// Keep returns a copy of a listening socket for a process that takes the place of this one. The socket goes on listening
// when ln is closed, and its file stays. ours reports whether Listen made it, so that the file is the heir's to remove.
func Keep(ln net.Listener) (f *os.File, ours bool, err error) {
	if l, ok := ln.(*listener); ok {
		f, err = l.File()
		if err == nil {
			l.once.Do(func() {}) // Close has no file to remove any more
		}
		return f, true, err
	}
	l, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, false, errNoFile
	}
	f, err = l.File()
	return f, false, err
}

// Inherit makes a listener of a socket that Keep has given, and closes f. With ours, Close removes its file.
func Inherit(f *os.File, ours bool) (net.Listener, error) {
	ln, err := net.FileListener(f)
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("take over socket: %w", err)
	}
	l, ok := ln.(*net.UnixListener)
	if !ok {
		_ = ln.Close()
		return nil, fmt.Errorf("take over socket: %w", ErrNotSocket)
	}
	if !ours {
		return l, nil
	}
	return newListener(l, l.Addr().String())
}
