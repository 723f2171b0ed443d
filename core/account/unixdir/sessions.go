//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

const (
	endTimeout = 5 * time.Second        // until processes that do not end are reported
	lookAgain  = 50 * time.Millisecond  // between two looks at what runs
	logindWait = 700 * time.Millisecond // for logind to take the request
)

// EndSessions ends what runs on this host for an account of a system that knows no sessions: a directory, a reg-app. The
// error is ErrRefused for a number below the floor.
func (s *System) EndSessions(ctx context.Context, a backend.Account) error {
	return s.endSessions(ctx, sysuser.User{Name: a.Name, UID: a.UID, GID: a.GID, Home: a.Home, Shell: a.Shell})
}

// endSessions ends all processes of a user and returns when none is left. Twice in a row there has to be none: an sshd
// that had asked for the account before it expired may start one in between.
func (s *System) endSessions(ctx context.Context, u sysuser.User) error {
	if err := s.Limits.CheckUID(u.UID); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	theirs, err := s.numbersOf(u)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	s.killAtOnce(ctx, u)
	for clean := 0; ; {
		left, err := theirs.killAll()
		if err != nil {
			return err
		}
		switch clean++; {
		case left > 0:
			clean = 0
			s.killAtOnce(ctx, u)
		case clean == 1:
			s.endLogind(ctx, u)
			if err := endLogins(u.Name); err != nil {
				return err
			}
		case clean == 2:
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return fmt.Errorf("%w: %d processes do not end", backend.ErrUnavailable, left)
		}
	}
}

// killAtOnce lets the kernel kill everything that the user may kill, without a gap in which one could fork: the program
// that asks for it runs as that user. It is no loss where it is missing: killAll goes on until there are none.
func (s *System) killAtOnce(ctx context.Context, u sysuser.User) {
	if u.UID < 1 || s.Limits.CheckUID(u.UID) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.tools.path["kill"], "-KILL", "--", "-1")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID}}
	_ = cmd.Run()
}

// endLogind ends what belongs to the user's sessions under other uids (su, sudo), where systemd keeps account of it.
func (s *System) endLogind(ctx context.Context, u sysuser.User) {
	if _, err := os.Stat("/run/systemd/users/" + decimal(u.UID)); err != nil {
		return
	}
	_, err := command.Run(ctx, command.Command{
		Path: s.tools.path["loginctl"], Args: []string{"terminate-user", "--", decimal(u.UID)}, Timeout: logindWait,
	})
	if err != nil {
		s.Log.Debug("loginctl terminate-user", "name", u.Name, "error", err)
	}
}

// endLogins ends logins under way. Between PAM's last word about an account and the first process of the user sshd works
// as root, for as long as the session modules take: who was let in just before the account expired would stay. A login
// that begins later is refused by PAM, so once is enough, and strangers who only knock cannot keep us here.
func endLogins(name string) error {
	pids, err := processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if !logsIn(pid, name) {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if logsIn(pid, name) {
			_ = p.Kill()
		}
		_ = p.Release()
	}
	return nil
}

// logsIn reports whether a process is root's part of an sshd that serves the user: it says so in its title. Which file it
// runs is not ours to see: the worker may not trace.
func logsIn(pid int, name string) bool {
	if !(numbers{}).runs(pid) { // the zero value is root
		return false
	}
	dir := "/proc/" + strconv.Itoa(pid)
	comm, err := os.ReadFile(dir + "/comm")
	program := strings.TrimSpace(string(comm))
	if err != nil || program != "sshd" && program != "sshd-session" {
		return false
	}
	cmdline, err := os.ReadFile(dir + "/cmdline")
	title, _, _ := strings.Cut(string(cmdline), "\x00")
	return err == nil && strings.TrimSpace(title) == program+": "+name+" [priv]"
}

// numbers are the uids that processes of one user can have: the user's own, and in the user's own containers the
// subordinate ones.
type numbers struct {
	uid    uint64
	ranges [][2]uint64 // first and last
}

// minSubordinate is where subordinate uids begin at the lowest: what stands below it in the file is a mistake, and
// may be somebody.
const minSubordinate = 65536

// numbersOf reads subuid(5).
func (s *System) numbersOf(u sysuser.User) (numbers, error) {
	n := numbers{uid: uint64(u.UID)}
	b, err := os.ReadFile(filepath.Join("/", s.Users.Root, "etc/subuid"))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return numbers{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != u.Name && f[0] != decimal(u.UID) {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 && first >= minSubordinate {
			n.ranges = append(n.ranges, [2]uint64{first, first + count - 1})
		}
	}
	return n, nil
}

// has reports whether a process with this uid is the user's. A subordinate uid may be a user of its own, in a directory
// that nobody has told useradd about: the process has to be in a container that the user began.
func (n numbers) has(pid int, uid uint64) bool {
	if uid == n.uid {
		return true
	}
	in := func(r [2]uint64) bool { return r[0] <= uid && uid <= r[1] }
	return slices.ContainsFunc(n.ranges, in) && n.contained(pid)
}

// contained reports whether a process is in a user namespace that has the user in its map.
func (n numbers) contained(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/uid_map")
	if err != nil {
		return false
	}
	const everybody = 1 << 31 // the map of a namespace that is no container
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && count < everybody && first <= n.uid && n.uid < first+count {
			return true
		}
	}
	return false
}

// processes are the numbers of all processes but the first one and this.
func processes() ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	entries, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, name := range entries {
		if pid, err := strconv.Atoi(name); err == nil && pid > 1 && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killAll kills every process that has one of the uids in one of its four, and returns how many there were.
func (n numbers) killAll() (int, error) {
	pids, err := processes()
	if err != nil {
		return 0, err
	}
	killed := 0
	for _, pid := range pids {
		if !n.runs(pid) {
			continue
		}
		killed++
		// The process is held by a descriptor of it: between the second look and the signal its number cannot become
		// another's.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if n.runs(pid) {
			_ = p.Kill()
		}
		_ = p.Release()
	}
	return killed, nil
}

// runs reports whether a living process has one of the uids as real, effective, saved or file system uid.
func (n numbers) runs(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "State:" && (words[1] == "Z" || words[1] == "X"):
			return false // dead already
		case len(words) > 1 && words[0] == "Uid:":
			return slices.ContainsFunc(words[1:], func(w string) bool {
				uid, err := strconv.ParseUint(w, 10, 32)
				return err == nil && n.has(pid, uid)
			})
		}
	}
	return false
}
