package applets

import (
	"runtime/debug"

	"github.com/oidcbox/oidcbox/applets/self"
	"github.com/oidcbox/oidcbox/core/cli"
)

// All lists every role. Adding a role is adding a row; nothing else registers itself. It is a function because one row
// (self) describes the others.
func All() []cli.Role {
	return []cli.Role{
		{Name: "self", Sum: "version, links, man pages, completion, keystore care", New: newSelf},
	}
}

func newSelf() cli.Command { return self.New(program, Version(), All()) }

// version is set by the linker in releases.
var version = ""

// Version is the release, or what the Go tool recorded of the source.
func Version() string {
	if version != "" {
		return version
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "devel"
}
