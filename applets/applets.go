package applets

import (
	"runtime/debug"
)

// All lists every role. Adding a role is adding a row; nothing else registers itself.
var All = []Role{}

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
