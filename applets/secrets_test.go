package applets

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Words planted as secrets. None may come out anywhere.
const (
	plantedPassphrase = "PLANTED-passphrase-7d1c"
	plantedRT         = "PLANTED-refresh-token-9a44"
	plantedSecret     = "PLANTED-client-secret-03be"
	plantedPassword   = "PLANTED-file-password-55f0"
	plantedToken      = "eyJhbGciOiJSUzI1NiJ9.UExBTlRFRC10b2tlbi1jbGFpbXM.UExBTlRFRC10b2tlbi1zaWduYXR1cmU"
	wrongPassphrase   = "PLANTED-wrong-passphrase-1b2e"
)

func planted() []string {
	return []string{plantedPassphrase, plantedRT, plantedSecret, plantedPassword, plantedToken, wrongPassphrase}
}

// TestNoSecretComesOut runs commands that fail, with secrets in all their inputs, and looks for these in everything
// that is printed, logged or written, and in the arguments and environment of every process on the way.
func TestNoSecretComesOut(t *testing.T) {
	h := newHouse(t)
	h.write("passphrase", plantedPassphrase+"\n")
	h.write("in-rt", plantedRT+"\n")
	h.write("in-secret", plantedSecret+"\n")
	h.write("in-password", plantedPassword+"\n")
	h.write("in-wrong", wrongPassphrase+"\n")
	h.write("in-token", plantedToken+"\n")
	stop := watchProcesses(t, h)
	h.must("self", "keystore", "create", "--passphrase-file", h.path("passphrase"))
	h.startLockedAgent("--debug", "--log-stderr")

	gen := []string{"gen", "x", "--issuer", h.issuer, "--prompt", "none", "--no-url-call", "--client-id", "native"}
	var said strings.Builder
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"wrong passphrase", 4, []string{"add", "--unlock", "--passphrase-file", h.path("in-wrong")}},
		{"right passphrase", 0, []string{"add", "--unlock", "--passphrase-file", h.path("passphrase")}},
		{"refresh token the provider does not know", 6, append(gen, "--flow", "refresh", "--rt-file", h.path("in-rt"))},
		{"client the provider does not know", 1, []string{
			"gen", "x", "--issuer", h.issuer, "--prompt", "none", "--client-id", "nobody",
			"--client-secret-file", h.path("in-secret"), "--flow", "refresh", "--rt-file", h.path("in-rt"),
		}},
		{"token of an unknown login", 3, []string{"token", "nosuch"}},
		{"garbage as a token to verify", 1, []string{
			"verifier", "token", "--issuer", h.issuer, "--audience", "https://a.example", "--token-file", h.path("in-token"),
		}},
		{"token in argv by mistake", 2, []string{"verifier", "token", "--issuer", h.issuer, "--audience", "x", plantedToken}},
		{"account file with a password", 3, []string{"add", "nosuch", "--pw-file", h.path("in-password")}},
	} {
		o := h.run(c.args...)
		said.WriteString(o.out + o.errOut)
		if o.code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", c.name, o.code, c.code, o.out, o.errOut)
		}
		if c.code != 0 && o.errOut == "" {
			t.Errorf("%s: nothing said", c.name)
		}
	}
	h.gen("real")
	h.must("token", "real")
	noCoreFile(t, h)
	h.endAgent()
	o := h.run("agent", "--console", "--socket-path", h.socket(), "--passphrase-file", h.path("in-wrong"))
	said.WriteString(o.out + o.errOut)
	if o.code != 4 {
		t.Errorf("agent with a wrong passphrase: exit code %d\n%s", o.code, o.errOut)
	}
	stop()
	search(t, "the output", []byte(said.String()))
	searchFiles(t, h.dir)
}

// watchProcesses looks at the arguments and the environment of every process that lives in the house's home, as another
// program of the machine could, until stop is called.
func watchProcesses(t *testing.T, h *house) (stop func()) {
	t.Helper()
	done, seen := make(chan struct{}), map[string]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			for _, d := range dirs {
				args, _ := os.ReadFile(d + "/cmdline")
				environ, _ := os.ReadFile(d + "/environ")
				if !bytes.Contains(args, []byte(h.bin)) && !bytes.Contains(environ, []byte(h.dir)) {
					continue
				}
				if bytes.Contains(args, []byte("verifier")) && bytes.Contains(args, []byte(plantedToken)) {
					continue // the test itself put it there
				}
				for _, word := range planted() {
					if (bytes.Contains(args, []byte(word)) || bytes.Contains(environ, []byte(word))) && !seen[word] {
						seen[word] = true
						t.Errorf("%s is visible in %s: %q", word, d, args)
					}
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func search(t *testing.T, where string, b []byte) {
	t.Helper()
	for _, word := range planted() {
		if bytes.Contains(b, []byte(word)) {
			t.Errorf("%s is in %s", word, where)
		}
	}
}

// searchFiles reads every file that is no input of the test.
func searchFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "in-") || d.Name() == "passphrase" {
			return err
		}
		if d.Name() == "core" || strings.HasPrefix(d.Name(), "core.") {
			t.Errorf("a core file: %s", path)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		search(t, path, b)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// noCoreFile looks at the running agent's limit, which is hard: nobody can raise it again.
func noCoreFile(t *testing.T, h *house) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", h.agent.Process.Pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); f[0] != "0" || f[1] != "0" {
				t.Errorf("the agent may dump core: %s", line)
			}
			return
		}
	}
	t.Error("no limit of core files found")
}
