//go:build linux

package unixdir

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
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

// endSessions ends all processes of a user and returns when none is left. Twice in a row there has to be none: an sshd
// that had asked for the account before it expired may start one in between.
func (s *System) endSessions(ctx context.Context, u sysuser.User) error {
	if err := s.Limits.CheckUID(u.UID); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for clean := 0; ; {
		left, err := killAll(u.UID)
		if err != nil {
			return err
		}
		if clean++; left > 0 {
			clean = 0
			s.killAtOnce(ctx, u)
		}
		if clean == 1 {
			s.endLogind(ctx, u)
		}
		if clean == 2 {
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

// killAll kills every process that has the uid in one of its four, and returns how many there were.
func killAll(uid uint32) (int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	entries, err := proc.Readdirnames(-1)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	n := 0
	for _, name := range entries {
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 1 || pid == os.Getpid() || !runsAs(pid, uid) {
			continue
		}
		n++
		// The process is held by a descriptor of it: between the second look and the signal its number cannot become
		// another's.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if runsAs(pid, uid) {
			_ = p.Kill()
		}
		_ = p.Release()
	}
	return n, nil
}

// runsAs reports whether a living process has the uid as real, effective, saved or file system uid.
func runsAs(pid int, uid uint32) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	has := false
	for line := range bytes.Lines(b) {
		if state, ok := bytes.CutPrefix(line, []byte("State:")); ok && len(bytes.TrimSpace(state)) > 0 {
			if c := bytes.TrimSpace(state)[0]; c == 'Z' || c == 'X' {
				return false // dead already
			}
		}
		if uids, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			for _, f := range bytes.Fields(uids) {
				has = has || string(f) == decimal(uid)
			}
			return has
		}
	}
	return false
}
