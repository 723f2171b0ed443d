//go:build linux

package unixdir

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

const (
	homeTimeout = 10 * time.Second // for work in a home; a file server that is gone can keep it for ever
	maxHomes    = 32               // pieces of work in homes at once, those that hang included
)

// owners is as whom work in a home is done.
type owners struct{ uid, gid uint32 }

// root is the zero value: the work is done as the process itself.
var root = owners{}

// homes does work in homes: on threads of their own, as the user, for a time. A thread that a dead file server keeps is
// given up; as long as it hangs, nothing else is tried in that home, and there are maxHomes of them at most.
type homes struct {
	room chan struct{}
	mu   *sync.Mutex
	busy map[task]bool
}

// task is what may hang without keeping others waiting: work as one user, or as root, in one home.
type task struct {
	owners
	home string
}

func newHomes() homes {
	return homes{room: make(chan struct{}, maxHomes), mu: &sync.Mutex{}, busy: map[task]bool{}}
}

// do runs work in a home as o and returns its error, or backend.ErrUnavailable when it takes too long.
func (h homes) do(ctx context.Context, o owners, home string, work func() error) error {
	ctx, cancel := context.WithTimeout(ctx, homeTimeout)
	defer cancel()
	select {
	case h.room <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: homes do not answer", backend.ErrUnavailable)
	}
	t := task{o, home}
	if !h.enter(t) {
		<-h.room
		return fmt.Errorf("%w: the home does not answer", backend.ErrUnavailable)
	}
	done := make(chan error, 1)
	go func() {
		defer func() { h.leave(t); <-h.room }()
		done <- onThread(o, work)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: the home does not answer in time", backend.ErrUnavailable)
	}
}

// enter is false while the same work hangs, and for root's while half of all threads are its.
func (h homes) enter(t task) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	roots := 0
	for other := range h.busy {
		if other.owners == root {
			roots++
		}
	}
	if h.busy[t] || t.owners == root && roots >= maxHomes/2 {
		return false
	}
	h.busy[t] = true
	return true
}

func (h homes) leave(t task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, t)
}

// onThread runs work on a thread that is o to the kernel's checks of files, and to nothing else: its real uid stays
// ours, so that the user can neither signal nor trace it. The thread ends with the goroutine, since it is never
// unlocked.
func onThread(o owners, work func() error) error {
	if o == root {
		return work()
	}
	errs := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := become(o)
		if err == nil {
			err = work()
		}
		back()
		errs <- err
	}()
	return <-errs
}

// back gives a thread that is about to end our own effective ids: userdel refuses while a thread of anybody's runs as
// the user, and this one may be there for a moment longer.
func back() {
	const keep = ^uintptr(0)
	_, _, _ = unix.RawSyscall(sysSetresuid, keep, uintptr(os.Getuid()), keep)
	_, _, _ = unix.RawSyscall(sysSetresgid, keep, uintptr(os.Getgid()), keep)
}

// become changes the calling thread alone; the calls of package syscall would change all threads. With an effective uid
// that is not 0 the kernel takes the thread's capabilities away.
func become(o owners) error {
	if o.uid == 0 || o.gid == 0 {
		return fmt.Errorf("%w: work in a home as root", backend.ErrRefused)
	}
	if os.Geteuid() != 0 {
		if uint32(os.Geteuid()) == o.uid {
			return nil
		}
		return fmt.Errorf("%w: only root works in homes of others", os.ErrPermission)
	}
	const keep = ^uintptr(0)
	if _, _, e := unix.RawSyscall(sysSetgroups, 0, 0, 0); e != 0 {
		return fmt.Errorf("drop groups: %w", e)
	}
	if _, _, e := unix.RawSyscall(sysSetresgid, keep, uintptr(o.gid), keep); e != 0 {
		return fmt.Errorf("become gid %d: %w", o.gid, e)
	}
	if _, _, e := unix.RawSyscall(sysSetresuid, keep, uintptr(o.uid), keep); e != 0 {
		return fmt.Errorf("become uid %d: %w", o.uid, e)
	}
	return nil
}

// ensureHome makes the home when it is not there.
func (s *System) ensureHome(ctx context.Context, u sysuser.User) error {
	if u.Home != s.home(u.Name) {
		return nil // somebody has moved it, and sees to it
	}
	made := false
	err := s.homes.do(ctx, root, u.Home, func() (err error) {
		made, err = s.makeHome(u)
		return err
	})
	if err == nil && made {
		s.label(ctx, u.Home)
	}
	return err
}

// homeThere reports whether there is something at the path of a home.
func (s *System) homeThere(ctx context.Context, path string) (there bool, err error) {
	err = s.homes.do(ctx, root, path, func() error {
		_, err := os.Lstat(path)
		there = err == nil
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	return there, err
}
