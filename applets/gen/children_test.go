//go:build unix

package gen

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// sessionAt is one with a home and a screen of its own, and secrets in its environment.
func sessionAt(dir string) *session {
	vars := map[string]string{
		"XDG_RUNTIME_DIR": dir, "DISPLAY": ":0", "PATH": os.Getenv("PATH"), "HOME": dir,
		"MY_PW": "hunter2", "OIDC_REFRESH_TOKEN": "hunter3",
	}
	env := &cli.Env{Stderr: os.Stderr, Dir: dir, Getenv: func(name string) string { return vars[name] }}
	env.Environ = func() (list []string) {
		for name, value := range vars {
			list = append(list, name+"="+value)
		}
		return list
	}
	return &session{cmd: &Cmd{PwEnv: "MY_PW"}, env: env}
}

func waitFile(t *testing.T, path string) string {
	t.Helper()
	for range 500 {
		if b, err := os.ReadFile(path); err == nil {
			return string(b)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s was not written", path)
	return ""
}

// TestBrowserArguments: every user of the machine can read the arguments of the browser.
func TestBrowserArguments(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n{ echo \"$@\"; env; } >" + dir + "/tmp && mv " + dir + "/tmp " + dir + "/seen\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	done := sessionAt(dir).openBrowser(`https://op.example.org/auth?state=s3cr3t&nonce=n0nce&x="><script>`)
	seen := waitFile(t, filepath.Join(dir, "seen"))
	for _, s := range []string{"s3cr3t", "n0nce", "op.example.org", "hunter2", "hunter3"} {
		if strings.Contains(seen, s) {
			t.Errorf("the browser's arguments or environment have %s", s)
		}
	}
	page, _, _ := strings.Cut(seen, "\n")
	fi, err := os.Stat(page)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("the page %q: %v", page, err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const to = `https://op.example.org/auth?state=s3cr3t&amp;nonce=n0nce&amp;x=`
	if strings.Count(string(b), `url=`+to) != 1 || strings.Count(string(b), `href="`+to) != 1 ||
		strings.Contains(string(b), "<script") {
		t.Errorf("the page is %s", b)
	}
	done()
	if _, err := os.Stat(page); !os.IsNotExist(err) {
		t.Errorf("the page stayed behind: %v", err)
	}
}

func TestPasswordCommand(t *testing.T) {
	s := sessionAt(t.TempDir())
	for _, c := range []struct {
		name, script string
		want         string
		err          error
	}{
		{"first_line", "printf 'pw \\r\\nmore\\n'", "pw ", nil},
		{"without_our_secrets", `printf "x$MY_PW$OIDC_REFRESH_TOKEN\n"`, "x", nil},
		{"endless_after_the_line", "echo pw; head -c 4000000 /dev/zero", "pw", nil},
		{"left_behind", "echo pw; sleep 20 &", "", exec.ErrWaitDelay},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cmd")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			got, err := s.commandLine(context.Background(), path)
			if !errors.Is(err, c.err) || !got.Equal(secret.FromString(c.want)) {
				t.Errorf("got %d bytes and %v, want %q and %v", got.Len(), err, c.want, c.err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	long := filepath.Join(t.TempDir(), "cmd")
	if err := os.WriteFile(long, []byte("#!/bin/sh\nhead -c 4000000 /dev/zero\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.commandLine(context.Background(), long); err == nil || !strings.Contains(err.Error(), "a line of more") {
		t.Errorf("a line without an end: %v", err)
	}
}
