package cli

// Role is one row of the table of commands.
type Role struct {
	Name string   // "token": the sub-command
	Also []string // "oidc-token": names of its own, found by argv[0] or as a sub-command
	Sum  string   // one line, no capital, no full stop
	// Upstream are those of Also under which the original's exit codes and messages hold.
	Upstream []string
	// Plain is for an original that is no GNU argp program: under its name, too, the role's exit codes are as it gives
	// them, wrong usage is 2, and there are no options that the grammar does not have.
	Plain  bool
	Argp   bool // GNU argp habits
	Brief  bool // nothing to clean up when a signal comes
	Hidden bool // not listed in help
	New    func() Command
}
