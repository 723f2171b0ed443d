//go:build linux

package prompt

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestRealPinentry: the installed program, on the terminal that GPG_TTY names.
func TestRealPinentry(t *testing.T) {
	services.Need(t, "pinentry")
	for name, c := range map[string]struct {
		q    Question
		keys string
		text string
		yes  bool
		err  error
	}{
		"password":  {Question{Kind: Password, Text: "100% of the keystore\nis locked", Label: "Passphrase"}, "geh%eim\r", "geh%eim", false, nil},
		"cancelled": {Question{Kind: Password, Text: "why", Label: "Passphrase"}, "\t\t\r", "", false, ErrCancelled},
		"yes":       {Question{Kind: Confirm, Text: "May it?"}, "\r", "", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ptmx, tty, err := pty.Open()
			if err != nil {
				t.Skipf("no pseudo terminals here: %v", err)
			}
			defer ptmx.Close()
			defer tty.Close()
			_ = pty.Setsize(ptmx, &pty.Winsize{Rows: 40, Cols: 100})
			env := map[string]string{"PATH": "/usr/bin:/bin", "GPG_TTY": tty.Name(), "TERM": "xterm", "HOME": t.TempDir()}
			var typing sync.WaitGroup
			typing.Go(func() {
				var screen strings.Builder
				b, typed := make([]byte, 4096), false
				for {
					n, err := ptmx.Read(b)
					if err != nil {
						return
					}
					screen.Write(b[:n])
					if !typed && strings.Contains(screen.String(), "Cancel") {
						typed = true
						_, _ = ptmx.WriteString(c.keys)
					}
				}
			})
			c.q.Timeout = 20 * time.Second
			a, err := Best(Env{Getenv: func(k string) string { return env[k] }}).Ask(t.Context(), c.q)
			_, _ = tty.Close(), ptmx.Close()
			typing.Wait()
			if a.Text.Expose() != c.text || a.Yes != c.yes || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v, %v", a.Text.Expose(), a.Yes, err)
			}
		})
	}
}
