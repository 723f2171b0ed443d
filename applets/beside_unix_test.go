//go:build unix

package applets

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beside is a house with Debian's programs in it, on a provider that replaces a refresh token at each use and ends a
// login when a replaced one is sent.
type beside struct {
	*house
	real *exec.Cmd // Debian's agent
}

func newBeside(t *testing.T, issuerArgs ...string) *beside {
	t.Helper()
	for _, name := range []string{"oidc-agent", "oidc-gen", "oidc-add", "oidc-token"} {
		original(t, name)
	}
	h := newHouse(t, append([]string{"--rotation", "strict"}, issuerArgs...)...)
	h.write("password", "correct horse\n")
	if err := os.MkdirAll(h.path("home/.config/oidc-agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &beside{house: h}
}

func (b *beside) realSocket() string { return filepath.Join(b.runDir, "original.sock") }

// startReal starts Debian's agent.
func (b *beside) startReal() {
	b.tb.Helper()
	b.real = exec.Command(original(b.tb, "oidc-agent"), "--console", "-a", b.realSocket())
	b.real.Env, b.real.Dir = b.environ(), b.dir
	if err := b.real.Start(); err != nil {
		b.tb.Fatal(err)
	}
	cmd := b.real
	b.tb.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", b.realSocket())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			b.tb.Fatalf("Debian's agent does not answer: %v", err)
		}
	}
}

func (b *beside) endReal() {
	b.tb.Helper()
	_ = b.real.Process.Signal(syscall.SIGTERM)
	_ = b.real.Wait()
	_ = os.Remove(b.realSocket())
}

// debian runs one of Debian's programs against an agent.
func (b *beside) debian(socket, name string, args ...string) output {
	b.tb.Helper()
	// Debian's agent waits for a person, for minutes, where a login has ended.
	return b.exec("timeout", append([]string{"60", "env", "OIDC_SOCK=" + socket, original(b.tb, name)}, args...)...)
}

func (b *beside) mustDebian(socket, name string, args ...string) string {
	b.tb.Helper()
	o := b.debian(socket, name, args...)
	if o.code != 0 {
		b.tb.Fatalf("%s %v exited with %d\n%s%s", name, args, o.code, o.out, o.errOut)
	}
	return o.out
}

// realGen sets a login up with Debian's oidc-gen at an agent, and leaves an account file behind.
func (b *beside) realGen(socket, name, password string) {
	b.tb.Helper()
	port := freePort(b.tb)
	cmd := exec.Command(original(b.tb, "oidc-gen"), name, "-m", "--iss="+b.issuer+"/", "--client-id=web",
		"--client-secret=web-secret", "--redirect-uri=http://localhost:"+port, "--flow=code", "--no-url-call",
		"--scope=openid profile offline_access storage.read:/", "--pw-file="+password, "--prompt=none",
		"--confirm-default", "--dae=", "--aud=")
	cmd.Env, cmd.Dir = append(b.environ(), "OIDC_SOCK="+socket), b.dir
	out, in, err := os.Pipe()
	if err != nil {
		b.tb.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		b.tb.Fatal(err)
	}
	_ = in.Close()
	said := b.browse(out)
	if err := cmd.Wait(); err != nil {
		rest, _ := io.ReadAll(out)
		b.tb.Fatalf("Debian's oidc-gen: %v\n%s%s", err, said, rest)
	}
}

func freePort(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// file is the path of an account file.
func (b *beside) file(name string) string { return b.path("home/.config/oidc-agent/" + name) }

// rotate makes our agent use the refresh token three times.
func (b *beside) rotate(name string) {
	b.tb.Helper()
	for range 3 {
		b.mustDebian(b.socket(), "oidc-token", "-f", name)
	}
}

// TestBesideTheOriginal: an account made by Debian's oidc-gen is loaded into our agent by Debian's oidc-add, rotates
// three times there, and lives on when the person goes back to Debian's agent.
func TestBesideTheOriginal(t *testing.T) {
	for name, place := range map[string]string{
		"password_kept_in_memory": "--pw-store",
		"password_file_only":      "",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBeside(t)
			b.startReal()
			b.realGen(b.realSocket(), "demo", b.path("password"))
			b.endReal()

			b.startLockedAgent("--no-keystore")
			args := []string{"demo", "--pw-file=" + b.path("password")}
			if place != "" {
				args = append(args, place)
			}
			if out := b.mustDebian(b.socket(), "oidc-add", args...); out != "success\n" {
				t.Errorf("oidc-add said %q", out)
			}
			if place != "" { // only the agent's memory has it from here on
				if err := os.Rename(b.path("password"), b.path("away")); err != nil {
					t.Fatal(err)
				}
			}
			b.rotate("demo")
			b.endAgent()
			if place != "" {
				if err := os.Rename(b.path("away"), b.path("password")); err != nil {
					t.Fatal(err)
				}
			}

			b.startReal()
			b.mustDebian(b.realSocket(), "oidc-add", "demo", "--pw-file="+b.path("password"))
			tok := b.mustDebian(b.realSocket(), "oidc-token", "-f", "demo")
			if strings.Count(tok, ".") != 2 {
				t.Errorf("no token: %q", tok)
			}
		})
	}
}

