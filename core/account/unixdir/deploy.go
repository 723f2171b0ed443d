//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// maxRounds is how often Deploy looks and mends: once to make, once to see that all is there, and again for what
// somebody else changed meanwhile.
const maxRounds = 4

// Deploy implements backend.System. It compares what there is with what is wanted and takes the next step until there
// is no difference, so that it does not matter where an earlier call was killed. Wanted.UID is needed for a new
// account.
func (s *System) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	if err := s.checkWanted(&w); err != nil {
		return backend.Done{}, err
	}
	if err := s.ensureGroups(ctx, w); err != nil {
		return backend.Done{}, err
	}
	var done backend.Done
	for range maxRounds {
		u, err := s.userOf(w.ID)
		switch {
		case errors.Is(err, backend.ErrNoAccount):
			if err := s.create(ctx, w); err != nil {
				return backend.Done{}, err
			}
			done.Created, done.Added = true, w.Groups
			continue
		case err != nil:
			return backend.Done{}, err
		}
		changed, err := s.mend(ctx, u, w, &done)
		if err != nil {
			return backend.Done{}, err
		}
		if !changed {
			return s.finish(ctx, u, w, done)
		}
	}
	return backend.Done{}, fmt.Errorf("%w: somebody else is changing the account", backend.ErrUnavailable)
}

func (s *System) checkWanted(w *backend.Wanted) error {
	if _, _, err := names.Decode(w.ID); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	if err := s.Limits.CheckName(w.Name); err != nil {
		return fmt.Errorf("%w: name: %w", backend.ErrRefused, err)
	}
	if w.UID != 0 {
		if err := s.Limits.CheckUID(w.UID); err != nil {
			return fmt.Errorf("%w: %w", backend.ErrRefused, err)
		}
	}
	w.Groups = slices.Compact(slices.Sorted(slices.Values(w.Groups)))
	for _, g := range append([]string{w.Primary}, w.Groups...) {
		if err := s.checkGroupName(g); err != nil {
			return fmt.Errorf("%w: group: %w", backend.ErrRefused, err)
		}
	}
	return nil
}

func (s *System) checkGroupName(name string) error {
	if slices.Contains(s.Given, name) {
		return names.Check(name)
	}
	return s.Limits.CheckName(name)
}

// ensureGroups makes the groups that are not there. One whose number is not for federated accounts is refused, unless
// the administrator gives it.
func (s *System) ensureGroups(ctx context.Context, w backend.Wanted) error {
	for _, name := range append([]string{w.Primary}, w.Groups...) {
		g, err := s.Users.Group(ctx, name)
		if errors.Is(err, sysuser.ErrNone) {
			if err := s.groupadd(ctx, name); err != nil {
				return fmt.Errorf("make group %s: %w", name, err)
			}
			g, err = s.Users.Group(ctx, name)
		}
		if err != nil {
			return fmt.Errorf("group %s: %w: %w", name, backend.ErrUnavailable, err)
		}
		if err := s.checkGID(g); err != nil {
			return fmt.Errorf("%w: group %s: %w", backend.ErrRefused, name, err)
		}
	}
	local, err := s.localGroups()
	if err != nil {
		return err
	}
	for _, name := range w.Groups { // usermod could not put anybody in
		if !local[name] {
			return fmt.Errorf("%w: group %s is not a group of this host's files", backend.ErrRefused, name)
		}
	}
	return s.mendGroups(ctx, w, local)
}

// localGroups are the groups that are not from a directory.
func (s *System) localGroups() (map[string]bool, error) {
	groups, err := s.Users.Groups()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	local := map[string]bool{}
	for _, g := range groups {
		local[g.Name] = true
	}
	return local, nil
}

// mendGroups makes the entries of gshadow(5) that a groupadd which was killed between its two files has left out.
func (s *System) mendGroups(ctx context.Context, w backend.Wanted, local map[string]bool) error {
	shadowed, err := s.shadowGroups()
	if err != nil || shadowed == nil {
		return err
	}
	for _, name := range append([]string{w.Primary}, w.Groups...) {
		if local[name] && !shadowed[name] {
			if err := s.tools.run(ctx, "grpconv"); err != nil {
				return fmt.Errorf("mend group %s: %w", name, err)
			}
			return nil
		}
	}
	return nil
}

func (s *System) checkGID(g sysuser.Group) error {
	if slices.Contains(s.Given, g.Name) && g.GID != 0 {
		return nil
	}
	return s.Limits.CheckGID(g.GID)
}

