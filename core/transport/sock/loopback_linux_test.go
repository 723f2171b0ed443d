package sock

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestDialLoopback(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	for _, place := range []string{"127.0.0.1", "localhost", ln.Addr().String()} {
		c, err := DialLoopback(t.Context(), place, port)
		if err != nil {
			t.Errorf("%s: %v", place, err)
			continue
		}
		c.Close()
	}
	ln.Close()
	if _, err := DialLoopback(t.Context(), "127.0.0.1", port); !errors.Is(err, ErrNobody) {
		t.Errorf("nobody there: %v", err)
	}
	for _, place := range []string{"192.0.2.1:1", "example.org", "0.0.0.0:1", "", "127.0.0.1.example.org:1", "[2001:db8::1]:1"} {
		if _, err := DialLoopback(t.Context(), place, 1); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", place, err)
		}
	}
	for _, place := range []string{"127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:65536"} {
		if _, err := DialLoopback(t.Context(), place, 1); err == nil {
			t.Errorf("%q was taken", place)
		}
	}
}

// TestDialLoopbackForeign: another user who is first at the port is not spoken to.
func TestDialLoopbackForeign(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	cmd := exec.Command("/usr/bin/python3", "-c", "import socket,time\ns=socket.create_server(('127.0.0.1',"+strconv.Itoa(port)+"))\nprint('up',flush=True)\ntime.sleep(30)")
	if _, err := os.Stat(cmd.Path); err != nil {
		t.Skip("no python3 to be somebody else with")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	b := make([]byte, 2)
	if _, err := out.Read(b); err != nil || !strings.HasPrefix("up", string(b)) {
		t.Fatalf("the other one says %q, %v", b, err)
	}
	if _, err := DialLoopback(t.Context(), "localhost", port); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
}
