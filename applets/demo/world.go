package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// world is the directory and the processes of one walk.
type world struct {
	env    *cli.Env
	dir    string // 0700; everything the roles write is below it
	exe    string // a copy of this binary: "go run" deletes its own
	procs  []*process
	colour bool

	issuer string
	agent  *process
	token  []byte // the access token at hand; never printed, wiped at the end

	daemon    *process // the verifier
	verifier  string   // its URL
	fileToken []byte   // one for the service behind it; never printed, wiped at the end

	site  site
	login *loginNode // nil: no login node
}

const (
	loginName   = "demo"
	audienceAny = "https://wlcg.cern.ch/jwt/v1/any"
)

func newWorld(env *cli.Env) (*world, error) {
	dir, err := os.MkdirTemp(tempDir(), "oidcbox-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the demo: %w", err)
	}
	w := &world{env: env, dir: dir, exe: filepath.Join(dir, "oidcbox"), colour: cli.IsTerminal(env.Stdout)}
	if env.Getenv("NO_COLOR") != "" {
		w.colour = false
	}
	if err := w.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return w, nil
}

// tempDir is where the demo lives: the usual place, or /tmp where that is so deep that the path of a socket below it
// would not fit into a socket address (104 bytes on some systems).
func tempDir() string {
	const below = len("/oidcbox-demo-4294967295/run/oidcbox/control.sock")
	if dir := os.TempDir(); len(dir)+below < 104 || runtime.GOOS == "windows" {
		return dir
	}
	return "/tmp"
}

// prepare copies the binary and makes the home of the person in the demo.
func (w *world) prepare() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := copyFile(w.exe, self, 0o700); err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	for _, d := range []string{"home", "run", "log"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o700); err != nil {
			return fmt.Errorf("make a directory for the demo: %w", err)
		}
	}
	pass := make([]byte, 24)
	_, _ = rand.Read(pass)
	line := base64.RawURLEncoding.EncodeToString(pass) + "\n"
	if err := os.WriteFile(w.passphraseFile(), []byte(line), 0o600); err != nil {
		return fmt.Errorf("write the passphrase of the demo: %w", err)
	}
	return nil
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (w *world) passphraseFile() string { return filepath.Join(w.dir, "passphrase") }
func (w *world) socket() string         { return filepath.Join(w.dir, "run", "agent.sock") }

// environment is all the children see: nothing of the caller's but the PATH and what proxies and locales need.
func (w *world) environment() []string {
	out := []string{
		"HOME=" + filepath.Join(w.dir, "home"),
		"XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run"),
		"OIDC_SOCK=" + w.socket(),
		"NO_PROXY=localhost,127.0.0.1,::1,198.18.0.0/15",
		"SSL_CERT_FILE=" + filepath.Join(w.dir, "tls.pem"),
	}
	for _, name := range []string{"PATH", "LANG", "TMPDIR", "SYSTEMROOT"} {
		if v := w.env.Getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// process is a role that stays.
type process struct {
	role string
	cmd  *exec.Cmd
	done chan struct{} // closed by the goroutine that waits for it
	log  string
}

// start runs a role in the background with its output in a log file.
func (w *world) start(role string, args ...string) (*process, error) {
	cmd := exec.Command(w.exe, append([]string{role}, args...)...)
	cmd.Env, cmd.Dir = w.environment(), w.dir
	return w.background(role, cmd)
}

// background runs a command in the background with its output in a log file.
func (w *world) background(role string, cmd *exec.Cmd) (*process, error) {
	logPath := filepath.Join(w.dir, "log", role+".log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	p := &process{role: role, cmd: cmd, done: make(chan struct{}), log: logPath}
	go func() { defer close(p.done); _ = cmd.Wait() }()
	w.procs = append(w.procs, p)
	return p, nil
}

// waitFor polls ready until it is true, the process ends or ctx does.
func (w *world) waitFor(ctx context.Context, p *process, ready func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.role, ctx.Err())
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.role, lastLine(p.log))
		case <-tick.C:
		}
	}
	return nil
}