// sayOnce returns the path of a pipe out of which a text can be read one time.
func (b *beside) sayOnce(text string) string {
	b.tb.Helper()
	path := filepath.Join(b.tb.TempDir(), "once")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.tb.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // so that nobody waits for the other end
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(text); err != nil {
		b.tb.Fatal(err)
	}
	return path
}

// TestStaleFileBesideTheOriginal: where nobody can write the file, the keystore has the newest token, and Debian's
// oidc-add loads the stale file again and again, over restarts of our agent.
func TestStaleFileBesideTheOriginal(t *testing.T) {
	b := newBeside(t)
	b.startReal()
	b.realGen(b.realSocket(), "demo", b.path("password"))
	b.endReal()
	before, err := os.ReadFile(b.file("demo"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.startAgent()
		b.mustDebian(b.socket(), "oidc-add", "demo", "--pw-file="+b.sayOnce("correct horse\n"))
		b.rotate("demo")
		b.endAgent()
	}
	after, err := os.ReadFile(b.file("demo"))
	if err != nil || string(before) != string(after) {
		t.Errorf("the file was written, so this showed nothing: %v", err)
	}
}

// TestGenByTheOriginal: a login that Debian's oidc-gen has set up in our agent, and whose file nobody could write since,
// is in the keystore all the same and lives on over restarts. The keystore is sound, and can be given a new key.
func TestGenByTheOriginal(t *testing.T) {
	b := newBeside(t)
	b.startAgent()
	b.realGen(b.socket(), "demo", b.sayOnce("correct horse\n"))
	before, err := os.ReadFile(b.file("demo"))
	if err != nil {
		t.Fatal(err)
	}
	b.rotate("demo")
	for range 2 {
		b.endAgent()
		b.startAgent()
		b.rotate("demo") // it was not unloaded, so it is back
		b.mustDebian(b.socket(), "oidc-add", "-r", "demo")
		b.mustDebian(b.socket(), "oidc-add", "demo", "--pw-file="+b.sayOnce("correct horse\n"))
		b.rotate("demo")
		b.must("self", "keystore", "rekey", "--passphrase-file", b.path("passphrase"))
		b.must("self", "keystore", "check", "--passphrase-file", b.path("passphrase"))
	}
	after, err := os.ReadFile(b.file("demo"))
	if err != nil || string(before) != string(after) {
		t.Errorf("the file was written, so this showed nothing: %v", err)
	}
}

// TestThereAndBack: a directory of Debian's is imported in one command, its login rotates in our keystore, and the export
// of it loads in Debian's agent.
func TestThereAndBack(t *testing.T) {
	b := newBeside(t)
	b.startReal()
	b.realGen(b.realSocket(), "demo", b.path("password"))
	b.endReal()
	b.must("self", "keystore", "create", "--passphrase-file", b.path("passphrase"))
	got := b.must("self", "keystore", "import", "--passphrase-file", b.path("passphrase"), "--pw-file", b.path("password"))
	if !strings.Contains(got, "demo  imported") {
		t.Errorf("import said %q", got)
	}
	if err := os.RemoveAll(b.path("home/.config/oidc-agent")); err != nil {
		t.Fatal(err)
	}
	b.startAgent()
	b.rotate("demo")
	b.must("self", "keystore", "export", "demo", "--pw-file", b.path("password"), "--dir", b.path("home/.config/oidc-agent"))
	b.endAgent()

	b.startReal()
	b.mustDebian(b.realSocket(), "oidc-add", "demo", "--pw-file="+b.path("password"))
	if tok := b.mustDebian(b.realSocket(), "oidc-token", "-f", "demo"); strings.Count(tok, ".") != 2 {
		t.Errorf("no token: %q", tok)
	}
	if out := b.mustDebian(b.realSocket(), "oidc-gen", "-p", "demo", "--pw-file="+b.path("password")); !strings.Contains(out, "web-secret") {
		t.Errorf("Debian's oidc-gen -p said %q", out)
	}
}
