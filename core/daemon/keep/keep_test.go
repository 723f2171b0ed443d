package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// A key file that is away, or of another state, is told from other faults, with what to do about it.
func TestOpenErrorSaysWhatToDo(t *testing.T) {
	for fact, c := range map[string]struct {
		err  error
		code int
		hint string
	}{
		"key_file_away":  {fs.ErrNotExist, cli.NotFound, "put the copy of it back"},
		"key_of_another": {keystore.ErrWrongKey, cli.Denied, "is of another state"},
	} {
		t.Run(fact, func(t *testing.T) {
			err := openError(fmt.Errorf("open the state: %w", c.err))
			var told *cli.Error
			if !errors.As(err, &told) || told.Code != c.code || !strings.Contains(told.Hint, c.hint) {
				t.Errorf("%v: %+v, want code %d and a hint with %q", err, told, c.code, c.hint)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("%v is no %v", err, c.err)
			}
		})
	}
}
