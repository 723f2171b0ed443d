package applets

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// condition knows [root], for what only root can prepare.
func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// scriptTime ends a script in which a command that should have failed runs on.
const scriptTime = 90 * time.Second

// awaitTime is how long a script waits for a process it has started.
const awaitTime = 10 * time.Second

// browsing is a command of scripts: "browsing oidcbox gen ..." runs the command, plays the browser with the first link
// it shows on standard error, and exits as it did.
func browsing() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	b := &browser{link: regexp.MustCompile(`http://127\.0\.0\.1:\d+/((authorize|device)\?|c/)\S+`)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, io.MultiWriter(os.Stderr, b)
	err := cmd.Run()
	b.visit.Wait()
	if b.err != nil {
		fmt.Fprintln(os.Stderr, "browser:", b.err)
	}
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "browsing:", err)
		os.Exit(127)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// browser opens the first link that is written to it.
type browser struct {
	link  *regexp.Regexp
	said  bytes.Buffer
	open  sync.Once
	visit sync.WaitGroup
	err   error
}

func (b *browser) Write(p []byte) (int, error) {
	b.said.Write(p)
	// A link is whole when something follows it.
	if m := b.link.FindIndex(b.said.Bytes()); m != nil && m[1] < b.said.Len() {
		url := string(b.said.Bytes()[m[0]:m[1]])
		b.open.Do(func() { b.visit.Go(func() { b.err = openLink(url) }) })
	}
	return len(p), nil
}

// openLink follows redirects with cookies, as a browser does.
func openLink(url string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Jar: jar, Timeout: awaitTime}).Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// endAgents ends agents in the background that a failed script has left, by their pid files run/*.pid.
func endAgents(e *testscript.Env) {
	files, _ := filepath.Glob(filepath.Join(e.WorkDir, "run", "*.pid"))
	more, _ := filepath.Glob(filepath.Join(e.WorkDir, "oidc-agent-service-*", "*.pid"))
	files = append(files, more...)
	for _, file := range files {
		b, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	}
}

// await waits until files are there: "await PATH...". A socket or URL file appears when its process is ready.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] await PATH...")
	}
	for _, path := range args {
		for end := time.Now().Add(awaitTime); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(ts.MkAbs(path)); (err == nil) != neg {
				break
			}
			if time.Now().After(end) {
				ts.Fatalf("%s: not within %v", path, awaitTime)
			}
		}
	}
}

// awaitChange waits until a file is there and not as another one any more: "awaitchange FILE OLD".
func awaitChange(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaitchange FILE OLD")
	}
	old := ts.ReadFile(args[1])
	for end := time.Now().Add(awaitTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && string(b) != old {
			return
		}
	}
	ts.Fatalf("%s: as %s after %v", args[0], args[1], awaitTime)
}

// fault makes an endpoint of a development provider with --test-controls fail until further notice: "fault ISSUER JSON", or
// "fault ISSUER none".
func fault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fault ISSUER JSON|none")
	}
	method, body := http.MethodPost, args[1]
	if body == "none" {
		method, body = http.MethodDelete, ""
	}
	req, err := http.NewRequest(method, strings.TrimSpace(args[0])+"/_test/fault", strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: awaitTime}).Do(req)
	ts.Check(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		ts.Fatalf("fault %s: %s", args[1], resp.Status)
	}
}

// setEnv puts the content of a file into a variable, without a prefix: "setenv VAR FILE [PREFIX]".
func setEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: setenv VAR FILE [PREFIX]")
	}
	value := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		value = strings.TrimPrefix(value, args[2])
	}
	ts.Setenv(args[0], value)
}

// damage replaces bytes wherever they are in a file ("damage FILE OLD NEW") or cuts it short ("damage FILE cut 100").
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: damage FILE OLD NEW, or damage FILE cut LENGTH")
	}
	path := ts.MkAbs(args[0])
	if args[1] == "cut" {
		length, err := strconv.ParseInt(args[2], 0, 64)
		ts.Check(err)
		ts.Check(os.Truncate(path, length))
		return
	}
	old := ts.ReadFile(args[0])
	if len(args[1]) != len(args[2]) || !strings.Contains(old, args[1]) {
		ts.Fatalf("%q is not in %s, or not as long as %q", args[1], args[0], args[2])
	}
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(old, args[1], args[2])), 0o600))
}

// fileMode compares the permissions of files: "mode 0600 FILE...".
func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode PERMISSIONS FILE...")
	}
	for _, path := range args[1:] {
		fi, err := os.Stat(ts.MkAbs(path))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", fi.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", filepath.Base(path), got, args[0])
		}
	}
}
