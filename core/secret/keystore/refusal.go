package keystore

import (
	"errors"
	"io/fs"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/store"
)

// Refusal gives an error about a key or a keystore file the exit code and the hint with which a command ends. One that
// has them, and one that is about something else, comes back as it is.
func Refusal(err error) error {
	var coded *cli.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, ErrWrongPassphrase), errors.Is(err, ErrWrongKey):
		return cli.Fail(cli.Denied, err, "nobody can open a keystore without one of its keys; its slots: "+
			"oidcbox self keystore info")
	case errors.Is(err, ErrHalfCopy):
		return cli.Fail(cli.No, err, "copy it again: what is there of it is cleared first")
	case errors.Is(err, ErrNoSlot):
		return cli.Fail(cli.NotFound, err, "list them with: oidcbox self keystore slot list")
	case errors.Is(err, store.ErrUnsafe):
		return cli.Fail(cli.Denied, err, "the directory has to be yours with mode 0700, the file with mode 0600")
	case errors.Is(err, store.ErrVersion):
		return cli.Fail(cli.No, err, "use the release of oidcbox that wrote it, or a newer one")
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrSealed):
		return cli.Fail(cli.No, err, "put a backup in its place with: oidcbox self keystore restore --force FILE")
	case errors.Is(err, fs.ErrNotExist): // of a passphrase or key file, or its directory
		return cli.Fail(cli.NotFound, err, "")
	case errors.Is(err, fs.ErrPermission):
		return cli.Fail(cli.Denied, err, "keystore and key files have to be yours, with mode 0600")
	case errors.Is(err, ErrUnfit), errors.Is(err, ErrChoice):
		return cli.Fail(cli.Usage, err, "")
	}
	return err
}
