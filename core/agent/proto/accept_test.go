//go:build unix

package proto

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// faultyListener fails as it is told before it accepts.
type faultyListener struct {
	net.Listener
	faults []error
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if len(l.faults) > 0 {
		err := l.faults[0]
		l.faults = l.faults[1:]
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: err}
	}
	return l.Listener.Accept()
}

func TestServeAcceptFaults(t *testing.T) {
	dir, err := os.MkdirTemp("", "accept")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken for good")
	faulty := &faultyListener{Listener: ln, faults: []error{syscall.EMFILE, syscall.ECONNABORTED}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, faulty, HandlerFunc(fake), ServeOptions{}) }()
	if r, err := (Client{Path: path}).Call(t.Context(), Request{Type: TypeCheck}); err != nil || r.Err() != nil {
		t.Errorf("after descriptors had run out: %v, %v", r.Err(), err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if ln, err = sock.Listen(path, sock.ListenOptions{}); err != nil {
		t.Fatal(err)
	}
	err = Serve(t.Context(), &faultyListener{Listener: ln, faults: []error{broken}}, HandlerFunc(fake), ServeOptions{})
	if !errors.Is(err, broken) {
		t.Errorf("a broken listener: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
