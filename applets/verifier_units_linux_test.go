package applets

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestVerifierUnits lets systemd read the units of the machine, with the path of a real binary.
func TestVerifierUnits(t *testing.T) {
	services.Need(t, "systemd-analyze")
	h := bareHouse(t)
	var files []string
	for _, name := range []string{"oidcbox-verifier.service", "oidcbox-verifier.socket"} {
		b, err := os.ReadFile(filepath.Join("..", "packaging", "system", name))
		if err != nil {
			t.Fatal(err)
		}
		h.write(name, strings.ReplaceAll(string(b), "/usr/bin/oidcbox", h.bin))
		files = append(files, h.path(name))
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, files...)...)
	if said, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
		t.Errorf("%v\n%s", err, said)
	}
}

// TestVerifierServe_activated: systemd's own program makes the socket and starts the daemon with the first client; the
// daemon says when it is ready, when it reads its configuration and when it stops.
func TestVerifierServe_activated(t *testing.T) {
	services.Need(t, "systemd-socket-activate")
	h := bareHouse(t)
	g := &guarded{house: h, op: issuertest.Start(t), base: "http://verifier"}
	g.write("verifier.yaml", fmt.Sprintf(serveConfig, "systemd", g.op.URL, "control: off\n"))
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: h.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	args := []string{"--listen=" + h.path("v.sock")}
	for _, v := range append(h.environ(), "NOTIFY_SOCKET="+h.path("notify")) {
		args = append(args, "-E", v)
	}
	cmd := exec.Command("systemd-socket-activate", append(args, h.bin, "verifier", "serve", "--config", "verifier.yaml")...)
	cmd.Dir = h.dir
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.cmd = cmd
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("it said:\n%s", said.String())
		}
	})
	g.connect()
	state := notifications(t, notify)
	state("READY=1")
	if s := g.ask(g.token(""), "GET", "/f").StatusCode; s != 200 {
		t.Errorf("a good token: %d", s)
	}
	g.signal(syscall.SIGHUP)
	state("RELOADING=1")
	state("READY=1")
	g.write("verifier.yaml", "version: 1\n")
	g.signal(syscall.SIGHUP)
	state("RELOADING=1")
	state("the new one has faults")
	g.signal(syscall.SIGTERM)
	state("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Lstat(h.path("v.sock")); err != nil {
		t.Errorf("the socket of systemd is gone: %v", err)
	}
}

// notifications returns what waits for the next message to a service manager, which has to have some words.
func notifications(t *testing.T, conn *net.UnixConn) func(want string) {
	return func(want string) {
		t.Helper()
		b := make([]byte, 1<<10)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("waiting for %s: %v", want, err)
		}
		if !strings.Contains(string(b[:n]), want) {
			t.Errorf("told %q, want %q", b[:n], want)
		}
	}
}
