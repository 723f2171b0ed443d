package sshwrap

import (
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// TestCall: whom and where a command line of ssh means is found in all the ways it can be said.
func TestCall(t *testing.T) {
	for line, want := range map[string]call{
		"login":                         {},
		"login -p 22 true":              {port: "22"},
		"-G login":                      {printed: true},
		"root@login":                    {user: "root"},
		"-l root login":                 {user: "root"},
		"-oUser=root login":             {user: "root"},
		"-o port=2222 login id -p 1":    {port: "2222"},
		"-p2222 login":                  {port: "2222"},
		"ssh://ada@login:2222":          {user: "ada", port: "2222"},
		"-l ada -o User=root login -lx": {user: "ada"},
	} {
		words, err := sshlogin.SSH().Split(strings.Fields(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got := callOf(words); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	v := &visit{service: &service{target: target{port: "22"}}, user: "ada"}
	for _, c := range []call{{user: "root"}, {port: "2222"}, {user: "ada", port: "23"}} {
		if !c.elsewhere(v) {
			t.Errorf("%+v would go over a connection of ada at port 22", c)
		}
	}
	for _, c := range []call{{}, {user: "ada"}, {port: "22"}, {user: "ada", port: "22"}} {
		if c.elsewhere(v) {
			t.Errorf("%+v is what is there", c)
		}
	}
}

// TestRefusals: what a service says no with has an exit code, words without JSON, and what to do next.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		said       sshlogin.CallError
		code       int
		text, hint string
	}{
		"expired":       {sshlogin.CallError{Status: 401, Text: "Unauthenticated - x"}, cli.Denied, "Unauthenticated", "expired"},
		"provider_down": {sshlogin.CallError{Status: 401, Text: "Unauthenticated - x", Later: true}, cli.Temporary, "x", "try again"},
		"not_allowed":   {sshlogin.CallError{Status: 403, Text: "Forbidden - x"}, cli.Denied, "Forbidden", "not among those"},
		"worker_down":   {sshlogin.CallError{Status: 500, Text: `{"detail":"not now"}`}, cli.Temporary, "] not now", "administrator"},
	} {
		t.Run(name, func(t *testing.T) {
			var e *cli.Error
			if err := explain(&c.said); !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Error(), c.text) ||
				!strings.Contains(e.Hint, c.hint) {
				t.Errorf("%v: %+v", err, e)
			}
		})
	}
}
