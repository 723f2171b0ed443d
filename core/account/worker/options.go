package worker

import (
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/store"
)

// Options of Serve. System, Ledger and Peers are needed.
type Options struct {
	System backend.System
	// Ledger keeps which identity has which name and uid. It is this process's alone.
	Ledger store.Engine
	Limits names.Limits
	Groups Groups
	Rate   Rate
	// Peers are the uids that may ask.
	Peers []uint32
	// Marks is the directory of marks (core/account/mark); "" for none.
	Marks string
	// PostCreate is a program with its first arguments that is run with the local name as its last one, after an account
	// was made. It is run again when it failed, or when nobody knows whether it ended: it has to bear that.
	PostCreate []string
	// PostCreateTimeout bounds it; 0 is DefaultPostCreateTimeout.
	PostCreateTimeout time.Duration
	// Numbers is for a System of this host's own passwd (unixdir): the ledger counts uids, which that System is told, and
	// marks say that the GECOS field has the identity.
	Numbers bool
	// Adopt takes over accounts that the System says belong to an identity and that the ledger does not know, as long as
	// System.Trust says that users cannot have written that. It is for directories that several workers share.
	Adopt bool
	// Users is where local users and groups are looked up.
	Users sysuser.DB
	// Audit is told of every change and every refusal, one at a time. nil: nobody is.
	Audit func(Event)
	Log   *slog.Logger
	Now   func() time.Time
}

// DefaultPostCreateTimeout bounds the program of Options.PostCreate.
const DefaultPostCreateTimeout = 30 * time.Second

// Groups say which groups an account may be in, beyond what names.Limits refuse.
type Groups struct {
	// Allow are patterns (path.Match) of names. With any, a group has to match one. A group that is there and was not
	// made through this worker has to match one in any case: it may open doors nobody thinks of.
	Allow []string
	// Given are groups the administrator gives: primary and additional ones. Their names and numbers may be those of the
	// system ("users"), but never of those that are as good as root.
	Given []string
}

// Rate bounds what the other side can do in a time. Suspending is never bounded.
type Rate struct {
	// Creates is how many accounts are made in an hour; 0 is DefaultCreates.
	Creates int
	// Changes is how often one identity's account is changed in a minute; 0 is DefaultChanges.
	Changes int
}

// What Rate is where nothing is said.
const (
	DefaultCreates = 600
	DefaultChanges = 300
)

// asGoodAsRoot are groups whose members can become root, or read what root alone should. They are in no list of Given.
func asGoodAsRoot() []string {
	return []string{
		"root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "incus", "incus-admin", "libvirt", "libvirt-qemu", "kvm",
		"disk", "shadow", "kmem", "mem", "tty", "utmp", "staff", "lpadmin", "sudoers", "ssh_keys", "podman",
		"systemd-journal",
		"systemd-network", "oidcbox", "bin", "daemon", "sys", "mail", "backup", "operator", "src", "tape",
	}
}

// Check says what is wrong with the options, or that they would open what has to stay closed. The error is ErrOptions.
func (o Options) Check() error {
	switch {
	case o.System == nil:
		return fmt.Errorf("%w: no account system", ErrOptions)
	case o.Ledger == nil:
		return fmt.Errorf("%w: no ledger", ErrOptions)
	case len(o.Peers) == 0:
		return fmt.Errorf("%w: nobody may ask", ErrOptions)
	case o.Rate.Creates < 0 || o.Rate.Changes < 0:
		return fmt.Errorf("%w: a rate is negative", ErrOptions)
	case len(o.PostCreate) > 0 && !path.IsAbs(o.PostCreate[0]):
		return fmt.Errorf("%w: program %s has no absolute path", ErrOptions, o.PostCreate[0])
	}
	return o.Groups.Check()
}

// Check says what no worker would take: a pattern or name that is none, and groups as good as root. The error wraps
// [ErrOptions].
func (g Groups) Check() error {
	for _, pattern := range g.Allow {
		if _, err := path.Match(pattern, "a"); err != nil || pattern == "" {
			return fmt.Errorf("%w: %q is no pattern for groups", ErrOptions, pattern)
		}
	}
	for _, name := range g.Given {
		if err := names.Check(name); err != nil {
			return fmt.Errorf("%w: group %q: %w", ErrOptions, name, err)
		}
		if slices.Contains(asGoodAsRoot(), name) {
			return fmt.Errorf("%w: whoever is in group %s is as good as root", ErrOptions, name)
		}
	}
	return nil
}

// Event is something that was done or refused, for the audit log.
type Event struct {
	Time  time.Time
	Event string // deploy, tier, suspend, resume, undeploy, adopt, refused
	Op    string // what was asked for
	ID    string // the identity; checked, or ""
	Name  string // the local name; checked, or ""
	UID   uint32
	// PeerUID and PeerPID are who asked.
	PeerUID uint32
	PeerPID int32
	Created bool
	Added   []string
	Removed []string
	Reason  string // why it was refused, or went wrong
}
