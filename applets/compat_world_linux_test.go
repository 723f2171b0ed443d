package applets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

var showScenes = flag.Bool("compat.show", false, "TestCompat prints every fact")

// patience is for one command line, on a busy machine; the original waits up to ten seconds for a provider.
const patience = 30 * time.Second

// compatWorld is a provider, a home, and one pair of programs.
type compatWorld struct {
	t    *testing.T
	pair pair
	op   *issuertest.Server
	dir  string
	env  map[string]string
	seen map[string]bool // access tokens printed so far
	rt   string
}

func newCompatWorld(t *testing.T, p pair) *compatWorld {
	t.Helper()
	bin, err := oneBinary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	dir, err := os.MkdirTemp("", "compat") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	w := &compatWorld{
		t: t, pair: p, dir: dir, seen: map[string]bool{},
		op: issuertest.Start(t, func(o *issuer.Options) { o.Scopes = []string{"condor:/READ"} }),
	}
	t.Cleanup(func() { w.endAgent(); _ = os.RemoveAll(dir) })
	for _, d := range []string{"home", "home/.oidc-agent", "run", "tmp", "ours"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"oidc-agent", "oidc-gen", "oidc-add", "oidc-token"} {
		if err := os.Symlink(bin, filepath.Join(dir, "ours", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"pw": "file password\n", "badpw": "wrong\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.env = map[string]string{
		"HOME": filepath.Join(dir, "home"), "XDG_RUNTIME_DIR": filepath.Join(dir, "run"), "TERM": "dumb",
		"TMPDIR": filepath.Join(dir, "tmp"), "PATH": os.Getenv("PATH"), "PW": "file password",
	}
	w.rt = w.op.Tokens("alice", "openid profile offline_access storage.read:/").Refresh.Expose()
	w.env["RT"] = w.rt
	return w
}

// program is where a client or the agent lies.
func (w *compatWorld) program(name string) string {
	if name == "c-client" || name == "go-client" {
		dir, err := libraryClients()
		if err != nil {
			w.t.Errorf("build the clients of the libraries: %v", err)
		}
		return filepath.Join(dir, name)
	}
	who := w.pair.clients
	if name == "oidc-agent" {
		who = w.pair.agent
	}
	if who == ours {
		return filepath.Join(w.dir, "ours", name)
	}
	return original(w.t, name)
}

// compatLine is a command line and what the person and the provider do meanwhile.
type compatLine struct {
	line   string   // words; DIR and ISSUER stand for what they are in this world
	typed  []string // question and answer in turn, on a terminal
	before func(w *compatWorld)
	quiet  bool // what reaches the provider is not compared
}

func (w *compatWorld) play(lines []compatLine) []scene {
	out := make([]scene, 0, len(lines))
	for _, l := range lines {
		if l.before != nil {
			l.before(w)
		}
		w.op.ClearRequests()
		begin := time.Now()
		o := w.run(l)
		s := scene{line: l.line, took: time.Since(begin), facts: []string{fmt.Sprintf("exit %d", o.code)}}
		for text := range strings.Lines(o.out) {
			s.facts = append(s.facts, "out "+w.plain(strings.TrimSuffix(text, "\n")))
		}
		for text := range strings.Lines(o.errOut) {
			if strings.HasPrefix(text, "Error: ") {
				s.facts = append(s.facts, "err "+w.plain(strings.TrimSpace(text)))
			}
		}
		if !l.quiet {
			s.facts = append(s.facts, w.requests()...)
		}
		out = append(out, s)
	}
	return out
}

func (w *compatWorld) words(line string) []string {
	line = strings.NewReplacer("DIR", w.dir, "ISSUER", w.op.URL, "PID", w.env["OIDCD_PID"]).Replace(line)
	words := strings.Fields(line)
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, "~", " ") // a blank inside a word
	}
	return words
}

