package cli

// Role is one row of the table of commands.
type Role struct {
	Name string   // "token": the sub-command
	Also []string // "oidc-token": names of its own, found by argv[0] or as a sub-command
	Sum  string   // one line, no capital, no full stop
	// Upstream are those of Also under which the original's exit codes and messages hold.
	Upstream []string
	Argp     bool // GNU argp habits
	Brief    bool // nothing to clean up when a signal comes
	Hidden   bool // not listed in help
	New      func() Command
}
