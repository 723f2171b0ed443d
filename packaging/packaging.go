// Package packaging carries the units of systemd inside the binary, so that one copied file can install itself.
//
// Not a public API.
package packaging

import "embed"

// Units are the files of units for systemd's manager of a person, by name.
//
//go:embed systemd
var Units embed.FS

// UnitsDir is their directory in Units.
const UnitsDir = "systemd"

// UnitProgram is the program in their ExecStart lines, to be replaced by where it really is.
const UnitProgram = "/usr/bin/oidcbox"
