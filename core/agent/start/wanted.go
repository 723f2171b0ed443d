package start

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store/filesystem"
)

// Switch is the variable that keeps commands from starting an agent.
const Switch = "OIDCBOX_AUTOSTART"

// Wanted reports whether a command may start an agent by itself. When it may not, why says so in a few words.
func Wanted(env *cli.Env) (ok bool, why string) {
	return place{
		getenv:   env.Getenv,
		terminal: cli.IsTerminal(env.Stdin) && cli.IsTerminal(env.Stderr),
		fsType:   filesystem.Type,
	}.wanted()
}

// place is what the decision depends on.
type place struct {
	getenv   func(string) string
	terminal bool
	fsType   func(path string) (name string, local bool, err error)
}

func (p place) wanted() (ok bool, why string) {
	switch {
	case p.getenv("OIDC_SOCK") != "":
		return false, "OIDC_SOCK names the agent to use"
	case p.getenv("OIDC_REMOTE_SOCK") != "":
		return false, "OIDC_REMOTE_SOCK names the agent to use"
	case slices.Contains([]string{"0", "no", "off", "false"}, strings.ToLower(p.getenv(Switch))):
		return false, Switch + " says no"
	case !p.terminal:
		return false, "there is no terminal"
	}
	path, err := keystore.DefaultPath(p.getenv)
	if err != nil {
		return false, "no home directory is known"
	}
	// Lstat: whether it is a keystore is for the agent to find out.
	if _, err := os.Lstat(path); err != nil {
		return false, "there is no keystore"
	}
	for _, dir := range []string{filepath.Dir(path), p.getenv("HOME")} {
		if dir == "" {
			continue
		}
		if name, local, err := p.fsType(dir); err != nil || !local {
			return false, dir + " is on a network file system (" + name + ")"
		}
	}
	return true, ""
}
