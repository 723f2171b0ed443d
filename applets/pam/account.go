package pam

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

var (
	// errUnmanaged: the account is root's, the system's or a local user's. Nobody gets into it with a token, whatever the
	// provisioner says.
	errUnmanaged = errors.New("not a federated account")
	// errUnmarked is errUnmanaged for an account in the range of ours that would not be marked if it were: only its GECOS
	// field says that it is not ours.
	errUnmarked = errors.New("shows no identity")
	// errMismatch: what this host knows of the account contradicts itself or the answer.
	errMismatch = errors.New("the identities of the account do not agree")
)

// account is a federated account as this host knows it, without asking anybody who could have been taken over.
type account struct {
	sysuser.User
	id string // the identity, "" when the host does not know it (--uid-range)
}

// look finds out whether a user is one of ours. The error is errUnmanaged when it is not, and anything else when that
// cannot be said.
func (o *options) look(ctx context.Context, users sysuser.DB, name string) (account, error) {
	if err := o.limits().CheckName(name); err != nil {
		return account{}, fmt.Errorf("%w: %w", errUnmanaged, err)
	}
	u, err := users.User(ctx, name)
	switch {
	case errors.Is(err, sysuser.ErrNone):
		return account{}, fmt.Errorf("%w: %w", errUnmanaged, err)
	case err != nil:
		return account{}, err
	case u.Name != name: // a name service that does not care about case
		return account{}, fmt.Errorf("%w: the user is called %q", errUnmanaged, u.Name)
	}
	if err := o.limits().CheckUID(u.UID); err != nil {
		return account{}, fmt.Errorf("%w: %w", errUnmanaged, err)
	}
	a := account{User: u}
	if o.UIDRange {
		return a, nil
	}
	a.id, err = o.identity(ctx, users, u)
	return a, err
}

// identity is whose the account is, by its mark where accounts are marked, and by its GECOS field. An account of this
// host's passwd has a mark wherever there are marks. One of a directory may have been made by a worker on another host,
// and has one here or not.
func (o *options) identity(ctx context.Context, users sysuser.DB, u sysuser.User) (string, error) {
	gecos, _, _ := strings.Cut(u.Gecos, ",") // what comes after it is for chfn, which users run
	if _, _, err := names.Decode(gecos); err != nil {
		gecos = ""
	}
	m, err := mark.Read(o.Marks, u.Name)
	if errors.Is(err, mark.ErrNone) {
		needed, err := o.needsMark(ctx, users, u.Name)
		switch {
		case err != nil:
			return "", err
		case needed:
			return "", fmt.Errorf("%w: %w", errUnmanaged, mark.ErrNone)
		case gecos == "":
			return "", fmt.Errorf("%w: %w", errUnmanaged, errUnmarked)
		}
		return gecos, nil
	}
	switch {
	case err != nil:
		return "", err
	case m.UID != u.UID:
		return "", fmt.Errorf("%w: the mark is for uid %d", errMismatch, m.UID)
	case (gecos != "" || m.Passwd) && gecos != m.ID:
		return "", fmt.Errorf("%w: the mark says another one than the GECOS field", errMismatch)
	}
	return m.ID, nil
}

// needsMark reports whether an account is one of ours only with a mark.
func (o *options) needsMark(ctx context.Context, users sysuser.DB, name string) (bool, error) {
	if _, err := os.Lstat(o.Marks); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	users.Getent = sysuser.FilesOnly
	_, err := users.User(ctx, name)
	if errors.Is(err, sysuser.ErrNone) {
		return false, nil
	}
	return true, err
}
