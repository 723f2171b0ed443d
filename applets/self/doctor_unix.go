//go:build unix

package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// describeSocket says who may use a socket.
func describeSocket(path string, fi fs.FileInfo) string {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err.Error()
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	who := "you alone may use it"
	switch m, at := fi.Mode().Perm(), dir.Mode().Perm(); {
	case m&0o002 != 0 && at&0o001 != 0:
		who = "everybody on this machine can connect to it"
	case m&0o020 != 0 && at&0o010 != 0:
		who = "you and the group " + groupName(st.Gid) + " may use it"
	}
	return fmt.Sprintf("%s (owner %s, mode %04o, directory %04o)", who, userName(st.Uid), fi.Mode().Perm(),
		dir.Mode().Perm())
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return "gid " + id
}

// processRuns reports whether there is a process of this number, of whomever.
func processRuns(pid int) bool {
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// processName is the short name of a process, "" where the system does not say.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// processReadable reports whether other processes of the same person can read the memory of a process: the kernel gives
// the files of one that forbids it to root.
func processReadable(pid int) (readable, known bool) {
	fi, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || os.Geteuid() == 0 { // root may in any case
		return false, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uint32(os.Geteuid()), ok
}

// What this program needs.
const (
	needLocked  = 32 << 10 // as core/secret/vault says
	needAddress = 1300 << 20
	needFiles   = 256
)

// limits looks at the limits of this shell, which an agent started from it would have.
func (d *doctor) limits(_ context.Context, f *findings) {
	for _, l := range []struct {
		id       string
		resource int
		need     uint64
		text     string
		next     string
	}{
		{
			"memlock", unix.RLIMIT_MEMLOCK, needLocked, "locked memory",
			"ulimit -l 32, or memlock in /etc/security/limits.conf",
		},
		{
			"address-space", unix.RLIMIT_AS, needAddress, "address space",
			"ulimit -v unlimited: with much less no program of ours starts",
		},
		{"files", unix.RLIMIT_NOFILE, needFiles, "open files", "ulimit -n 1024"},
	} {
		var r unix.Rlimit
		if err := unix.Getrlimit(l.resource, &r); err != nil {
			continue
		}
		if uint64(r.Cur) < l.need {
			f.add(sevWarning, l.id, "", fmt.Sprintf("the limit of %s is %s, %s are needed", l.text,
				amount(l.id, uint64(r.Cur)), amount(l.id, l.need)), l.next)
		}
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err == nil && core.Cur != 0 {
		f.ok("core", "", "core files are allowed here; agents and commands of ours switch that off for themselves")
	}
	if len(f.list) == 0 {
		f.ok("limits", "", "locked memory, address space and open files are enough")
	}
}

func amount(id string, n uint64) string {
	if id == "files" {
		return strconv.FormatUint(n, 10)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
