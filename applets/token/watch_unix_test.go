//go:build unix

package token

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// watched is a watch that runs, with what it tells to a program and to the service manager.
type watched struct {
	t       *testing.T
	events  *bufio.Scanner
	manager *net.UnixConn
	stop    context.CancelFunc
	done    chan int
}

func startWatch(t *testing.T, file string) *watched {
	t.Helper()
	dir, err := os.MkdirTemp("", "watch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	notify := filepath.Join(dir, "n")
	w := &watched{t: t, done: make(chan int, 1)}
	if w.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.manager.Close() })
	vars := map[string]string{"OIDC_SOCK": serve(t), "NOTIFY_SOCKET": notify}
	out, in := io.Pipe()
	w.events = bufio.NewScanner(out)
	var errOut bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: in, Stderr: &errOut,
		Now:    func() time.Time { return time.Unix(expires-100, 0) }, // the clock stands: nothing is due by itself
		Getenv: func(k string) string { return vars[k] },
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		g := cli.Grammar{Name: "oidcbox token", Argp: true}
		w.done <- cli.Run(ctx, env, g, New(), []string{"--watch", file, "--json", "acc"})
		_ = in.Close()
	}()
	return w
}

// next is the next event, and the next state for the manager.
func (w *watched) next() (event, string) {
	w.t.Helper()
	if !w.events.Scan() {
		w.t.Fatal("no event:", w.events.Err())
	}
	var e event
	if err := json.Unmarshal(w.events.Bytes(), &e); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 256)
	if err := w.manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	n, err := w.manager.Read(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return e, string(b[:n])
}

// TestWatchTells: a program hears of every token, the service manager when the first is there; SIGHUP renews at once, and
// an end that was asked for is no failure.
func TestWatchTells(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job")
	w := startWatch(t, file)
	e, state := w.next()
	if e.Event != "stored" || e.File != file || e.Expires != expires || e.Next <= expires-100 || e.Next >= expires {
		t.Errorf("event %+v", e)
	}
	if !strings.HasPrefix(state, "READY=1\nSTATUS=stored") {
		t.Errorf("state %q", state)
	}
	first, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(first), "access_token.acc..60.") {
		t.Errorf("the file holds %q, %v", first, err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if e, _ := w.next(); e.Event != "stored" {
		t.Errorf("event %+v", e)
	}
	// A token that lives longer than the one in the file: 100 s and one more.
	if b, _ := os.ReadFile(file); !strings.HasPrefix(string(b), "access_token.acc..101.") {
		t.Errorf("the file holds %q", b)
	}
	w.stop()
	if e, state := w.next(); e.Event != "stopped" || !strings.HasPrefix(state, "STOPPING=1") {
		t.Errorf("event %+v, state %q", e, state)
	}
	if code := <-w.done; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
