package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

func listen(t *testing.T) (net.Listener, daemon.Control) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // shorter than t.TempDir: the path of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "control.sock")
	ln, err := sock.Listen(path, sock.ListenOptions{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln, daemon.Control{Path: path}
}

func TestControl(t *testing.T) {
	t.Run("asks and reads", func(t *testing.T) {
		ln, control := listen(t)
		srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(b))
		})}
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(func() { _ = srv.Close() })
		var got string
		err := control.Talk(t.Context(), http.MethodPost, "/v1/x", map[string]int{"n": 1}, func(r *http.Response) error {
			b, err := io.ReadAll(r.Body)
			got = string(b)
			return err
		})
		if err != nil || got != `POST /v1/x {"n":1}` {
			t.Fatalf("%q, %v", got, err)
		}
		if !control.Runs(t.Context()) {
			t.Fatal("nobody is said to be there")
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		control := daemon.Control{Path: filepath.Join(t.TempDir(), "none.sock")}
		if control.Runs(t.Context()) {
			t.Fatal("somebody is said to be there")
		}
		err := control.Talk(t.Context(), http.MethodGet, "/", nil, nil)
		if !errors.Is(err, sock.ErrNobody) {
			t.Fatal(err)
		}
	})
	t.Run("silent daemon is not waited for longer than told", func(t *testing.T) {
		ln, control := listen(t)
		go func() {
			c, err := ln.Accept()
			if err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := control.Talk(ctx, http.MethodGet, "/", nil, func(r *http.Response) error { return json.NewDecoder(r.Body).Decode(new(any)) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}
