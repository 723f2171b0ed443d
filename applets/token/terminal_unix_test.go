//go:build unix

package token

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// onTerminal is what c notes of r where standard error is a terminal.
func onTerminal(t *testing.T, c *Cmd, r result) string {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Skip("no terminal to be had:", err)
	}
	defer ours.Close()
	env := &cli.Env{Name: "oidcbox token", Stderr: theirs, Now: time.Now, Getenv: func(string) string { return "" }}
	c.noteScopes(env, r)
	env.Note("end")
	line, err := bufio.NewReader(ours).ReadString('\n')
	_ = theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestScopesAreCounted: at a terminal a person hears how much a token may that nobody has narrowed.
func TestScopesAreCounted(t *testing.T) {
	opaque := secret.FromString("opaque")
	for name, c := range map[string]struct {
		cmd  Cmd
		r    result
		want string
	}{
		"many, says the answer": {Cmd{}, result{member: "access_token", value: opaque, scope: "a b c"}, "all 3 scopes"},
		"many, says the token": {
			Cmd{}, result{member: "access_token", value: jwt(t, map[string]any{"scope": "a b"})}, "all 2 scopes",
		},
		"one":                  {Cmd{}, result{member: "access_token", value: opaque, scope: "a"}, ""},
		"nobody knows":         {Cmd{}, result{member: "access_token", value: opaque}, ""},
		"a usual scope":        {Cmd{}, result{member: "access_token", value: opaque, scope: "a b", narrowed: true}, ""},
		"asked for":            {Cmd{asking: asking{Scope: []string{"a b"}}}, result{member: "access_token", value: opaque, scope: "a b"}, ""},
		"no access token":      {Cmd{}, result{member: "id_token", value: opaque, scope: "a b"}, ""},
		"not all that is said": {Cmd{}, result{member: "access_token", value: opaque, scope: " a  b "}, "all 2 scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			got := onTerminal(t, &c.cmd, c.r)
			if c.want == "" && got != "end" || !strings.Contains(got, c.want) {
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}
