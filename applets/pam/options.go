package pam

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// Where things are on a host that is set up as the packages do it.
const (
	defaultSocket   = "/run/oidcbox/login.sock"
	defaultServedBy = "oidcbox-provisioner"
)

var (
	// errOption: a word on the line of the PAM stack is no option of ours.
	errOption = errors.New("is no option of the PAM helper")
	// errValue: an option has no value, or none that makes sense.
	errValue = errors.New("makes no sense as an option of the PAM helper")
)

// options are what may stand on the line of the PAM stack behind the name of the helper, or of the module.
type options struct {
	Socket   string `default:"/run/oidcbox/login.sock" placeholder:"FILE" help:"Socket of the provisioner, or of its relay."`
	ServedBy string `default:"oidcbox-provisioner" placeholder:"USER" help:"Who may listen there besides root."`
	Marks    string `default:"/var/lib/oidcbox/worker/marks" placeholder:"DIR" help:"Marks of accounts that were made here; used where the directory is."`
	Floor    uint32 `default:"1000" placeholder:"UID" help:"Lowest uid that may log in this way."`
	Ceiling  uint32 `default:"60000" placeholder:"UID" help:"Highest uid that may."`
	UIDRange bool   `name:"uid-range" help:"Accounts show neither mark nor identity here: go by --floor and --ceiling alone."`
	Mytoken  bool   `help:"Forward what looks like a short mytoken, too."`
	Whole    bool   `help:"The secret comes uncut, as the module gives it: 511 bytes are nothing special."`

	VerifyEndpoint string `placeholder:"URL" help:"Ask a provisioner or motley-cue on another host, https://HOST/verify_user."`
	CAFile         string `name:"ca-file" placeholder:"FILE" help:"Certificates (PEM) to believe for --verify-endpoint, and no others."`
	Local          string `placeholder:"FILE" help:"Ask nobody: judge tokens and map users by this file."`
	Config         string `placeholder:"FILE" help:"Take [user_verification] of an ini file for the options above."`
}

// read sets the defaults and reads args. The module's options have no dashes in front; both are taken.
func (o *options) read(args []string) error {
	*o = options{Socket: defaultSocket, ServedBy: defaultServedBy, Marks: mark.DefaultDir, Floor: 1000, Ceiling: 60000}
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		if on := o.flag(name); on != nil && !given {
			*on = true
			continue
		}
		if !o.known(name) {
			return fmt.Errorf("%q %w", args[i], errOption)
		}
		if !given {
			if i++; i == len(args) {
				return fmt.Errorf("%q %w", name, errValue)
			}
			value = args[i]
		}
		if err := o.set(name, value); err != nil {
			return err
		}
	}
	return o.check()
}

func (o *options) flag(name string) *bool {
	switch name {
	case "mytoken":
		return &o.Mytoken
	case "whole":
		return &o.Whole
	case "uid-range":
		return &o.UIDRange
	}
	return nil
}

func (o *options) text(name string) *string {
	switch name {
	case "socket":
		return &o.Socket
	case "served-by":
		return &o.ServedBy
	case "marks":
		return &o.Marks
	case "verify-endpoint":
		return &o.VerifyEndpoint
	case "ca-file":
		return &o.CAFile
	case "local":
		return &o.Local
	case "config":
		return &o.Config
	}
	return nil
}

func (o *options) known(name string) bool {
	return o.text(name) != nil || name == "floor" || name == "ceiling"
}

func (o *options) set(name, value string) error {
	if text := o.text(name); text != nil {
		if value == "" {
			return fmt.Errorf("%q %w", name+"=", errValue)
		}
		*text = value
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return fmt.Errorf("%q %w", name+"="+value, errValue)
	}
	if name == "floor" {
		o.Floor = uint32(n)
	} else {
		o.Ceiling = uint32(n)
	}
	return nil
}

// check refuses what would open more than was meant.
func (o *options) check() error {
	switch {
	case o.Floor < names.HardFloor:
		return fmt.Errorf("floor=%d %w: at least %d", o.Floor, errValue, names.HardFloor)
	case o.Ceiling < o.Floor:
		return fmt.Errorf("ceiling=%d %w: it is below the floor", o.Ceiling, errValue)
	case o.Local != "" && o.VerifyEndpoint != "":
		return fmt.Errorf("local beside verify-endpoint %w", errValue)
	}
	for _, path := range []string{o.Socket, o.Marks, o.CAFile, o.Local, o.Config} {
		if path != "" && path[0] != '/' {
			return fmt.Errorf("%q %w: a whole path is needed", path, errValue)
		}
	}
	return nil
}

func (o *options) limits() names.Limits { return names.Limits{MinUID: o.Floor, MaxUID: o.Ceiling} }
