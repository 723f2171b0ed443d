package applets

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/testdata/agentload"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary play every command: testscript puts it on the PATH of a script under each name.
func TestMain(m *testing.M) {
	agentload.Play()
	if _, set := os.LookupEnv(pathVariable); !set {
		_ = os.Setenv(pathVariable, os.Getenv("PATH"))
	}
	commands := map[string]func(){}
	play := func() { os.Exit(Main(cli.OS())) }
	for _, r := range All() {
		for _, name := range append([]string{r.Name, program + "-" + r.Name}, r.Also...) {
			if !slices.Contains([]string{"ssh", "scp", "sftp"}, name) { // nobody has ours under the names of OpenSSH's
				commands[name] = play
			}
		}
	}
	commands[program] = play
	commands["browsing"] = browsing
	testscript.Main(m, commands)
}

// TestScripts runs testdata/script/ROLE/*.txtar: whole commands with what they print and how they exit.
func TestScripts(t *testing.T) {
	root := filepath.Join("..", "testdata", "script")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                 filepath.Join(root, d.Name()),
				RequireExplicitExec: true,
				Setup:               setups(t, d.Name()),
				Condition:           condition,
				ContinueOnError:     true,
				Deadline:            time.Now().Add(scriptTime),
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exitcode": exitCode, "nosecret": noSecret, "await": await, "setenv": setEnv, "damage": damage, "mode": fileMode,
					"awaitchange": awaitChange, "fault": fault,
				},
			})
		})
	}
}

// setups is what the scripts of a role find. Those of mytoken have a server each, whose pages agree when they are opened.
func setups(t *testing.T, role string) func(*testscript.Env) error {
	if role != "mytoken" {
		return scriptEnvironment
	}
	return func(e *testscript.Env) error {
		srv := mytokentest.Start(t, func(o *mytokentest.Options) { o.Approve = true })
		rotating := mytokentest.Start(t, func(o *mytokentest.Options) {
			o.Approve, o.RotateOnAT, o.RotateOnOther = true, true, true
			o.SSHExtra = "    ProxyCommand touch pwned\n    LocalCommand touch pwned\n"
		})
		e.Setenv("MYTOKEN_URL", srv.URL)
		e.Setenv("ROTATING", rotating.URL)
		return scriptEnvironment(e)
	}
}

// scriptEnvironment gives each script a home of its own with the modes a login would have.
func scriptEnvironment(e *testscript.Env) error {
	for _, d := range []string{"home", "run"} {
		if err := os.Mkdir(filepath.Join(e.WorkDir, d), 0o700); err != nil {
			return err
		}
	}
	e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("XDG_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
	e.Setenv("XDG_STATE_HOME", "")
	e.Setenv("OIDC_SOCK", "")
	e.Setenv("TMPDIR", e.WorkDir)
	e.Defer(func() { endAgents(e) })
	return nil
}

// exitCode runs a command and compares its exit code: "exitcode 5 oidcbox token x". The streams are there for stdout
// and stderr as after exec.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE COMMAND [ARGUMENTS]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		var n int
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &n); scanErr != nil {
			ts.Fatalf("%s did not exit: %v", args[1], err)
		}
		code = n
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// noSecret fails when a word is found in any file below a directory: "nosecret WORD DIR".
func noSecret(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: nosecret WORD DIR")
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), args[0]) {
			return fmt.Errorf("%s holds the secret", path)
		}
		return err
	}))
}
