package worker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// Bounds of one deployment.
const (
	maxGroups = names.DefaultMaxGroups
	maxKeys   = 64
	maxKey    = 16 << 10 // an RSA key of 16384 bits is below 4 KiB
	maxPerson = 512      // each text about a person
)

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{backend.ErrRefused}, args...)...)
}

// safeID is id when it is an identity: what goes into a log or record is never a stranger's text.
func safeID(id string) string {
	if _, _, err := names.Decode(id); err != nil {
		return ""
	}
	return id
}

func safeName(name string) string {
	if names.Check(name) != nil {
		return ""
	}
	return name
}

func checkID(id string) error {
	if _, _, err := names.Decode(id); err != nil {
		return refused("%w", err)
	}
	return nil
}

// checkWanted judges what can be judged by looking at the request alone, and cleans what is harmless.
func (s *server) checkWanted(w *backend.Wanted) error {
	if err := checkID(w.ID); err != nil {
		return err
	}
	if err := s.Limits.CheckName(w.Name); err != nil {
		return refused("name: %w", err)
	}
	switch w.Tier {
	case backend.Full, backend.Limited, backend.Restricted, backend.NoShell:
	default:
		return refused("no such tier")
	}
	if err := s.checkGroupNames(w); err != nil {
		return err
	}
	cleanPerson(&w.Person)
	return checkKeys(w.Keys)
}

func (s *server) checkGroupNames(w *backend.Wanted) error {
	if len(w.Groups) > maxGroups {
		return refused("%d groups", len(w.Groups))
	}
	w.Groups = slices.Compact(slices.Sorted(slices.Values(w.Groups)))
	for _, g := range append([]string{w.Primary}, w.Groups...) {
		if slices.Contains(s.Groups.Given, g) {
			continue
		}
		if err := s.Limits.CheckName(g); err != nil {
			return refused("group: %w", err)
		}
		if len(s.Groups.Allow) > 0 && !s.Groups.allowed(g) {
			return refused("group %s is not on the list", g)
		}
	}
	return nil
}

