//go:build unix

package term

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func openTerminal() (*terminal, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	// Some systems cannot poll a terminal: then a read goes on until the next key.
	return &terminal{in: f, out: f, interruptible: f.SetReadDeadline(time.Time{}) == nil}, nil
}

func (t *terminal) interrupt() { _ = t.in.SetReadDeadline(time.Unix(1, 0)) }

// Close closes it once.
func (t *terminal) Close() error { return t.in.Close() }

// inFront reports whether we are the terminal's foreground job.
func (t *terminal) inFront() bool {
	front := false
	err := t.control(func(fd int) error { front = inFront(fd); return nil })
	return err == nil && front
}

func inFront(fd int) bool {
	front, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && front == unix.Getpgrp()
}

// InFront reports whether f is our controlling terminal, and we are its foreground job.
func InFront(f *os.File) bool { return inFront(int(f.Fd())) }
