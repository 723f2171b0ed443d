//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
)

// toolTimeout bounds one program. They wait up to 15 s for each of two locks themselves.
const toolTimeout = 35 * time.Second

// A lock that somebody else has is tried for again: not all programs wait for all of them.
const (
	lockTries = 6
	lockPause = 500 * time.Millisecond
)

// tools runs the programs of shadow-utils, one at a time: they would only wait for each other's lock, by the second.
// Who is to be stopped goes first, before a crowd that is to be let in.
type tools struct {
	turn   chan struct{}
	urgent *atomic.Int32 // how many wait to stop somebody
	path   map[string]string
}

func newTools() tools {
	t := tools{turn: make(chan struct{}, 1), urgent: &atomic.Int32{}, path: map[string]string{}}
	for _, name := range []string{"useradd", "usermod", "userdel", "groupadd", "grpconv", "chage", "restorecon", "loginctl", "kill"} {
		t.path[name] = firstProgram("/usr/sbin/"+name, "/usr/bin/"+name, "/sbin/"+name, "/bin/"+name)
	}
	return t
}

// run runs one of the programs that change accounts.
func (t tools) run(ctx context.Context, name string, args ...string) error {
	if err := t.take(ctx, name == "chage"); err != nil {
		return err
	}
	defer func() { <-t.turn }()
	for try := 1; ; try++ {
		// A program that has begun gets its time: one that is killed halfway leaves something to mend.
		c := command.Command{Path: t.path[name], Args: args, Timeout: toolTimeout}
		_, err := command.Run(context.WithoutCancel(ctx), c)
		if !locked(err) || try == lockTries {
			return meaning(name, err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return meaning(name, err)
		}
	}
}

// take waits for the turn.
func (t tools) take(ctx context.Context, first bool) error {
	if first {
		t.urgent.Add(1)
		defer t.urgent.Add(-1)
	}
	for {
		select {
		case t.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%w: accounts are being changed by others", backend.ErrUnavailable)
		}
		if first || t.urgent.Load() == 0 {
			return nil
		}
		<-t.turn
		time.Sleep(time.Millisecond)
	}
}

// locked reports whether a program found passwd or group locked, or could not write them.
func locked(err error) bool {
	var exit *command.ExitError
	return errors.As(err, &exit) && (exit.Code == 1 || exit.Code == 10)
}

// meaning makes one of the backend's errors of an exit code of shadow-utils.
func meaning(name string, err error) error {
	var exit *command.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, command.ErrTimeout):
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	case !errors.As(err, &exit):
		return err
	}
	switch exit.Code {
	case 1, 10: // passwd, or group, is locked by somebody or cannot be written
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	case 4, 9: // uid, or name, is there
		return fmt.Errorf("%w: %w", backend.ErrTaken, err)
	case 6: // no such user (for useradd: group)
		if name == "useradd" {
			return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
		}
		return fmt.Errorf("%w: %w", backend.ErrNoAccount, err)
	case 8: // userdel: somebody is at work as this user
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	return err
}

// groupadd makes a group with a number of the range. That it is there already is no error: the caller looks.
func (s *System) groupadd(ctx context.Context, name string) error {
	low, high := s.Limits.GIDRange()
	err := s.tools.run(ctx, "groupadd", "-K", "GID_MIN="+decimal(low), "-K", "GID_MAX="+decimal(high), "--", name)
	if errors.Is(err, backend.ErrTaken) {
		return nil
	}
	return err
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
