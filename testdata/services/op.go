package services

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

const (
	opStart = 30 * time.Second // for two busy cores; half a second is usual
	opTries = 3
)

// Provider is the npm oidc-provider, set up as op/README.md says. Its state is in memory.
type Provider struct {
	Issuer string
	CAFile string // of an https provider, else ""

	tb   testing.TB
	dir  string
	port int
	env  []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	in   io.Closer
	log  *lockedBuffer
}

// OP starts a provider on a free loopback port and stops it when the test ends. env are OP_* variables as listed in
// op/index.mjs, and TLS=1 for https. Without node, or where its packages cannot be installed, the test is skipped.
//
// The packages are installed once into $OP_MODULES, by default ~/.cache/oidcbox-test-op; tests of several processes may
// start at once.
func OP(tb testing.TB, env ...string) *Provider {
	tb.Helper()
	Need(tb, "node")
	p := &Provider{tb: tb, dir: tb.TempDir(), env: env}
	here := sourceDir()
	modules := opModules(tb, filepath.Join(here, "op"))
	for _, name := range []string{"index.mjs", "accounts.mjs"} {
		copyFile(tb, filepath.Join(here, "op", name), filepath.Join(p.dir, name))
	}
	if err := os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(p.dir, "node_modules")); err != nil {
		tb.Fatal(err)
	}
	p.makeCA(filepath.Join(here, "tls", "mkca.sh"))
	var err error
	for range opTries { // somebody may take the port between our asking and node's binding
		p.port = freePort(tb)
		if err = p.start(); err == nil {
			tb.Cleanup(p.Stop)
			return p
		}
	}
	tb.Fatalf("start provider: %v\n%s", err, p.log)
	return nil
}

func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

func (p *Provider) has(setting string) bool {
	for _, e := range p.env {
		if e == setting {
			return true
		}
	}
	return false
}

func (p *Provider) makeCA(script string) {
	if !p.has("TLS=1") {
		return
	}
	Need(p.tb, "openssl", "sh")
	if out, err := exec.Command("sh", script, p.dir).CombinedOutput(); err != nil {
		p.tb.Fatalf("make certificates: %v\n%s", err, out)
	}
	p.CAFile = filepath.Join(p.dir, "ca.pem")
}

// start runs node and waits until it answers.
func (p *Provider) start() error {
	scheme := "http"
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "NODE_NO_WARNINGS=1", "OP_STDIN=1"}
	if p.CAFile != "" {
		scheme = "https"
		env = append(env, "OP_TLS_CERT="+filepath.Join(p.dir, "server.pem"), "OP_TLS_KEY="+filepath.Join(p.dir, "server.key"))
	}
	p.Issuer = fmt.Sprintf("%s://localhost:%d", scheme, p.port)
	env = append(env, fmt.Sprintf("OP_PORT=%d", p.port), "OP_ISSUER="+p.Issuer)
	p.cmd = exec.Command("node", filepath.Join(p.dir, "index.mjs"))
	p.cmd.Env = append(env, p.env...)
	p.log = new(lockedBuffer)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(p.cmd, p.done)
	if err := p.ready(); err != nil {
		p.Stop()
		return err
	}
	return nil
}

func (p *Provider) ready() error {
	hc := p.client()
	defer hc.CloseIdleConnections()
	for deadline := time.Now().Add(opStart); time.Now().Before(deadline); {
		select {
		case <-p.done:
			return errors.New("it ended at once")
		default:
		}
		resp, err := hc.Get(p.Issuer + "/.well-known/openid-configuration")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("it does not answer")
}

// Stop ends the provider. It may be called again.
func (p *Provider) Stop() {
	if p.cmd == nil {
		return
	}
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// Restart ends the provider and starts it on the same port: it has forgotten every client, grant and token since.
func (p *Provider) Restart() {
	p.tb.Helper()
	p.Stop()
	var err error
	for range opTries {
		if err = p.start(); err == nil {
			return
		}
	}
	p.tb.Fatalf("restart provider: %v\n%s", err, p.log)
}

// Output is what the provider has printed since it was started.
func (p *Provider) Output() string { return p.log.String() }

// Fault makes an endpoint fail.
type Fault struct {
	Path       string `json:"path"` // "/token", "/device/auth", "/reg"
	Status     int    `json:"status,omitempty"`
	Times      int    `json:"times,omitempty"` // 0: until ClearFaults
	RetryAfter int    `json:"retry_after,omitempty"`
	DelayMS    int    `json:"delay_ms,omitempty"`
	Body       any    `json:"body,omitempty"` // nil: {"error":"temporarily_unavailable"}; "": empty
}

// Fault adds a fault; the first that fits a request and is not used up counts.
func (p *Provider) Fault(f Fault) {
	p.tb.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.control(http.MethodPost, "/_test/fault", body)
}

// ClearFaults removes all faults.
func (p *Provider) ClearFaults() {
	p.tb.Helper()
	p.control(http.MethodDelete, "/_test/fault", nil)
}

// Entry is one request as the provider saw it. Secrets are masked.
type Entry struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Query  map[string]any `json:"query"`
	Auth   string         `json:"auth"` // scheme of the Authorization header
	Form   map[string]any `json:"form"` // string, or list of strings when a parameter was there several times
	JSON   map[string]any `json:"json"`
	Status int            `json:"status"`
}

// Log returns the requests since the start or the last ClearLog, oldest first, at most 500; paths narrows it to those.
func (p *Provider) Log(paths ...string) []Entry {
	p.tb.Helper()
	var all, some []Entry
	if err := json.Unmarshal(p.control(http.MethodGet, "/_test/log", nil), &all); err != nil {
		p.tb.Fatalf("read the provider's log: %v", err)
	}
	for _, e := range all {
		for _, path := range paths {
			if e.Path == path {
				some = append(some, e)
			}
		}
	}
	if len(paths) == 0 {
		return all
	}
	return some
}

// ClearLog forgets the requests so far.
func (p *Provider) ClearLog() {
	p.tb.Helper()
	p.control(http.MethodDelete, "/_test/log", nil)
}

func (p *Provider) control(method, path string, body []byte) []byte {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), opStart)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.Issuer+path, bytes.NewReader(body))
	if err != nil {
		p.tb.Fatal(err)
	}
	hc := p.client()
	defer hc.CloseIdleConnections()
	resp, err := hc.Do(req)
	if err != nil {
		p.tb.Fatalf("provider's test controls: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		p.tb.Fatalf("provider's test controls: status %d, %v", resp.StatusCode, err)
	}
	return answer
}

func freePort(tb testing.TB) int {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}
