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
	front := -1
	err := t.control(func(fd int) (err error) {
		front, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return err == nil && front == unix.Getpgrp()
}