func (g Groups) allowed(name string) bool {
	return slices.ContainsFunc(g.Allow, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// checkGroups looks at the groups there are: one that was not made here is given only when the administrator says so,
// and none with a number of the system. A primary group that the account has already is not given anew. It returns
// those that are to be made.
func (s *server) checkGroups(ctx context.Context, w backend.Wanted, there backend.Account) ([]string, error) {
	all := w.Groups
	if there.Primary != w.Primary {
		all = append([]string{w.Primary}, all...)
	}
	var fresh []string
	for _, name := range all {
		if slices.Contains(s.Groups.Given, name) {
			continue
		}
		g, err := s.Users.Group(ctx, name)
		if errors.Is(err, sysuser.ErrNone) {
			if err := s.checkNoUser(ctx, name); err != nil {
				return nil, err
			}
			fresh = append(fresh, name)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("group %s: %w: %w", name, backend.ErrUnavailable, err)
		}
		if err := s.Limits.CheckGID(g.GID); err != nil {
			return nil, refused("group %s: %w", name, err)
		}
		if s.Groups.allowed(name) {
			continue
		}
		if err := s.checkOwnGroup(ctx, g); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// checkNoUser keeps a group from being made with a user's name: userdel takes such a group for the user's own.
func (s *server) checkNoUser(ctx context.Context, name string) error {
	_, found, err := s.ledger.holderOf(ctx, name)
	if err != nil {
		return err
	}
	if found {
		return refused("group %s has the name of an account", name)
	}
	_, err = s.Users.User(ctx, name)
	switch {
	case errors.Is(err, sysuser.ErrNone):
		return nil
	case err != nil:
		return fmt.Errorf("user %s: %w: %w", name, backend.ErrUnavailable, err)
	}
	return refused("group %s has the name of a user", name)
}

// checkOwnGroup lets a group pass that was made through this worker. Of one that nobody knows whether it was, because
// its making was cut off, all members have to be accounts of ours.
func (s *server) checkOwnGroup(ctx context.Context, g sysuser.Group) error {
	known, found, err := s.ledger.group(ctx, g.Name)
	switch {
	case err != nil:
		return err
	case !found:
		return refused("group %s was not made here and is not on the list", g.Name)
	case known.GID == g.GID:
		return nil
	case known.GID != 0:
		return refused("group %s has another number than the one made here", g.Name)
	}
	for _, member := range g.Members {
		_, found, err := s.ledger.holderOf(ctx, member)
		if err != nil {
			return err
		}
		if !found {
			return refused("group %s has members that are not accounts of ours", g.Name)
		}
	}
	return nil
}

// checkLocal keeps a name that is to be given from being a local user's or group's. Only an account of the same
// identity may have it already.
func (s *server) checkLocal(ctx context.Context, w backend.Wanted) error {
	files := s.Users
	files.Getent = sysuser.FilesOnly // a directory's names are the System's own, or its to refuse
	u, err := files.User(ctx, w.Name)
	switch {
	case errors.Is(err, sysuser.ErrNone):
	case err != nil:
		return fmt.Errorf("user %s: %w: %w", w.Name, backend.ErrUnavailable, err)
	case identityIn(u.Gecos) != w.ID:
		return fmt.Errorf("%w: %s is a local user", backend.ErrTaken, w.Name)
	case s.Limits.CheckUID(u.UID) != nil:
		return refused("user %s: %w", w.Name, names.ErrFloor)
	}
	g, err := files.Group(ctx, w.Name)
	switch {
	case errors.Is(err, sysuser.ErrNone):
		return nil
	case err != nil:
		return fmt.Errorf("group %s: %w: %w", w.Name, backend.ErrUnavailable, err)
	case u.Name == w.Name && u.GID == g.GID:
		return nil
	}
	return fmt.Errorf("%w: %s is a group", backend.ErrTaken, w.Name)
}

// identityIn is what stands before the first comma of a GECOS field: what comes after it is for chfn(1), which users
// run.
func identityIn(gecos string) string {
	id, _, _ := strings.Cut(gecos, ",")
	return id
}

func checkKeys(keys []backend.Key) error {
	if len(keys) > maxKeys {
		return refused("%d keys", len(keys))
	}
	for i := range keys {
		if len(keys[i].Value) > maxKey {
			return refused("key of %d bytes", len(keys[i].Value))
		}
		keys[i].Name, keys[i].ID = cleanText(keys[i].Name), cleanText(keys[i].ID)
	}
	return nil
}

func cleanPerson(p *backend.Person) {
	for _, text := range []*string{&p.Given, &p.Family, &p.Full, &p.Email} {
		*text = cleanText(*text)
	}
}

// cleanText is s, or nothing when it is more than a line of text. No account hangs on it.
func cleanText(s string) string {
	if len(s) > maxPerson || !utf8.ValidString(s) {
		return ""
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return ""
		}
	}
	return s
}

// agrees compares an account with the ledger: name and uid have to be the same, and such that a federated account may
// have them. The error is backend.ErrMismatch or backend.ErrRefused.
func (s *server) agrees(a backend.Account, e entry) error {
	switch {
	case a.ID != e.ID:
		return fmt.Errorf("%w: %s has the account of %s", backend.ErrMismatch, safeID(a.ID), e.Name)
	case a.Name != e.Name:
		return fmt.Errorf("%w: account is %s, the ledger has %s", backend.ErrMismatch, safeName(a.Name), e.Name)
	case e.UID != 0 && a.UID != e.UID:
		return fmt.Errorf("%w: uid of %s is %d, the ledger has %d", backend.ErrMismatch, a.Name, a.UID, e.UID)
	}
	return s.checkAccount(a)
}

func (s *server) checkAccount(a backend.Account) error {
	if err := checkID(a.ID); err != nil {
		return err
	}
	if err := s.Limits.CheckName(a.Name); err != nil {
		return refused("account: %w", err)
	}
	if err := s.Limits.CheckUID(a.UID); err != nil {
		return refused("account %s: %w", a.Name, err)
	}
	return nil
}
