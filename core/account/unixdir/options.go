package unixdir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// ErrOptions: the options of New make no sense.
var ErrOptions = errors.New("options of local accounts")

// Options of New. The zero value is usable.
type Options struct {
	Limits names.Limits
	// HomeBase is the directory homes are made in; "" is /home.
	HomeBase string
	// HomeMode is the mode of a new home; 0 is 0700.
	HomeMode fs.FileMode
	// Skel is what a new home has in it; "" is /etc/skel.
	Skel string
	// Shells are the shells of tiers. A tier without one gets NoLogin.
	Shells map[backend.Tier]string
	// NoLogin is the program that lets nobody work; "" is the first there is of /usr/sbin/nologin, /sbin/nologin and
	// /bin/false.
	NoLogin string
	// Given are groups of the system that the administrator gives (worker.Groups.Given): their numbers may be low.
	Given []string
	// Users is where users and groups are looked up.
	Users sysuser.DB
	Log   *slog.Logger
	Now   func() time.Time
}

func (o Options) withDefaults() Options {
	if o.HomeBase == "" {
		o.HomeBase = "/home"
	}
	if o.HomeMode == 0 {
		o.HomeMode = 0o700
	}
	if o.Skel == "" {
		o.Skel = "/etc/skel"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) check() error {
	for _, p := range []string{o.HomeBase, o.Skel} {
		if !cleanAbs(p) {
			return fmt.Errorf("%w: %q is no absolute path", ErrOptions, p)
		}
	}
	for tier, shell := range o.Shells {
		switch tier {
		case backend.Full, backend.Limited, backend.Restricted:
		default:
			return fmt.Errorf("%w: %q is no tier with a shell", ErrOptions, tier)
		}
		if !cleanAbs(shell) {
			return fmt.Errorf("%w: shell %q of %s", ErrOptions, shell, tier)
		}
	}
	if o.NoLogin != "" && !cleanAbs(o.NoLogin) {
		return fmt.Errorf("%w: %q is no absolute path", ErrOptions, o.NoLogin)
	}
	return nil
}

// cleanAbs reports whether p can stand in passwd: absolute, in one spelling, nothing that ends a field or a line.
func cleanAbs(p string) bool {
	if !filepath.IsAbs(p) || filepath.Clean(p) != p || len(p) > 256 {
		return false
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c >= 0x7f || c == ':' || c == ',' {
			return false
		}
	}
	return true
}
