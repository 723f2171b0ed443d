package mytoken

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// lockTime bounds the wait for other commands that use the same file; each of them has a few requests to make.
	lockTime  = 60 * time.Second
	lockPause = 20 * time.Millisecond
)

// LockFile waits until no other command of this person on this machine uses the mytoken in a file: one that is replaced
// by its use must not be used twice at once. The lock lies where nobody else can hold it. Without such a place there is
// none, and no error. One that is never free is ErrBusy.
func LockFile(ctx context.Context, getenv func(string) string, path string) (unlock func(), err error) {
	none := func() {}
	dir, err := sock.RuntimeDir(getenv)
	if err != nil {
		return none, nil //nolint:nilerr // as said above
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	sum := sha256.Sum256([]byte(path))
	f, err := os.OpenFile(filepath.Join(dir, "mytoken-"+hex.EncodeToString(sum[:8])+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return none, nil //nolint:nilerr // as said above
	}
	release := func() { _ = f.Close() } // the lock goes with the last descriptor
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		held, err := tryLock(f)
		if err != nil {
			release()
			return none, nil //nolint:nilerr // a file system without locks
		}
		if held {
			return release, nil
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			release()
			return none, ErrBusy
		}
	}
}
