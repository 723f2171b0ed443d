//go:build linux

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// original runs Debian's oidc-agent in this home.
func (h *home) original(args ...string) result {
	h.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command("/usr/bin/oidc-agent", args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = h.env, h.dir, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// shape is a result without what differs from run to run: pids, and the random part of a path.
func shape(r result) string {
	s := fmt.Sprintf("%d\n%s--\n%s", r.code, r.out, r.errOut)
	s = regexp.MustCompile(`oidc-[A-Za-z0-9]{6}/`).ReplaceAllString(s, "oidc-XXXXXX/")
	return regexp.MustCompile(`(PID=|pid |dpid":\t")\d+`).ReplaceAllString(s, "${1}N")
}

// TestLikeTheOriginal runs the same command lines through both programs, and compares all that they say.
func TestLikeTheOriginal(t *testing.T) {
	services.Need(t, "oidc-agent")
	variables := regexp.MustCompile(`(?m)^(OIDC_SOCK|OIDCD_PID)=([^;]*);`)
	for name, tc := range map[string]struct {
		env   []string
		args  []string
		start bool
	}{
		"start":               {args: nil, start: true},
		"start_quiet":         {args: []string{"--quiet"}, start: true},
		"start_prefix":        {args: []string{"--qui", "--lifet=60"}, start: true},
		"start_json":          {args: []string{"--json"}},
		"start_quiet_json":    {args: []string{"--quiet", "--json"}},
		"start_pw_store":      {args: []string{"--pw-store=60"}, start: true},
		"start_pw_store_ever": {args: []string{"--pw-store", "--json"}},
		"kill_no_variable":    {args: []string{"-k"}},
		"kill_no_number":      {args: []string{"-k"}, env: []string{"OIDCD_PID=abc"}},
		"kill_no_such":        {args: []string{"--kill"}, env: []string{"OIDCD_PID=99999999"}},
		"status_nobody":       {args: []string{"--status"}, env: []string{"OIDC_SOCK=/nonexistent/s"}},
		"group_that_is_not":   {args: []string{"--with-group=no-such-group"}},
		"lifetime_no_number":  {args: []string{"-t", "abc"}},
		"option_that_is_none": {args: []string{"--no-such-option"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.env = append(h.env, tc.env...)
			theirs, ours := h.original(tc.args...), h.run("oidc-agent", tc.args...)
			for _, r := range []result{theirs, ours} {
				h.endPrinted(r.out)
			}
			if theirs.code != ours.code || theirs.code == 0 && shape(theirs) != shape(ours) {
				t.Errorf("theirs:\n%s\nours:\n%s", shape(theirs), shape(ours))
			}
			if strings.HasPrefix(name, "kill") && shape(theirs) != shape(ours) {
				t.Errorf("theirs:\n%s\nours:\n%s", shape(theirs), shape(ours))
			}
			if tc.start && len(variables.FindAllString(ours.out, -1)) != 2 {
				t.Errorf("printed %q", ours.out)
			}
		})
	}
}

// endPrinted ends the agent whose pid was printed, in whatever form.
func (h *home) endPrinted(out string) {
	if m := regexp.MustCompile(`(?:OIDCD_PID=|dpid":\t")(\d+)`).FindStringSubmatch(out); m != nil {
		_ = exec.Command("kill", m[1]).Run()
	}
}

// TestStatusLikeTheOriginal compares the text with that of 4.2.6, less the lines that version 5 dropped.
func TestStatusLikeTheOriginal(t *testing.T) {
	services.Need(t, "oidc-agent")
	args := []string{"-t", "60", "--no-autoload", "--always-allow-idtoken", "-g"}
	status := func(h *home, start func(args ...string) result, ask func(args ...string) result) string {
		r := start(args...)
		defer h.endPrinted(r.out)
		m := regexp.MustCompile(`OIDC_SOCK=([^;]*);`).FindStringSubmatch(r.out)
		if m == nil {
			t.Fatalf("printed %q %q", r.out, r.errOut)
		}
		h.env = append(h.env, "OIDC_SOCK="+m[1])
		answers(t, m[1])
		return ask("--status").out
	}
	th, oh := newHome(t), newHome(t)
	ours := func(args ...string) result { return oh.run("oidc-agent", args...) }
	// Their client asks our agent, too: the text is the agent's.
	theirText, ourText := status(th, th.original, th.original), status(oh, ours, oh.original)
	drop := regexp.MustCompile(`(?m)^(Store password|Seccomp):.*\n|version .*`)
	if a, b := drop.ReplaceAllString(theirText, ""), drop.ReplaceAllString(ourText, ""); a != b || a == "" {
		t.Errorf("theirs:\n%q\nours:\n%q", a, b)
	}
	if again := status(oh, ours, ours); again != ourText {
		t.Errorf("our client prints %q, theirs %q", again, ourText)
	}
}

// answers waits until an agent is at its socket: the original prints its lines before.
func answers(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := check(t, path)
		if err == nil {
			return
		}
		if !errors.Is(err, proto.ErrNoAgent) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestPrintedToAFile is what a start-up file does: no pause between the lines and their use.
func TestPrintedToAFile(t *testing.T) {
	h := newHome(t)
	script := `oidc-agent > vars && . ./vars > said && test -S "$OIDC_SOCK" &&
		oidc-agent --status > status && oidc-agent -k > killed`
	h.env = append(h.env, "PATH="+h.path("bin")+":/usr/bin:/bin")
	h.link("oidc-agent")
	for i := range 10 {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env, cmd.Dir = h.env, h.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("round %d: %v\n%s", i, err, out)
		}
	}
}

// TestSettings wants what the file says where no option says otherwise.
func TestSettings(t *testing.T) {
	h := newHome(t)
	h.write("settings", `{"oidc-agent":{"lifetime":60,"confirm":true,"autoload":false,"webserver":false}}`)
	h.env = append(h.env, "OIDC_USER_CONFIG="+h.path("settings"))
	a := h.start("oidc-agent", "--lifetime=0", "--no-scheme")
	h.env = append(h.env, "OIDC_SOCK="+a.socket)
	said := h.run("oidc-agent", "--status").out
	for _, line := range []string{
		"Lifetime:\t\tForever\n", "Confirm:\t\ttrue\n", "Autoload:\t\tfalse\n", "Webserver:\t\tfalse\n",
		"Use custom URI scheme:\tfalse\n", "Auto Re-authenticate:\ttrue\n",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("the status lacks %q:\n%s", line, said)
		}
	}
}

// TestSettingsThatMakeNoSense: an agent that starts without the question it was told to ask is worse than none.
func TestSettingsThatMakeNoSense(t *testing.T) {
	h := newHome(t)
	h.write("settings", `{"oidc-agent":{"confirm":"perhaps"}}`)
	h.env = append(h.env, "OIDC_USER_CONFIG="+h.path("settings"))
	r := h.run("agent")
	if r.code != 1 || !strings.Contains(r.errOut, `member "confirm"`) ||
		!strings.Contains(r.errOut, "hint: ") || r.out != "" {
		t.Errorf("%+v", r)
	}
}

// link puts the test binary into the home's bin under another name.
func (h *home) link(name string) {
	h.t.Helper()
	self, err := os.Executable()
	if err == nil {
		_ = os.Mkdir(h.path("bin"), 0o700)
		err = os.Symlink(self, filepath.Join(h.path("bin"), name))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}
