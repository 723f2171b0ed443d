package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

const (
	blob = "AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
	good = "ssh-ed25519 " + blob
)

func TestKeyLine(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"plain":                {good, true},
		"comment":              {good + " alice@host", true},
		"blanks":               {"  " + good + "  ", true},
		"options":              {`command="sh" ` + good, false},
		"option_without_value": {"restrict " + good, false},
		"second_line":          {good + "\nssh-rsa AAAA", false},
		"carriage_return":      {good + "\rcommand=x", false},
		"another_type":         {"ssh-rsa " + blob, false},
		"certificate":          {"ssh-ed25519-cert-v01@openssh.com " + blob, false},
		"no_blob":              {"ssh-ed25519", false},
		"bad_base64":           {"ssh-ed25519 !!!!", false},
		"short_blob":           {"ssh-ed25519 AAAA", false},
		"length_beyond_blob":   {"ssh-ed25519 /////w==", false},
		"nothing":              {"", false},
		"endless":              {good + strings.Repeat(" x", 8<<10), false},
	} {
		t.Run(name, func(t *testing.T) {
			line, err := backend.Key{Value: c.value}.Line()
			if c.ok && (err != nil || line != good) {
				t.Errorf("%q, %v", line, err)
			}
			if !c.ok && (!errors.Is(err, backend.ErrKey) || line != "") {
				t.Errorf("taken: %q, %v", line, err)
			}
		})
	}
}
