//go:build unix

package term

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/oidcbox/oidcbox/core/cli"
)

const childEnv = "OIDCBOX_TEST_ASK"

// TestMain lets the test binary play a program that asks for a password.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(play())
	}
	os.Exit(m.Run())
}

// play says on standard output, which is no terminal, what it got.
func play() int {
	p, err := Password(cli.OS(), "passphrase: ")
	fmt.Printf("%q %v %v\n", p.Expose(), err, errors.Is(err, ErrNoTerminal))
	return 0
}

// start runs play on a new terminal and returns the terminal's other end and what is printed.
func start(t *testing.T) (cmd *exec.Cmd, ptmx, tty *os.File, answer *bufio.Reader) {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = ptmx.Close(); _ = tty.Close() })
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_ = ptmx.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got := readUntil(t, ptmx, "passphrase: "); got != "passphrase: " {
		t.Fatalf("prompt %q", got)
	}
	return cmd, ptmx, tty, bufio.NewReader(out)
}

func readUntil(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var b strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(b.String(), end) {
		if _, err := r.Read(one); err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		b.Write(one)
	}
	return b.String()
}

func flags(t *testing.T, f *os.File) term.State {
	t.Helper()
	s, err := term.GetState(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func TestPasswordAtATerminal(t *testing.T) {
	_, ptmx, tty, answer := start(t)
	if _, err := io.WriteString(ptmx, "hunter2\r"); err != nil {
		t.Fatal(err)
	}
	if line, _ := answer.ReadString('\n'); line != "\"hunter2\" <nil> false\n" {
		t.Errorf("got %s", line)
	}
	// All that was echoed is the end of the line.
	if got := readUntil(t, ptmx, "\n"); strings.Trim(got, "\r\n") != "" {
		t.Errorf("echoed %q", got)
	}
	_ = tty
}

func TestPasswordRestoresTheTerminal(t *testing.T) {
	for name, stop := range map[string]func(*exec.Cmd, *os.File) error{
		"on_sigint":  func(c *exec.Cmd, _ *os.File) error { return c.Process.Signal(os.Interrupt) },
		"on_sigterm": func(c *exec.Cmd, _ *os.File) error { return c.Process.Signal(syscall.SIGTERM) },
		"on_ctrl_c":  func(_ *exec.Cmd, ptmx *os.File) error { _, err := ptmx.Write([]byte{keyInterrupt}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			fresh, freshTTY, err := pty.Open()
			if err != nil {
				t.Skipf("no pseudo terminals here: %v", err)
			}
			want := flags(t, freshTTY)
			_, _ = fresh.Close(), freshTTY.Close()

			cmd, ptmx, tty, answer := start(t)
			if flags(t, tty) == want {
				t.Fatal("the terminal was not switched")
			}
			if err := stop(cmd, ptmx); err != nil {
				t.Fatal(err)
			}
			if line, _ := answer.ReadString('\n'); line != "\"\" interrupted false\n" {
				t.Errorf("got %s", line)
			}
			if flags(t, tty) != want {
				t.Error("the terminal was left changed")
			}
		})
	}
}

func TestPasswordWithoutATerminal(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a new session has no terminal
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out); !strings.HasPrefix(got, "\"\" there is no terminal to ask at: ") ||
		!strings.HasSuffix(got, " true\n") {
		t.Errorf("got %s", got)
	}
}
