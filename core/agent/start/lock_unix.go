//go:build unix

package start

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock waits until nobody else starts or stops an agent. The system gives the lock back when its holder dies. Whoever
// stops an agent removes the file: a lock on one that has gone is none, and is taken again.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := wait(ctx, f); err != nil {
			_ = f.Close()
			return nil, err
		}
		mine, err := f.Stat()
		there, thereErr := os.Lstat(path)
		if err == nil && thereErr == nil && os.SameFile(mine, there) {
			return func() { _ = f.Close() }, nil
		}
		_ = f.Close()
	}
}

// wait takes the lock of an open file.
func wait(ctx context.Context, f *os.File) error {
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil, errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOLCK):
			// Without locks the socket itself lets only one agent win.
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