// result is what a role that ended left behind.
type result struct {
	code           int
	stdout, stderr string
}

// run starts a role and waits for its end. A secret goes in through stdin, never through args.
func (w *world) run(ctx context.Context, stdin []byte, role string, args ...string) (result, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, w.exe, append([]string{role}, args...)...)
	cmd.Env, cmd.Dir = w.environment(), w.dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, fmt.Errorf("run %s: %w", role, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errOut.String()}, nil
}

// must is run for a role that has to exit with 0.
func (w *world) must(ctx context.Context, stdin []byte, role string, args ...string) (result, error) {
	r, err := w.run(ctx, stdin, role, args...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("%s exited with %d: %s", role, r.code, oneLine(r.stderr))
	}
	return r, err
}

// end stops what runs and removes the directory, unless it is to be kept.
func (w *world) end(keep bool) {
	clear(w.token)
	clear(w.fileToken)
	if keep {
		return
	}
	defer w.login.close()
	for _, p := range slices.Backward(w.procs) {
		_ = interrupt(p.cmd.Process)
	}
	deadline := time.NewTimer(3 * time.Second)
	defer deadline.Stop()
	for _, p := range slices.Backward(w.procs) {
		select {
		case <-p.done:
		case <-deadline.C:
			_ = p.cmd.Process.Kill()
			<-p.done
			deadline.Reset(0)
		}
	}
	if w.site.net != nil {
		w.site.net.close()
	}
	_ = os.RemoveAll(w.dir)
}

func (w *world) printEnvironment() {
	out := w.env.Stdout
	fmt.Fprintf(out, "\neverything goes on running; to use it:\n\n")
	for _, kv := range w.environment()[1:3] { // sockets; the caller keeps the HOME of the shell
		name, value, _ := strings.Cut(kv, "=")
		fmt.Fprintf(out, "  export %s='%s'\n", name, value)
	}
	fmt.Fprintf(out, "  alias oidcbox='%s'\n\n", w.exe)
	if n := w.site.net; n != nil {
		fmt.Fprintf(out, "the network of the job stays, too; to remove it: ip netns del %s\n\n", n.name)
	}
	fmt.Fprintf(out, "  oidcbox add --loaded\n  oidcbox token %s | oidcbox verifier token --issuer %s --audience %s\n\n",
		loginName, w.issuer, audienceAny)
	fmt.Fprintf(out, "  oidcbox token --scope storage.read:/data --aud %s %s |\n"+
		"      sed 's/^/Authorization: Bearer /' | curl -si -H @- -H 'X-Forwarded-Method: GET' \\\n"+
		"      -H 'X-Forwarded-Host: %s' -H 'X-Forwarded-Uri: /data/set' %s/forward/caddy\n\n",
		filesService, loginName, filesHost, w.verifier)
	var pids []string
	for _, p := range w.procs {
		select {
		case <-p.done:
		default:
			pids = append(pids, fmt.Sprint(p.cmd.Process.Pid))
		}
	}
	fmt.Fprintf(out, "to end it:\n\n  kill %s; rm -r '%s'\n", strings.Join(pids, " "), w.dir)
}

// hint names the logs while they are still there to read: a failed walk removes them, so their ends are shown.
func (w *world) hint() string {
	var b strings.Builder
	b.WriteString("last lines of the processes:")
	for _, p := range w.procs {
		fmt.Fprintf(&b, "\n  %s: %s", p.role, lastLine(p.log))
	}
	return b.String()
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

func (w *world) paint(code, s string) string {
	if !w.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
func (w *world) green(s string) string { return w.paint("32", s) }
func (w *world) red(s string) string   { return w.paint("31", s) }
func (w *world) bold(s string) string  { return w.paint("1", s) }
func (w *world) dim(s string) string   { return w.paint("2", s) }
