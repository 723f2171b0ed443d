package verifier

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

// TestHints: what went wrong outside of the program has a code for scripts and a next step for people.
func TestHints(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, taken := net.Listen("tcp", ln.Addr().String())
	for name, c := range map[string]struct {
		err  error
		code int
		hint string
	}{
		"port_in_use":            {listenError(fmt.Errorf("listen: %w", taken)), cli.NotFound, "another program listens there"},
		"no_directory":           {listenError(fmt.Errorf("listen: %w", fs.ErrNotExist)), cli.NotFound, "RuntimeDirectory="},
		"control_of_another":     {orderFailed(fmt.Errorf("stat: %w", fs.ErrPermission)), cli.Denied, "run this as that user"},
		"daemon_says_what_it_is": {orderFailed(&daemonError{code: codeNotKept}), cli.NotFound, "exactly as it is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			var got *cli.Error
			if !errors.As(c.err, &got) || got.Code != c.code || !strings.Contains(got.Hint, c.hint) {
				t.Errorf("got %+v, want code %d and hint %q", got, c.code, c.hint)
			}
		})
	}
}
