package self

import "testing"

// TestExecArgument: quoted for the Exec line, then escaped as every string of a desktop file is.
func TestExecArgument(t *testing.T) {
	for arg, want := range map[string]string{
		"/usr/bin/oidcbox":  `"/usr/bin/oidcbox"`,
		"/home/a b/oidcbox": `"/home/a b/oidcbox"`,
		"/x/50%/o":          `"/x/50%%/o"`,
		"/x/$HOME/`id`/o":   "\"/x/\\\\$HOME/\\\\`id\\\\`/o\"",
		`/x/a\b"c/o`:        `"/x/a\\\\b\\"c/o"`,
	} {
		if got := execArgument(arg); got != want {
			t.Errorf("%s: %s, want %s", arg, got, want)
		}
	}
}
