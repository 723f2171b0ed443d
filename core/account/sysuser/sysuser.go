package sysuser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/account/names"
)

// DefaultTimeout bounds one question to the name service.
const DefaultTimeout = 2 * time.Second

// DB is where users and groups are looked up. The zero value is this host.
type DB struct {
	// Root is put before the names of files. With one, the files alone are asked unless Getent is set.
	Root string
	// Getent is the program that asks the name service; "" is /usr/bin/getent, FilesOnly is none.
	Getent string
	// Timeout bounds one question to the name service; 0 is DefaultTimeout.
	Timeout time.Duration
}

// FilesOnly as DB.Getent keeps to /etc/passwd and /etc/group.
const FilesOnly = "-"

// User is an entry of passwd.
type User struct {
	Name               string
	UID, GID           uint32
	Gecos, Home, Shell string
}

// Group is an entry of group.
type Group struct {
	Name    string
	GID     uint32
	Members []string
}

// User returns the user of that name. The error is ErrNone, also for what is no name of the alphabet and of no file, or
// ErrUnavailable.
func (d DB) User(ctx context.Context, name string) (User, error) {
	u, err := d.userInFile(func(u User) bool { return u.Name == name })
	if !errors.Is(err, ErrNone) {
		return u, err
	}
	if names.Check(name) != nil { // getent takes a number for a uid, and "-x" for an option
		return User{}, fmt.Errorf("user %q: %w", name, ErrNone)
	}
	line, err := d.ask(ctx, "passwd", name)
	if err != nil {
		return User{}, err
	}
	if u, ok := parseUser(line); ok && u.Name == name {
		return u, nil
	}
	return User{}, fmt.Errorf("user %s: answer of the name service: %w", name, ErrUnavailable)
}

// ByUID returns the first user with that uid. The errors are those of User.
func (d DB) ByUID(ctx context.Context, uid uint32) (User, error) {
	u, err := d.userInFile(func(u User) bool { return u.UID == uid })
	if !errors.Is(err, ErrNone) {
		return u, err
	}
	line, err := d.ask(ctx, "passwd", strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return User{}, err
	}
	if u, ok := parseUser(line); ok && u.UID == uid {
		return u, nil
	}
	return User{}, fmt.Errorf("uid %d: answer of the name service: %w", uid, ErrUnavailable)
}

// Group returns the group of that name. The errors are those of User.
func (d DB) Group(ctx context.Context, name string) (Group, error) {
	g, err := d.groupInFile(func(g Group) bool { return g.Name == name })
	if !errors.Is(err, ErrNone) {
		return g, err
	}
	if names.Check(name) != nil {
		return Group{}, fmt.Errorf("group %q: %w", name, ErrNone)
	}
	line, err := d.ask(ctx, "group", name)
	if err != nil {
		return Group{}, err
	}
	if g, ok := parseGroup(line); ok && g.Name == name {
		return g, nil
	}
	return Group{}, fmt.Errorf("group %s: answer of the name service: %w", name, ErrUnavailable)
}

// ByGID returns the first group with that gid. The errors are those of User.
func (d DB) ByGID(ctx context.Context, gid uint32) (Group, error) {
	g, err := d.groupInFile(func(g Group) bool { return g.GID == gid })
	if !errors.Is(err, ErrNone) {
		return g, err
	}
	line, err := d.ask(ctx, "group", strconv.FormatUint(uint64(gid), 10))
	if err != nil {
		return Group{}, err
	}
	if g, ok := parseGroup(line); ok && g.GID == gid {
		return g, nil
	}
	return Group{}, fmt.Errorf("gid %d: answer of the name service: %w", gid, ErrUnavailable)
}

// InGroup reports whether the user is a member of the group, by primary group or by list. The errors are those of User,
// for either.
func (d DB) InGroup(ctx context.Context, user, group string) (bool, error) {
	g, err := d.Group(ctx, group)
	if err != nil {
		return false, err
	}
	if slices.Contains(g.Members, user) {
		return true, nil
	}
	u, err := d.User(ctx, user)
	if err != nil {
		return false, err
	}
	return u.GID == g.GID, nil
}

// Users returns the users of the file, in its order.
func (d DB) Users() ([]User, error) {
	var all []User
	_, err := d.userInFile(func(u User) bool { all = append(all, u); return false })
	if errors.Is(err, ErrNone) {
		err = nil
	}
	return all, err
}

// Groups returns the groups of the file, in its order.
func (d DB) Groups() ([]Group, error) {
	var all []Group
	_, err := d.groupInFile(func(g Group) bool { all = append(all, g); return false })
	if errors.Is(err, ErrNone) {
		err = nil
	}
	return all, err
}