// run runs one line; whatever link to the provider it shows is opened.
func (w *compatWorld) run(l compatLine) output {
	words := w.words(l.line)
	cmd := exec.Command(w.program(words[0]), words[1:]...)
	cmd.Dir = w.dir
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, screen := &browsingBuffer{w: w}, &browsingBuffer{w: w}
	cmd.Stdout, cmd.Stderr = out, screen
	cmd.WaitDelay = 2 * time.Second // an agent keeps the streams a little longer
	done := func() {}
	if l.typed != nil {
		done = w.terminal(cmd, out, screen, l.typed)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Start(); err != nil {
		done()
		w.t.Errorf("%s: %s: %v", w.pair, l.line, err)
		return output{code: -1}
	}
	err := cmd.Wait()
	done()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		w.t.Errorf("%s: %s did not end: %v\n%s%s", w.pair, l.line, err, out.String(), screen.String())
		return output{code: -1}
	}
	if words[0] == "oidc-agent" {
		w.adopt(out.String())
	}
	return output{cmd.ProcessState.ExitCode(), out.String(), screen.String()}
}

// terminal gives the command a terminal for questions and types the answers. Standard output stays a pipe.
func (w *compatWorld) terminal(cmd *exec.Cmd, out, screen *browsingBuffer, typed []string) (done func()) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		w.t.Errorf("open a terminal: %v", err)
		return func() {}
	}
	cmd.Stdin = tty
	cmd.Stderr = tty
	cmd.SysProcAttr.Setctty = true
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	var reading, typing sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(screen, ptmx) }) // until nobody has the terminal any more
	typing.Go(func() {
		for ; len(typed) > 1; typed = typed[2:] {
			for !strings.Contains(out.String()+screen.String(), typed[0]) {
				if !pause(ctx, 5*time.Millisecond) {
					return
				}
			}
			pause(ctx, 100*time.Millisecond) // the question is printed before the echo is off
			_, _ = ptmx.WriteString(typed[1] + "\n")
		}
	})
	return func() {
		_ = tty.Close()
		cancel()
		typing.Wait()
		reading.Wait()
		_ = ptmx.Close()
	}
}

