package applets

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// house is a provider, an agent and a home for whole-program tests and benchmarks: real processes of the built binary.
type house struct {
	tb     testing.TB
	bin    string
	dir    string
	runDir string // XDG_RUNTIME_DIR
	issuer string
	as     string   // who signs in, "" for whom the provider likes
	env    []string // more of the environment
	agent  *exec.Cmd
}

// oneBinary is built once for all tests of the package.
var oneBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oidcbox-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, program)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, module[:len(module)-1])
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

func newHouse(tb testing.TB, issuerArgs ...string) *house {
	tb.Helper()
	h := bareHouse(tb)
	url := filepath.Join(h.dir, "issuer.url")
	h.background("issuer", append([]string{
		"issuer", "--listen", "127.0.0.1:0", "--auto-login", "alice", "--url-file", url,
	}, issuerArgs...)...)
	h.issuer = strings.TrimSpace(h.await(url))
	return h
}

// bareHouse has no provider: the caller brings one.
func bareHouse(tb testing.TB) *house {
	tb.Helper()
	bin, err := oneBinary()
	if err != nil {
		tb.Fatalf("build: %v", err)
	}
	h := &house{tb: tb, bin: bin, dir: tb.TempDir()}
	h.runDir = h.path("run")
	for _, d := range []string{"home", "run"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	h.write("passphrase", "correct horse battery staple\n")
	return h
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }
func (h *house) socket() string          { return filepath.Join(h.runDir, "agent.sock") }

func (h *house) write(name, content string) {
	h.tb.Helper()
	if err := os.WriteFile(h.path(name), []byte(content), 0o600); err != nil {
		h.tb.Fatal(err)
	}
}

func (h *house) environ() []string {
	return append([]string{
		"HOME=" + h.path("home"), "XDG_RUNTIME_DIR=" + h.runDir, "OIDC_SOCK=" + h.socket(),
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + h.dir,
	}, h.env...)
}

// background starts a role that stays until the test ends.
func (h *house) background(log string, args ...string) *exec.Cmd {
	h.tb.Helper()
	f, err := os.OpenFile(h.path(log+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(h.bin, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = h.environ(), h.dir, f, f
	if err := cmd.Start(); err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if h.tb.Failed() {
			b, _ := os.ReadFile(f.Name())
			h.tb.Logf("%s said:\n%s", log, b[max(0, len(b)-4000):])
		}
	})
	return cmd
}

// await waits for a file and returns what is in it.
func (h *house) await(path string) string {
	h.tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			return string(b)
		}
	}
	h.tb.Fatalf("%s did not appear", path)
	return ""
}

// startAgent starts an agent that unlocks the keystore by itself, or makes it.
func (h *house) startAgent(args ...string) {
	h.tb.Helper()
	h.startLockedAgent(append([]string{"--passphrase-file", h.path("passphrase")}, args...)...)
}

// startLockedAgent starts an agent that was given no passphrase.
func (h *house) startLockedAgent(args ...string) {
	h.tb.Helper()
	h.agent = h.background("agent", append([]string{"agent", "--console", "--socket-path", h.socket()}, args...)...)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("unix", h.socket())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			h.tb.Fatalf("the agent does not answer: %v", err)
		}
	}
}

// killAgent is the power cut: SIGKILL, and the socket file stays behind.
func (h *house) killAgent() {
	h.tb.Helper()
	_ = h.agent.Process.Signal(syscall.SIGKILL)
	_ = h.agent.Wait()
}

// endAgent asks the agent to stop and waits for it.
func (h *house) endAgent() {
	h.tb.Helper()
	_ = h.agent.Process.Signal(syscall.SIGTERM)
	if err := h.agent.Wait(); err != nil {
		h.tb.Fatalf("the agent ended with %v", err)
	}
}

// output is what a command left behind.
type output struct {
	code        int
	out, errOut string
}

func (h *house) run(args ...string) output { return h.exec(h.bin, args...) }

func (h *house) exec(prog string, args ...string) output {
	h.tb.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(prog, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = h.environ(), h.dir, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.tb.Fatalf("%s: %v", prog, err)
	}
	return output{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func (h *house) must(args ...string) string {
	h.tb.Helper()
	o := h.run(args...)
	if o.code != 0 {
		h.tb.Fatalf("%v exited with %d\n%s%s", args, o.code, o.out, o.errOut)
	}
	return o.out
}

// gen sets a login up by the code flow and plays the browser.
func (h *house) gen(name string, args ...string) {
	h.tb.Helper()
	cmd := exec.Command(h.bin, append([]string{
		"gen", name, "--issuer", h.issuer, "--flow", "code", "--no-url-call", "--prompt", "none",
		"--scope", "openid offline_access storage.read:/ wlcg.groups",
	}, args...)...)
	cmd.Env, cmd.Dir = h.environ(), h.dir
	pipe, err := cmd.StderrPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.tb.Fatal(err)
	}
	said := h.browse(pipe)
	if err := cmd.Wait(); err != nil {
		h.tb.Fatalf("gen: %v\n%s", err, said)
	}
}

// browse reads what a command says and opens the first link to the provider.
func (h *house) browse(said io.Reader) string {
	h.tb.Helper()
	link := regexp.MustCompile(regexp.QuoteMeta(h.issuer) + `/\S+`)
	var all strings.Builder
	seen := false
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if u := link.FindString(lines.Text()); u != "" && !seen {
			seen = true
			if h.as != "" {
				u += "&login_hint=" + h.as
			}
			jar, _ := cookiejar.New(nil)
			resp, err := (&http.Client{Jar: jar, Timeout: 10 * time.Second, Transport: trusting()}).Get(u)
			if err != nil {
				h.tb.Errorf("open %s: %v", u, err)
				continue
			}
			resp.Body.Close()
		}
	}
	return all.String()
}

// trusting is a browser on loopback that takes any certificate.
func trusting() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test
}
