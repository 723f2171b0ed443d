//go:build unix

package self

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/cli"
)

const ttyEnv = "OIDCBOX_TEST_TTY"

// TestMain lets the test binary play the program at a terminal.
func TestMain(m *testing.M) {
	if os.Getenv(ttyEnv) != "" {
		env := cli.OS()
		os.Exit(cli.Run(context.Background(), env, cli.Grammar{Name: "oidcbox self"}, &careCmd{}, env.Args[1:]))
	}
	os.Exit(m.Run())
}

// atTerminal runs a command at a terminal of its own and types an answer at each prompt.
func (h *home) atTerminal(args []string, dialogue ...[2]string) outcome {
	h.t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		h.t.Skipf("no pseudo terminals here: %v", err)
	}
	defer func() { _ = ptmx.Close() }()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"keystore"}, args...)...)
	cmd.Env = []string{ttyEnv + "=1"}
	for k, v := range h.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = h.dir, tty, &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	_ = tty.Close()
	seen := ""
	for _, d := range dialogue {
		seen += h.await(ptmx, d[0])
		if _, err := io.WriteString(ptmx, d[1]+"\r"); err != nil {
			h.t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if strings.Contains(seen, "correct horse") {
		h.t.Errorf("the terminal showed the passphrase: %q", seen)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (h *home) await(ptmx *os.File, prompt string) string {
	h.t.Helper()
	_ = ptmx.SetReadDeadline(time.Now().Add(30 * time.Second))
	var seen strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(seen.String(), prompt) {
		if _, err := ptmx.Read(one); err != nil {
			h.t.Fatalf("waiting for %q, saw %q: %v", prompt, seen.String(), err)
		}
		seen.Write(one)
	}
	return seen.String()
}

func TestKeystoreAtATerminal(t *testing.T) {
	h := newHome(t)
	ask := fmt.Sprintf("passphrase of %s: ", h.keystore())
	first, again := [2]string{"new passphrase: ", "correct horse"}, [2]string{"the same again: ", "correct horse"}

	if o := h.atTerminal([]string{"create"}, first, [2]string{again[0], "correct hose"}); o.code != cli.No ||
		!strings.Contains(o.stderr, "differ") {
		t.Fatalf("%+v", o)
	}
	if _, err := os.Stat(h.keystore()); err == nil {
		t.Error("a keystore was made all the same")
	}
	if o := h.atTerminal([]string{"create"}, first, again); o.code != cli.OK {
		t.Fatalf("%+v", o)
	}
	if o := h.atTerminal([]string{"check"}, [2]string{ask, "correct horse"}); o.code != cli.OK ||
		!strings.Contains(o.stdout, "sound") {
		t.Errorf("%+v", o)
	}
	if o := h.atTerminal([]string{"check"}, [2]string{ask, "wrong"}); o.code != cli.Denied {
		t.Errorf("%+v", o)
	}
	if o := h.atTerminal([]string{"check"}, [2]string{ask, "\x03"}); o.code != cli.No ||
		!strings.Contains(o.stderr, "interrupted") {
		t.Errorf("%+v", o)
	}
	if o := h.atTerminal([]string{"rekey"}, [2]string{ask, "correct horse"}); o.code != cli.OK {
		t.Errorf("%+v", o)
	}
	h.must("check", "--passphrase-file", h.file("pass", "correct horse\n"))
}
