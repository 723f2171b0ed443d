// Package applets is the table of roles and the way from a command name to one of them.
//
// Dispatch is done before anything else is: it uses the standard library only, and a row holds a constructor, so an
// unused role costs nothing at start.
//
// Not a public API.
package applets

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// program is the name of the binary itself.
const program = "oidcbox"

// Main finds the role and runs it. env.Args is the whole argument vector, argv[0] included.
func Main(env *cli.Env) int {
	name, args := "", env.Args
	if len(args) > 0 {
		name, args = commandName(args[0]), args[1:]
	}
	role, ok := find(name)
	if !ok {
		if len(args) == 0 {
			usage(env.Stderr)
			return cli.Usage
		}
		if slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
			return help(env, args[1:])
		}
		if args[0] == "--version" || args[0] == "-V" {
			args = []string{"self", "version"}
		}
		name, args = args[0], args[1:]
		if role, ok = find(name); !ok {
			fmt.Fprintf(env.Stderr, "%s: there is no command %s\n", program, cli.Printable(fmt.Sprintf("%q", name)))
			usage(env.Stderr)
			return cli.Usage
		}
	}
	return start(env, role, name, args)
}

func start(env *cli.Env, role cli.Role, name string, args []string) int {
	env.Command, env.Args = name, args
	env.Upstream = slices.Contains(role.Upstream, name) && !role.Plain
	g := cli.Grammar{
		Name: program + " " + role.Name, Summary: role.Sum, Argp: role.Argp, Brief: role.Brief,
		Version: Version(), Own: ownNames(),
	}
	if name != role.Name {
		g.Name = name // of a link
	}
	return cli.Main(env, g, role.New(), args)
}

// ownNames turns "oidc-token" in a hint into "oidcbox token". A bare "oidc-agent" may be the program we stand in for; only
// where a shell would call it is it a command.
func ownNames() []string {
	var pairs []string
	for _, r := range All() {
		for _, name := range r.Upstream {
			own := program + " " + r.Name
			if name == r.Name {
				// It is a word of its own as well ("a mytoken is ..."): only what follows a colon is a command.
				pairs = append(pairs, ": "+name+" ", ": "+own+" ")
				continue
			}
			pairs = append(pairs, name+" ", own+" ", "$("+name+")", "$("+own+")")
		}
	}
	return pairs
}

// commandName is the last part of argv[0]. The kernel or shell put the last symlink of a chain there already; a login
// shell's leading dash and a Windows suffix are no part of it.
func commandName(argv0 string) string {
	name := strings.TrimPrefix(filepath.Base(argv0), "-")
	return strings.TrimSuffix(name, ".exe")
}

// find looks a command name up; "oidcbox-token" is the role token, for links that cannot clash with anybody's.
func find(name string) (cli.Role, bool) {
	roles := All()
	for _, r := range roles {
		if r.Name == name || slices.Contains(r.Also, name) {
			return r, true
		}
	}
	if short, ok := strings.CutPrefix(name, program+"-"); ok {
		for _, r := range roles {
			if r.Name == short {
				return r, true
			}
		}
	}
	return cli.Role{}, false
}

// help prints the list of roles, or hands "--help" to one.
func help(env *cli.Env, args []string) int {
	if len(args) == 0 {
		usage(env.Stdout)
		return cli.OK
	}
	role, ok := find(args[0])
	if !ok {
		usage(env.Stderr)
		return cli.Usage
	}
	return start(env, role, args[0], []string{"--help"})
}

func usage(w io.Writer) {
	fmt.Fprintf(w, "usage: %s COMMAND [ARGUMENTS]\n\ncommands:\n", program)
	for _, r := range All() {
		if !r.Hidden {
			fmt.Fprintf(w, "  %-13s %s\n", r.Name, r.Sum)
		}
	}
	fmt.Fprintf(w, "\nEach command has --help. Called through a link named oidc-token, oidc-add ... it is that command;\n"+
		"'%s self install-links' makes the links.\n", program)
}
