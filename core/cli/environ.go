package cli

import (
	"slices"
	"strings"
)

// ChildEnviron is the environment for a program that this one starts: its own without the variables that hold a
// password or a token, the usual ones of the command lines and those named.
func (e *Env) ChildEnviron(secrets ...string) []string {
	secrets = append([]string{"OIDC_ENCRYPTION_PW", "OIDC_REFRESH_TOKEN", "BEARER_TOKEN"}, secrets...)
	return slices.DeleteFunc(e.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(secrets, name)
	})
}
