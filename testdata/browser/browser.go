// Package browser drives Debian's Chromium for tests of pages, through playwright-core in a process of node. It is
// imported by tests only.
package browser

import (
	"bufio"
	_ "embed" // the driver and the lock file of its packages
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

var (
	//go:embed driver.mjs
	driver []byte
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lock []byte
)

// Browser is one Chromium. Its tabs have nothing in common.
type Browser struct {
	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// stopping is how long a browser may take to end; a tenth of a second is usual.
const stopping = 20 * time.Second

// Start starts a browser until the test ends, or skips the test where node or Chromium is missing.
func Start(tb testing.TB) *Browser {
	tb.Helper()
	services.Need(tb, "node", "chromium")
	modules := services.NPM(tb, os.Getenv("BROWSER_MODULES"), "oidcbox-test-browser", map[string][]byte{
		"package.json": manifest, "package-lock.json": lock,
	})
	chromium, _ := exec.LookPath("chromium")
	dir, err := os.MkdirTemp("", "browser") // not tb.TempDir: Chromium may still write while it ends
	if err != nil {
		tb.Fatal(err)
	}
	script := filepath.Join(dir, "driver.mjs")
	if err := os.WriteFile(script, driver, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("node", script)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "NODE_NO_WARNINGS=1",
		"BROWSER=" + chromium, "BROWSER_MODULES=" + modules,
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	b := &Browser{in: in, out: bufio.NewReader(out)}
	tb.Cleanup(func() {
		_ = in.Close()
		timer := time.AfterFunc(stopping, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	return b
}

// do sends a command and reads its answer into out.
func (b *Browser) do(name string, args map[string]any, out any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	command := map[string]any{"do": name}
	for k, v := range args {
		command[k] = v
	}
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("the browser is gone: %w", err)
	}
	answer, err := b.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the browser is gone: %w", err)
	}
	var r struct {
		OK    bool
		Error string
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	if !r.OK {
		return errors.New(r.Error)
	}
	return json.Unmarshal(answer, out)
}

// Look is how a tab looks at pages.
type Look struct {
	NoScript, Dark bool
	Width, Height  int // 0: 1000 by 800
}

// Tab is a window of its own: no other has its cookies.
type Tab struct {
	tb testing.TB
	b  *Browser
	id int
}

// Open opens a tab until the test ends.
func (b *Browser) Open(tb testing.TB, l Look) *Tab {
	tb.Helper()
	if l.Width == 0 {
		l.Width, l.Height = 1000, 800
	}
	var r struct{ Page int }
	err := b.do("open", map[string]any{"script": !l.NoScript, "dark": l.Dark, "width": l.Width, "height": l.Height}, &r)
	if err != nil {
		tb.Fatalf("open a tab: %v", err)
	}
	t := &Tab{tb: tb, b: b, id: r.Page}
	tb.Cleanup(func() { _ = b.do("close", map[string]any{"page": t.id}, new(struct{})) })
	return t
}

func (t *Tab) do(name string, args map[string]any, out any) {
	t.tb.Helper()
	if args == nil {
		args = map[string]any{}
	}
	args["page"] = t.id
	if out == nil {
		out = new(struct{})
	}
	if err := t.b.do(name, args, out); err != nil {
		s, _ := t.state()
		t.tb.Fatalf("%s %v: %v\nat %s:\n%s", name, args, err, s.URL, s.Text)
	}
}

// Goto opens a URL, follows where it leads by itself, and returns the status.
func (t *Tab) Goto(url string) int {
	t.tb.Helper()
	var r struct{ Status int }
	t.do("goto", map[string]any{"url": url}, &r)
	return r.Status
}

// Click clicks the first element that a selector of playwright finds, and follows where a link or a button leads.
func (t *Tab) Click(find string) {
	t.tb.Helper()
	t.do("click", map[string]any{"find": find}, nil)
}

// Fill writes into a field.
func (t *Tab) Fill(find, text string) {
	t.tb.Helper()
	t.do("fill", map[string]any{"find": find, "text": text}, nil)
}

// Check sets a checkbox or a radio button.
func (t *Tab) Check(find string, on bool) {
	t.tb.Helper()
	t.do("check", map[string]any{"find": find, "on": on}, nil)
}

// Press presses keys, such as "Tab"; "Enter" is followed where it leads.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.do("press", map[string]any{"keys": keys}, nil)
}

// Eval runs an expression in the page, also where scripts of pages do not run, and reads its value into out.
func (t *Tab) Eval(text string, out any) {
	t.tb.Helper()
	var r struct{ Value json.RawMessage }
	t.do("eval", map[string]any{"text": text}, &r)
	if err := json.Unmarshal(r.Value, out); err != nil {
		t.tb.Fatalf("value %s: %v", r.Value, err)
	}
}

// Cookie sets a cookie for a URL.
func (t *Tab) Cookie(url, name, value string) {
	t.tb.Helper()
	t.do("cookies", map[string]any{"cookies": []map[string]any{{
		"name": name, "value": value, "url": url,
		"sameSite": "Strict",
	}}}, nil)
}

// Shot writes a picture of the page as PNG: of what is in the window, or of all of it.
func (t *Tab) Shot(path string, full bool) {
	t.tb.Helper()
	t.do("shot", map[string]any{"path": path, "full": full}, nil)
}

// State is what a tab shows.
type State struct {
	URL, Text string
	// Trouble is errors and warnings of the browser, dialogs, and what could not be loaded, since the tab was opened.
	Trouble []string
}

func (t *Tab) state() (State, error) {
	var s State
	err := t.b.do("state", map[string]any{"page": t.id}, &s)
	return s, err
}

// State returns what the tab shows.
func (t *Tab) State() State {
	t.tb.Helper()
	s, err := t.state()
	if err != nil {
		t.tb.Fatal(err)
	}
	return s
}

// Want checks that texts are on the page.
func (t *Tab) Want(texts ...string) {
	t.tb.Helper()
	s := t.State()
	for _, text := range texts {
		if !strings.Contains(s.Text, text) {
			t.tb.Fatalf("%q is not on the page %s:\n%s", text, s.URL, s.Text)
		}
	}
}

// Quiet checks that the browser had nothing to complain of, apart from what contains one of these texts.
func (t *Tab) Quiet(but ...string) {
	t.tb.Helper()
next:
	for _, s := range t.State().Trouble {
		for _, b := range but {
			if strings.Contains(s, b) {
				continue next
			}
		}
		t.tb.Errorf("the browser says: %s", s)
	}
}
