package applets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// libraryClients builds the programs of testdata/compat once and returns where they are: c-client with Debian's
// liboidc-agent, go-client with the Go library, a module of its own.
var libraryClients = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oidcbox-test-")
	if err != nil {
		return "", err
	}
	source := filepath.Join("..", "testdata", "compat")
	cc := exec.Command("cc", "-Wall", "-O1", "-o", filepath.Join(dir, "c-client"),
		filepath.Join(source, "c", "client.c"), "-loidc-agent")
	if out, err := cc.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cc: %w: %s", err, out)
	}
	return dir, buildGoClient(dir)
})

func buildGoClient(dir string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "go-client"), ".")
	cmd.Dir = filepath.Join("..", "testdata", "compat", "go")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// TestCompatSizes: the Go library reads pieces of 4096 bytes until one is short. After a last piece that is full it
// takes the end of the connection for an error, so no answer may have such a size. Length, nonce, two colons and base64
// come to two more than a multiple of four for every text of 1 000 to 9 999 bytes; a line end after them would not.
func TestCompatSizes(t *testing.T) {
	services.Need(t, "go")
	dir := t.TempDir()
	if err := buildGoClient(dir); err != nil {
		services.Missing(t, "the Go library's client cannot be built: "+err.Error())
	}
	var length atomic.Int64
	socket := serveProto(t, func(context.Context, sock.Peer, proto.Request) proto.Reply {
		list := []string{strings.Repeat("n", int(length.Load()))} // the answer grows by a byte with each
		return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(list)}
	})
	for _, around := range []int{4096, 8192} {
		// base64 of nonce and cipher: three bytes more of text are four more on the wire
		middle := (around-60)/4*3 - 40
		for n := middle - 16; n < middle+16; n++ {
			length.Store(int64(n))
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "go-client"), "loaded")
			cmd.Env = []string{"OIDC_SOCK=" + socket}
			if out, err := cmd.Output(); err != nil || string(out) != "GetLoadedAccounts: 1\n" {
				t.Errorf("an answer with %d bytes more: %v: %s", n, err, out)
			}
		}
	}
}

// TestCompatRefused: once keys were exchanged the Go library decrypts whatever comes, and an answer in the clear makes it
// panic or speak of base64. So a request that is refused for its size is refused in cipher.
func TestCompatRefused(t *testing.T) {
	services.Need(t, "go")
	dir := t.TempDir()
	if err := buildGoClient(dir); err != nil {
		services.Missing(t, "the Go library's client cannot be built: "+err.Error())
	}
	socket := serveProto(t, func(context.Context, sock.Peer, proto.Request) proto.Reply { return proto.Success("") })
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "go-client"), "big", strconv.Itoa(proto.MaxRequest))
	cmd.Env = []string{"OIDC_SOCK=" + socket}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "GetAccessToken: the agent's error: oidc-agent error: Bad Request: ") {
		t.Errorf("a request that is too long: %v: %.400s", err, out)
	}
}

// serveProto answers requests on a socket in this process until the test ends.
func serveProto(t *testing.T, answer proto.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "proto") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proto.Serve(ctx, ln, answer, proto.ServeOptions{}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return path
}
