package applets

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestDemo: the walk is true to its end, for a mytoken server at our own provider and at one of another make. What it shows
// of networks takes root.
func TestDemo(t *testing.T) {
	t.Run("own", func(t *testing.T) { walk(t) })
	t.Run("npm", func(t *testing.T) {
		op := services.OP(t)
		walk(t, "--mytoken-provider", op.Issuer)
	})
}

func walk(t *testing.T, args ...string) {
	t.Helper()
	h := bareHouse(t)
	cmd := exec.Command(h.bin, append([]string{"demo", "--timeout", "180s"}, args...)...)
	cmd.Dir, cmd.Env = h.dir, append(h.environ(), "LANG=C")
	said, err := cmd.CombinedOutput()
	text := string(said)
	if err != nil || !strings.Contains(text, "all steps are true") {
		t.Fatalf("%v\n%s", err, text)
	}
	shown := []string{
		"storage.create:/vo/results/run7", "clause 1: used as often as allowed", "clause 1: not after", "invalid_token",
	}
	_, ipErr := exec.LookPath("ip")
	if os.Geteuid() == 0 && ipErr == nil && !strings.Contains(text, "not allowed here") {
		shown = append(shown, `not from country "DE"`)
	} else {
		shown = append(shown, "not shown: the job runs on this machine")
	}
	for _, s := range shown {
		if !strings.Contains(text, s) {
			t.Errorf("it does not show %q:\n%s", s, text)
		}
	}
}
