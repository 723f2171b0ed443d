package userinfo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

// TestSections_order: where both outputs are one terminal, each title stands above what it is the title of.
func TestSections_order(t *testing.T) {
	var screen bytes.Buffer
	env := &cli.Env{Stdout: &screen, Stderr: &screen}
	if err := new(Cmd).sections(env, infos{user: object{"sub": "alice"}}, object{"alg": "RS256"}); err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, want := range []string{"inside the access token:", "RS256", "from userinfo endpoint:", "alice"} {
		at := strings.Index(screen.String(), want)
		if at < last || at < 0 {
			t.Fatalf("%q is not where it belongs in\n%s", want, screen.String())
		}
		last = at
	}
}
