package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	jsonType   = "application/json"
	accessPath = "/api/v0/token/access"
	infoPath   = "/api/v0/tokeninfo"
)

// server is the program under test, set up in a directory of its own.
type server struct {
	plan
	dir     string
	address string
	op      *provider
	cmd     *exec.Cmd
	out     bytes.Buffer

	config, issuer string // of one among several
}

// setUp makes configuration, keys and an empty state.
func (p plan) setUp(name string, op *provider) (*server, error) {
	address, err := free()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(p.dir, name))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &server{plan: p, dir: dir, address: address, op: op}
	if err := os.WriteFile(filepath.Join(dir, "op-secret"), []byte("a-secret-of-the-server-there\n"), 0o600); err != nil {
		return nil, err
	}
	setup := s.command("setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", "http://"+address,
		"--listen", address, "--operator", "Bench", "--contact", "us@example.org", "--provider", "op", "--provider-issuer", op.url,
		"--client-id", "mytoken", "--client-secret-file", "op-secret")
	if b, err := setup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("setup: %w\n%s", err, b)
	}
	return s, s.configure()
}

// configure lifts what bounds requests of one address, which all of ours are, and leaves the audit log on: to a file.
func (s *server) configure() error {
	name := filepath.Join(s.dir, "server.yaml")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "limits:") && !strings.HasPrefix(line, "audit:") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "") + "\nlimits: {address: none, user: none, mytoken: none}\naudit: audit.log\n"
	return os.WriteFile(name, []byte(text), 0o600)
}

func (s *server) command(args ...string) *exec.Cmd {
	exe, err := filepath.Abs(s.oidcbox)
	if err != nil {
		exe = s.oidcbox
	}
	cmd := exec.Command(exe, append([]string{"mytoken-server"}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_RUNTIME_DIR="+s.dir)
	return cmd
}

// start starts the server and returns how long it took until it answered, with the provider found.
func (s *server) start(ctx context.Context) (listening, ready time.Duration, err error) {
	s.cmd = s.command("serve", "--config", s.yaml())
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, 0, err
	}
	for ctx.Err() == nil && time.Since(begin) < time.Minute {
		if c, err := net.Dial("tcp", s.address); err == nil {
			_ = c.Close()
			listening = time.Since(begin)
			break
		}
		time.Sleep(500 * time.Microsecond)
	}
	for ctx.Err() == nil && time.Since(begin) < time.Minute {
		if s.isReady() {
			return listening, time.Since(begin), nil
		}
		time.Sleep(time.Millisecond)
	}
	s.stop()
	return 0, 0, fmt.Errorf("the server does not answer\n%s", s.out.String())
}

func (s *server) isReady() bool {
	resp, err := http.Get("http://" + s.address + "/ready")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var a struct{ Status string }
	return json.NewDecoder(resp.Body).Decode(&a) == nil && a.Status == "ready"
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// cpu is how much of the processors the server has taken so far.
func (s *server) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	var user, sys int64
	_, _ = fmt.Sscan(f[11], &user)
	_, _ = fmt.Sscan(f[12], &sys)
	return time.Duration(user+sys) * 10 * time.Millisecond
}

func (s *server) seeds(limit int64) seeds {
	return seeds{issuer: "http://" + s.address, provider: s.op.url, state: filepath.Join(s.dir, "server"), limit: limit}
}

// accesses are requests for access tokens with each of some mytokens.
func (s *server) accesses(tokens []string) (all [][]byte) {
	for _, t := range tokens {
		all = append(all, post(s.address, accessPath, jsonType, fmt.Appendf(nil, `{"grant_type":"mytoken","mytoken":%q}`, t)))
	}
	return all
}

func (s *server) introspections(tokens []string) (all [][]byte) {
	for _, t := range tokens {
		all = append(all, post(s.address, infoPath, jsonType, fmt.Appendf(nil, `{"action":"introspect","mytoken":%q}`, t)))
	}
	return all
}
