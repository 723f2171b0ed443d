// Package services starts real counterparts for tests: an OpenID provider of another make, the original oidc-agent
// tools, file systems in user space. It is imported by tests only.
//
// A test says what it needs with [Need] and is skipped, with the reason, where that is missing. In .ci/run, which
// installs everything, OIDCBOX_TEST_REQUIRE=1 turns such a skip into a failure.
package services

import (
	"os"
	"os/exec"
	"testing"
)

// Need skips tb unless every named program is on the PATH.
func Need(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(tb, "program "+p+" is not installed")
		}
	}
}

// NeedRoot skips tb unless it runs as root.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		Missing(tb, "needs root")
	}
}

// Missing skips tb for want of something, or fails it where nothing may be missing.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("OIDCBOX_TEST_REQUIRE") != "" {
		tb.Fatalf("%s, and OIDCBOX_TEST_REQUIRE is set", what)
	}
	tb.Skip(what)
}