// adopt takes over what an agent printed for the shell, and waits for its socket, which the original announces early.
func (w *compatWorld) adopt(said string) {
	if !strings.HasPrefix(said, "OIDC_SOCK=") {
		return
	}
	for _, name := range []string{"OIDC_SOCK", "OIDCD_PID"} {
		if m := regexp.MustCompile(name + `=([^;]+);`).FindStringSubmatch(said); m != nil {
			w.env[name] = m[1]
		}
	}
	for range 1000 {
		if _, err := os.Stat(w.env["OIDC_SOCK"]); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *compatWorld) endAgent() {
	if pid, err := strconv.Atoi(w.env["OIDCD_PID"]); err == nil {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
}

// agentGone waits until the agent has ended. Theirs does not wait after -k, and ours may still be writing an account file
// that the next program reads; a busy machine takes long over both.
func (w *compatWorld) agentGone() {
	for range 4000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", w.env["OIDCD_PID"]))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Error("the agent has not ended")
}

// browsingBuffer keeps what a command says and opens the first complete link to the provider's pages in it.
type browsingBuffer struct {
	w  *compatWorld
	mu sync.Mutex
	b  bytes.Buffer

	opened bool
}

func (b *browsingBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Write(p)
	if !b.opened {
		page := regexp.MustCompile(regexp.QuoteMeta(b.w.op.URL) + `/(?:authorize\?\S+|device)\s`)
		code := regexp.MustCompile(`\b[A-Z]{4}-[A-Z]{4}\b`)
		link, user := strings.TrimSpace(page.FindString(b.b.String())), code.FindString(b.b.String())
		if strings.HasSuffix(link, "/device") {
			if user == "" {
				return len(p), nil
			}
			link += "?user_code=" + user
		}
		if link != "" {
			b.opened = true
			go visit(link)
		}
	}
	return len(p), nil
}

func (b *browsingBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// visit is the browser. What comes of it shows in the command.
func visit(link string) {
	jar, _ := cookiejar.New(nil)
	if resp, err := (&http.Client{Jar: jar, Timeout: 10 * time.Second}).Get(link); err == nil {
		resp.Body.Close()
	}
}

// plain takes out what differs from run to run, and the two things that differ everywhere (docs/differences.md): the
// slash at the end of an issuer, and offline_access in the scope of a token. A token is replaced by what it allows, and
// by whether it was printed before: a cache shows.
func (w *compatWorld) plain(s string) string {
	s = regexp.MustCompile(`eyJ[\w-]+\.([\w-]+)\.[\w-]+`).ReplaceAllStringFunc(s, func(token string) string {
		var c struct {
			Scope string `json:"scope"`
			Aud   any    `json:"aud"`
		}
		b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil || json.Unmarshal(b, &c) != nil {
			return "<broken token>"
		}
		age := "new"
		if w.seen[token] {
			age = "old"
		}
		w.seen[token] = true
		return fmt.Sprintf("<%s token for %v: %s>", age, c.Aud, withoutOffline(c.Scope))
	})
	s = strings.NewReplacer(
		w.dir, "DIR", w.op.URL+"/", "ISSUER", w.op.URL, "ISSUER", w.env["OIDCD_PID"], "PID",
	).Replace(s)
	for _, r := range [][2]string{
		{`oidc-\w{6}/oidc-agent\.\d+`, "SOCKET"},
		{`\b1[789]\d{8}\b`, "TIME"},
		{`\b(OIDCD_PID=|pid )\d+`, "${1}PID"},
	} {
		s = regexp.MustCompile(r[0]).ReplaceAllString(s, r[1])
	}
	return s
}

// requests are what reached the provider, a fact for each parameter. The discovery document is left out: who keeps it
// for how long is nobody's business. Pages are the browser's.
func (w *compatWorld) requests() []string {
	var out []string
	n := map[string]int{}
	for _, r := range w.op.Requests() {
		if strings.Contains(r.Path, ".well-known") || r.Path == "/jwks" || r.Path == "/device" {
			continue
		}
		n[r.Path]++
		name := r.Method + " " + r.Path
		if n[r.Path] > 1 {
			name += "#" + strconv.Itoa(n[r.Path])
		}
		asking := r.Path == "/token" && r.Form.Get("grant_type") == issuer.GrantDevice
		if asking && r.Status == http.StatusBadRequest {
			n[r.Path]--
			continue // how often it asks whether the person has decided depends on the clock
		}
		out = append(out, fmt.Sprintf("%s answered %d", name, r.Status))
		if r.Auth != "" {
			out = append(out, name+" with "+r.Auth)
		}
		for _, from := range []url.Values{r.Query, r.Form} {
			for key := range from {
				out = append(out, name+" "+key+"="+w.value(from, key))
			}
		}
		for key, value := range r.JSON {
			out = append(out, name+" "+key+"="+registered(string(value)))
		}
	}
	slices.Sort(out)
	return out
}

func withoutOffline(scope string) string {
	words := strings.Fields(scope)
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "offline_access" }), " ")
}

// registered is a value of a registration: ports are drawn, and the name of this machine is in that of the client.
func registered(value string) string {
	host, _ := os.Hostname()
	value = strings.ReplaceAll(value, "-"+host, "-HOST")
	return regexp.MustCompile(`:\d{2,}`).ReplaceAllString(value, ":PORT")
}

func (w *compatWorld) value(form url.Values, key string) string {
	s := strings.Join(form[key], " and ")
	switch key {
	case "scope":
		if form.Get("grant_type") == "refresh_token" {
			return withoutOffline(s)
		}
	case "state", "code_challenge", "nonce":
		return "*"
	case "client_id":
		if len(s) > 20 {
			return "(registered)"
		}
	case "redirect_uri":
		return regexp.MustCompile(`:\d+`).ReplaceAllString(s, ":PORT")
	}
	return regexp.MustCompile(`id:\w+`).ReplaceAllString(s, "*")
}
