package mytokenserver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

// What is wrong with an answer is said at once; what the configuration would take is never refused.
func TestSetupAnswers(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := (&setupCmd{}).wrongFile(&cli.Env{})
	for _, c := range []struct {
		fact   string
		wrong  func(string) string
		answer string
		taken  bool
	}{
		{"address_without_scheme", wrongIssuer, "mytoken.example.org", false},
		{"address_in_the_clear", wrongIssuer, "http://mytoken.example.org", false},
		{"address", wrongIssuer, "https://mytoken.example.org", true},
		{"address_of_this_machine", wrongIssuer, "http://127.0.0.1:8123", true},
		{"place_that_is_a_URL", wrongPlace, "https://mytoken.example.org", false},
		{"place_without_port", wrongPlace, "127.0.0.1", false},
		{"place", wrongPlace, "[::1]:8000", true},
		{"place_that_is_a_socket", wrongPlace, "unix:/run/mytoken.sock", true},
		{"name_that_is_a_URL", wrongName, "https://op.example.org", false},
		{"name", wrongName, "egi", true},
		{"no_such_file", file, secret + "-not", false},
		{"directory", file, filepath.Dir(secret), false},
		{"file", file, secret, true},
		{"no_file", file, noFile, true},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if why := c.wrong(c.answer); (why == "") != c.taken {
				t.Errorf("%q: %q, want taken %t", c.answer, why, c.taken)
			}
		})
	}
}

// Who may not write there is told who may; other faults get no advice that does not help.
func TestWriteErrorAdvisesOnlyOnPermission(t *testing.T) {
	for err, want := range map[error]bool{fs.ErrPermission: true, fs.ErrExist: false} {
		var told *cli.Error
		if got := writeError(err); !errors.As(got, &told) || !errors.Is(got, err) || (told.Hint != "") != want {
			t.Errorf("%v: %+v, want a hint %t", err, told, want)
		}
	}
}
