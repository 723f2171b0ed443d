package applets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// must runs a line that has to succeed and returns its standard output.
func (w *compatWorld) must(l compatLine) string {
	w.t.Helper()
	o := w.run(l)
	if o.code != 0 {
		w.t.Fatalf("%s: %s exited with %d\n%s%s", w.pair, l.line, o.code, o.out, o.errOut)
	}
	return o.out
}

// between runs lines with one pair of programs: the agent is started before and ended after.
func (w *compatWorld) between(p pair, lines ...string) {
	w.t.Helper()
	w.pair = p
	w.must(compatLine{line: "oidc-agent --no-autoreauthenticate"})
	for _, l := range lines {
		w.must(compatLine{line: l})
	}
	w.must(compatLine{line: "oidc-agent -k"})
	w.agentGone()
}

const (
	genTheirs = "oidc-gen login --iss=ISSUER/ --scope=openid~profile~offline_access -w code" + genQuietly
	loadIt    = "oidc-add --pw-file=DIR/pw login"
	use       = "oidc-token -f login"
)

// TestCompatFiles moves a login between the original's programs and ours with nothing but its account file, against a
// provider that replaces the refresh token at each use and ends the login when a replaced one comes back.
func TestCompatFiles(t *testing.T) {
	t.Parallel() // beside TestCompat: most of it is waiting
	for _, name := range []string{"oidc-agent", "oidc-gen", "oidc-add", "oidc-token"} {
		original(t, name)
	}
	t.Run("theirs, ours, theirs", func(t *testing.T) {
		t.Parallel()
		w := newCompatWorld(t, pair{theirs, theirs})
		w.between(pair{theirs, theirs}, genTheirs, use)
		w.between(pair{ours, ours}, loadIt, use, use, use)
		w.between(pair{theirs, theirs}, loadIt, use)
		w.between(pair{ours, ours}, loadIt, use)
	})
	t.Run("ours, theirs, ours", func(t *testing.T) {
		t.Parallel()
		w := newCompatWorld(t, pair{ours, ours})
		w.between(pair{ours, ours}, genTheirs, use)
		w.pair = pair{theirs, theirs}
		out := w.must(compatLine{line: "oidc-gen -p login --pw-file=DIR/pw"})
		if !strings.Contains(out, `"refresh_token":`) {
			t.Errorf("their oidc-gen -p printed: %s", out)
		}
		w.between(pair{theirs, theirs}, loadIt, use, use, use)
		w.between(pair{ours, ours}, loadIt, use)
	})
	t.Run("their oidc-add after three rotations in our agent", func(t *testing.T) {
		t.Parallel()
		w := newCompatWorld(t, pair{theirs, ours})
		w.must(compatLine{line: "oidc-agent --no-autoreauthenticate"})
		w.must(compatLine{line: genTheirs})
		path := filepath.Join(w.dir, "home/.oidc-agent/login")
		stale, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.must(compatLine{line: use})
		}
		// A copy of the file from before, as another machine or a backup has it.
		if err := os.WriteFile(path, stale, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range []string{"oidc-add -r login", loadIt, use, "oidc-agent -k"} {
			w.must(compatLine{line: l})
		}
		w.agentGone()
		w.between(pair{theirs, theirs}, loadIt, use)
	})
}
