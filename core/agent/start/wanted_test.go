package start

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWanted goes through everything that keeps a command from starting an agent.
func TestWanted(t *testing.T) {
	local := func(string) (string, bool, error) { return "ext", true, nil }
	network := func(string) (string, bool, error) { return "nfs", false, nil }
	for name, tc := range map[string]struct {
		env        map[string]string
		noTerminal bool
		noKeystore bool
		noHome     bool
		fsType     func(string) (string, bool, error)
		want       bool
		why        string
	}{
		"a_person_with_a_keystore": {want: true},
		"switched_on_in_words":     {env: map[string]string{Switch: "1"}, want: true},
		"switched_off":             {env: map[string]string{Switch: "0"}, why: Switch},
		"switched_off_in_words":    {env: map[string]string{Switch: "Off"}, why: Switch},
		"another_agent_is_named":   {env: map[string]string{"OIDC_SOCK": "/x"}, why: "OIDC_SOCK"},
		"a_remote_agent_is_named":  {env: map[string]string{"OIDC_REMOTE_SOCK": "h"}, why: "OIDC_REMOTE_SOCK"},
		"no_terminal":              {noTerminal: true, why: "terminal"},
		"no_keystore":              {noKeystore: true, why: "keystore"},
		"no_home":                  {noHome: true, why: "home"},
		"network_home":             {fsType: network, why: "network file system (nfs)"},
		"unknown_home": {
			fsType: func(string) (string, bool, error) { return "", false, errors.New("statfs") }, why: "network file system",
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			env := map[string]string{"HOME": home}
			if tc.noHome {
				env = map[string]string{}
			}
			for k, v := range tc.env {
				env[k] = v
			}
			if !tc.noKeystore {
				dir := filepath.Join(home, ".local", "state", "oidcbox")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "keystore"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.fsType == nil {
				tc.fsType = local
			}
			p := place{getenv: func(k string) string { return env[k] }, terminal: !tc.noTerminal, fsType: tc.fsType}
			ok, why := p.wanted()
			if ok != tc.want || !strings.Contains(why, tc.why) || ok == (why != "") {
				t.Errorf("%v, %q; want %v, %q", ok, why, tc.want, tc.why)
			}
		})
	}
}

// TestWantedStateElsewhere: a keystore on a local disk does not make a shared home directory that of one machine.
func TestWantedStateElsewhere(t *testing.T) {
	state, home := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "oidcbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "oidcbox", "keystore"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "XDG_STATE_HOME": state}
	fsType := func(path string) (string, bool, error) { return "x", path != home, nil }
	p := place{getenv: func(k string) string { return env[k] }, terminal: true, fsType: fsType}
	if ok, why := p.wanted(); ok || !strings.Contains(why, home) {
		t.Errorf("%v, %q", ok, why)
	}
}