// create makes the entries of passwd, shadow and group. The home comes later: useradd would copy into one that somebody
// else left there, and leave a half-made one behind when it is killed.
func (s *System) create(ctx context.Context, w backend.Wanted) error {
	if w.UID == 0 {
		return fmt.Errorf("%w: a new account needs a uid", backend.ErrRefused)
	}
	if err := s.checkFree(ctx, w); err != nil {
		return err
	}
	err := s.tools.run(ctx, "useradd", "--comment", w.ID, "--gid", w.Primary, "--groups", strings.Join(w.Groups, ","),
		"--shell", s.shell(w.Tier), "--home-dir", s.home(w.Name), "--uid", decimal(w.UID), "--no-create-home",
		"--no-user-group", "--expiredate", "", "--inactive", "-1", "--password", "*", "--", w.Name)
	if err != nil {
		return fmt.Errorf("make user %s: %w", w.Name, err)
	}
	return nil
}

// checkFree asks the name service too: useradd looks at local files for some of it only. A home that is there has to be
// this identity's, from an account it had.
func (s *System) checkFree(ctx context.Context, w backend.Wanted) error {
	if _, err := s.Users.User(ctx, w.Name); !errors.Is(err, sysuser.ErrNone) {
		return taken(err, "user %s is there", w.Name)
	}
	if _, err := s.Users.Group(ctx, w.Name); !errors.Is(err, sysuser.ErrNone) {
		return taken(err, "group %s is there", w.Name)
	}
	if _, err := s.Users.ByUID(ctx, w.UID); !errors.Is(err, sysuser.ErrNone) {
		return taken(err, "uid %d is there", w.UID)
	}
	return s.homes.do(ctx, root, s.home(w.Name), func() error { return checkHome(s.home(w.Name), w.UID) })
}

// taken is the error for something that was found, or could not be looked for.
func taken(err error, format string, args ...any) error {
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: "+format, append([]any{backend.ErrTaken}, args...)...)
}

// mend takes the steps that lead from the account as it is to the one wanted, and reports whether there were any.
func (s *System) mend(ctx context.Context, u sysuser.User, w backend.Wanted, done *backend.Done) (bool, error) {
	if w.UID != 0 && u.UID != w.UID {
		return false, fmt.Errorf("%w: uid of %s is %d", backend.ErrMismatch, u.Name, u.UID)
	}
	shadow, err := s.shadowOf(u.Name)
	if err != nil {
		return false, err
	}
	if !shadow.there { // a useradd was killed between two files
		if err := s.tools.run(ctx, "usermod", "--password", "*", "--expiredate", "", "--", u.Name); err != nil {
			return false, fmt.Errorf("mend user %s: %w", u.Name, err)
		}
		return true, nil
	}
	a, err := s.account(u)
	if err != nil {
		return false, err
	}
	args := s.differences(u, a, w, done)
	if len(args) == 0 {
		return false, nil
	}
	if err := s.tools.run(ctx, "usermod", append(args, "--", u.Name)...); err != nil {
		return false, fmt.Errorf("change user %s: %w", u.Name, err)
	}
	return true, nil
}

// differences are the options of usermod that make the account what is wanted. The home stays, and so does the primary
// group as long as the person is to be in it at all.
func (s *System) differences(u sysuser.User, a backend.Account, w backend.Wanted, done *backend.Done) []string {
	var args []string
	if u.Gecos != w.ID {
		args = append(args, "--comment", w.ID)
	}
	if shell := s.shell(w.Tier); u.Shell != shell {
		args = append(args, "--shell", shell)
	}
	before, after := a.Groups, slices.Clone(w.Groups)
	if a.Primary != w.Primary && !slices.Contains(w.Groups, a.Primary) {
		args = append(args, "--gid", w.Primary)
		done.Added = union(done.Added, []string{w.Primary})
		if a.Primary != "" {
			done.Removed = union(done.Removed, []string{a.Primary})
		}
	} else if !slices.Contains(before, a.Primary) {
		after = without(after, []string{a.Primary}) // it need not be in the list to be a member
	}
	if !slices.Equal(before, after) {
		args = append(args, "--groups", strings.Join(w.Groups, ","))
		if !done.Created {
			done.Added = union(done.Added, without(after, before))
			done.Removed = union(done.Removed, without(before, after))
		}
	}
	return args
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(append(a, b...))))
}

// finish sees to what is in the home, and says what there is now.
func (s *System) finish(
	ctx context.Context, u sysuser.User, w backend.Wanted, done backend.Done,
) (backend.Done, error) {
	if err := s.ensureHome(ctx, u); err != nil {
		return backend.Done{}, fmt.Errorf("home of %s: %w", u.Name, err)
	}
	if w.Keys != nil {
		done.Keys = s.putKeys(ctx, u, w.Keys)
	}
	a, err := s.account(u)
	if err != nil {
		return backend.Done{}, err
	}
	done.Account = a
	return done, nil
}
