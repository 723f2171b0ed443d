package provisioner

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Names of sockets in units (FileDescriptorName=). One that systemd hands over lies in a directory of root's, where even a
// server that was taken over cannot put another in its place.
const (
	loginName   = "login"
	controlName = "control"

	envSocketNames = "LISTEN_FDNAMES"
)

// openSockets makes the sockets for requests, and takes those of units out of what systemd has handed over: of units maps
// their names to the paths they have by the configuration, "" for one that is switched off.
func openSockets(env *cli.Env, places []listen.Place, units map[string]string) (
	set *listen.Set, handed map[string]net.Listener, err error,
) {
	names := strings.Split(env.Getenv(envSocketNames), ":")
	var all []listen.Place
	for _, name := range []string{loginName, controlName} {
		if _, ours := units[name]; ours && slices.Contains(names, name) {
			all = append(all, listen.Place{Systemd: true, Name: name})
		}
	}
	set, err = listen.Open(append(all, places...), listen.Options{Getenv: env.Getenv, Log: env.Log})
	if err != nil {
		return set, nil, err
	}
	handed = map[string]net.Listener{}
	set.List = slices.DeleteFunc(set.List, func(l listen.Listener) bool {
		for name, path := range units {
			if slices.Contains(names, name) && path != "" && l.Unix && l.Addr().String() == path {
				handed[name] = l.Listener
				return true
			}
		}
		return false
	})
	for _, p := range all {
		if handed[p.Name] == nil { // else the interface would be served there
			set.Close()
			return set, nil, fmt.Errorf("%w: %s of the unit, %q of the configuration", errOtherPlace, p.Name, units[p.Name])
		}
	}
	return set, handed, nil
}

// errOtherPlace: a unit has a socket at another path than the configuration.
var errOtherPlace = errors.New("systemd hands over a socket with another path")

// ownSocket is the socket of a unit where there is one, else one that is made here; nil where path is "".
func ownSocket(handed map[string]net.Listener, name, path string) (net.Listener, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // it is switched off, which is no error
	}
	if l := handed[name]; l != nil {
		return l, nil
	}
	if err := makeSocketDir(path); err != nil {
		return nil, err
	}
	return sock.Listen(path, sock.ListenOptions{Mode: 0o600})
}
