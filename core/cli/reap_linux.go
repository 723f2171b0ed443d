package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// orphanGrace is how long a dead child may lie there for the code that started it. That code waits for it at once, so
// whatever is still there afterwards is an orphan the kernel gave us.
const orphanGrace = time.Second

// reapOrphans does the one duty a container's first process has beside its work: it collects the orphans whose parents
// have died. It returns at once where this process is not the first.
func reapOrphans(ctx context.Context) {
	if os.Getpid() != 1 {
		return
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(died)
		for {
			select {
			case <-ctx.Done():
				return
			case <-died:
			}
			for reapOne(ctx) {
			}
		}
	}()
}

// reapOne looks at a dead child without collecting it, gives its starter time, and collects it then. It reports whether
// there was one.
func reapOne(ctx context.Context) bool {
	pid := deadChild()
	if pid <= 0 {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(orphanGrace):
	}
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return true
}

func deadChild() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	// si_pid is the first member of the union behind three ints; the union is aligned like a pointer.
	offset := (3*unsafe.Sizeof(int32(0)) + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), offset)))
}
