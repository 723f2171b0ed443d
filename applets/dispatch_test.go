package applets

import (
	"bytes"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

func TestCommandName(t *testing.T) {
	for in, want := range map[string]string{
		"oidc-token": "oidc-token", "/usr/bin/oidc-token": "oidc-token", "-oidc-agent": "oidc-agent",
		"./oidcbox.exe": "oidcbox", "": ".", "../x/oidcbox-token": "oidcbox-token",
	} {
		if got := commandName(in); got != want {
			t.Errorf("commandName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDispatch(t *testing.T) {
	for _, c := range []struct {
		name string
		argv []string
		code int
		out  string // beginning of standard output
		err  string // part of standard error
	}{
		{"sub-command", []string{"oidcbox", "self", "version"}, 0, "oidcbox ", ""},
		{"link with the role's name", []string{"/x/oidcbox-self", "version"}, 0, "oidcbox ", ""},
		{"version as a flag", []string{"oidcbox", "--version"}, 0, "oidcbox ", ""},
		{"help on request is a result", []string{"oidcbox", "help"}, 0, "usage: oidcbox COMMAND", ""},
		{"help for a role", []string{"oidcbox", "help", "self"}, 0, "Usage: oidcbox self", ""},
		{"nothing", []string{"oidcbox"}, cli.Usage, "", "usage: oidcbox COMMAND"},
		{"no argv at all", nil, cli.Usage, "", "usage:"},
		{"unknown", []string{"oidcbox", "nosuch"}, cli.Usage, "", `there is no command "nosuch"`},
		{"renamed binary still takes sub-commands", []string{"box", "self", "version"}, 0, "oidcbox ", ""},
		{"never a default role", []string{"box", "version"}, cli.Usage, "", "there is no command"},
		{"a link is called by its name", []string{"/x/oidcbox-self", "man", "nosuch"}, cli.Usage, "", "oidcbox-self: there is no role"},
		{"a hint names our commands", []string{"oidcbox", "token", "x"}, cli.NotFound, "", "eval $(oidcbox agent)"},
		{"or the originals", []string{"oidc-token", "x"}, 1, "", "eval $(oidc-agent)"},
		{"hostile name", []string{"oidcbox", "\x1b[2J"}, cli.Usage, "", `\x1b[2J`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			code := Main(&cli.Env{Args: c.argv, Stdout: &out, Stderr: &errOut, Getenv: func(string) string { return "" }})
			if code != c.code || !strings.HasPrefix(out.String(), c.out) || !strings.Contains(errOut.String(), c.err) {
				t.Errorf("got %d\nout %q\nerr %q", code, out.String(), errOut.String())
			}
		})
	}
}

// TestGrammars builds every role's grammar under each of its names: kong finds faults in tags only then.
func TestGrammars(t *testing.T) {
	seen := map[string]string{}
	for _, r := range All() {
		for _, name := range append([]string{r.Name}, r.Also...) {
			if other, ok := seen[name]; ok {
				t.Errorf("%s names both %s and %s", name, other, r.Name)
			}
			seen[name] = r.Name
			var out bytes.Buffer
			env := &cli.Env{
				Args: []string{program, name, "--help"}, Stdout: &out, Stderr: &out,
				Getenv: func(string) string { return "" },
			}
			if code := Main(env); code != 0 || !strings.Contains(out.String(), "Usage: ") {
				t.Errorf("%s --help: %d %s", name, code, out.String())
			}
		}
		if r.Sum == "" || strings.ToLower(r.Sum[:1]) != r.Sum[:1] || strings.HasSuffix(r.Sum, ".") {
			t.Errorf("%s: summary %q", r.Name, r.Sum)
		}
	}
}
