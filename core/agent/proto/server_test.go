package proto

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// fake answers as an agent would, without tokens of anybody.
func fake(_ context.Context, _ sock.Peer, r Request) Reply {
	switch r.Type {
	case TypeCheck:
		return Success("")
	case TypeAccessToken:
		if r.Account == "absent" {
			return Failure(TextNotConfigured, "")
		}
		return Reply{
			Status: StatusSuccess, AccessToken: secret.FromString("at-" + r.Account + r.Issuer),
			Issuer: "https://op.example.org", ExpiresAt: 1795288013,
		}
	case TypeLoadedAccounts:
		return Reply{Status: StatusSuccess, Info: InfoValue([]string{"acc", "other"})}
	case TypeScopes:
		return Success(strings.Repeat("x", len(r.Issuer)))
	case TypeStatus:
		panic("a secret")
	}
	return Failure(TextUnknownType, "")
}

// start serves h at a socket until the test ends.
func start(t testing.TB, o ServeOptions, h HandlerFunc) string {
	t.Helper()
	path := socketPath(t)
	serve(t, path, o, h)
	return path
}

// socketPath is a place for a socket, short enough for one.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "proto")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func serveAt(t testing.TB, path string) {
	t.Helper()
	serve(t, path, ServeOptions{}, fake)
}

func serve(t testing.TB, path string, o ServeOptions, h HandlerFunc) {
	t.Helper()
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, h, o) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Serve did not end")
		}
	})
}

func dial(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := sock.Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UnixConn)
}

// ask sends text as it is and returns all that comes back.
func ask(t testing.TB, path, text string) string {
	t.Helper()
	c := dial(t, path)
	_, _ = c.Write([]byte(text))
	return readAll(t, c)
}

func readAll(t testing.TB, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil && !hungUp(err) {
		t.Errorf("after %q: %v", b, err)
	}
	return string(b)
}

func TestServePlain(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	for in, want := range map[string]string{
		`{"request":"check"}`:                  `{"status":"success"}`,
		" {\"request\":\"check\"}\n":           `{"status":"success"}`,
		`{"request":"nonsense"}`:               `{"status":"failure","error":"Bad Request: Unknown request type."}`,
		`{}`:                                   `{"status":"failure","error":"Bad Request: No request type."}`,
		`{"request":"check","request":"lock"}`: `{"status":"failure","error":"could not parse json"}`,
		`{"request":"check"} x`:                `{"status":"failure","error":"could not parse json"}`,
		`{"request":"check","account":{}}`:     `{"status":"failure","error":"Bad Request: account is not a string"}`,
		"GET / HTTP/1.1\r\n":                   `{"status":"failure","error":"could not parse json"}`,
		`[]`:                                   `{"status":"failure","error":"could not parse json"}`,
		`{"request":"loaded_accounts"}`:        `{"status":"success","info":["acc","other"]}`,
		`{"request":"status"}`:                 `{"status":"failure","error":"internal error"}`,
		`{"request":"access_token","account":"acc"}`: `{"status":"success","access_token":"at-acc",` +
			`"issuer":"https://op.example.org","expires_at":1795288013}`,
	} {
		if got := ask(t, path, in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestServeHalfClosed(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	for in, want := range map[string]string{
		`{"request":"check"}`: `{"status":"success"}`,
		`{"request":"check"`:  `{"status":"failure","error":"could not parse json"}`,
		`pOCSkrZRwni5`:        `{"status":"failure","error":"could not parse json"}`,
		``:                    ``,
	} {
		c := dial(t, path)
		_, _ = c.Write([]byte(in))
		_ = c.CloseWrite()
		if got := readAll(t, c); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestServeByteByByte(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	c := dial(t, path)
	for _, b := range []byte(`{"request":"check"}`) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, c); got != `{"status":"success"}` {
		t.Errorf("got %q", got)
	}
}

func TestServeSizes(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	large := strings.Repeat("x", 100<<10)
	for _, c := range []Client{{Path: path}, {Path: path, Plain: true}} {
		r, err := c.Call(t.Context(), Request{Type: TypeScopes, Issuer: large})
		if err != nil || r.Info.Text() != large {
			t.Errorf("plain %v: %d bytes, %v", c.Plain, len(r.Info), err)
		}
		r, err = c.Call(t.Context(), Request{Type: TypeScopes, Issuer: strings.Repeat("x", 200<<10)})
		if err != nil || r.Error != "internal error" {
			t.Errorf("an answer above the bound: %d bytes, %q, %v", len(r.Info), r.Error, err)
		}
		_, err = c.Call(t.Context(), Request{Type: TypeScopes, Issuer: strings.Repeat("x", MaxRequest)})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("client sends what no agent takes: %v", err)
		}
	}
	got := ask(t, path, `{"x":"`+strings.Repeat("x", MaxRequest))
	if got != `{"status":"failure","error":"Bad Request: message is too large"}` {
		t.Errorf("got %.100q", got)
	}
}

func TestServeBadCipherIsAnsweredInPlainText(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	for name, msg := range map[string]string{
		"garbage":     "this is no cipher text, and longer than any beginning of one could be",
		"other nonce": "19:" + strings.Repeat("A", nonceLen) + vecRequest[35:],
	} {
		c := dial(t, path)
		_, _ = c.Write([]byte(vecClientKey))
		if n, err := io.ReadFull(c, make([]byte, keyLen)); err != nil {
			t.Fatal(n, err)
		}
		_, _ = c.Write([]byte(msg))
		if got := readAll(t, c); got != `{"status":"failure","error":"could not parse json"}` {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestServeBadKeys(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	const refusal = `{"status":"failure","error":"could not parse json"}`
	if got := ask(t, path, vecClientKey[:43]+"A"); got != refusal {
		t.Errorf("no key: %q", got)
	}
	lowOrder := base64.StdEncoding.EncodeToString(make([]byte, 32))
	if got := ask(t, path, lowOrder); !strings.HasSuffix(got, refusal) {
		t.Errorf("a point of low order: %q", got)
	}
}

func TestServeEncryptedErrorsAreEncrypted(t *testing.T) {
	path := start(t, ServeOptions{}, fake)
	for text, want := range map[string]string{
		`{"request":"nonsense"}`: `{"status":"failure","error":"Bad Request: Unknown request type."}`,
		`[1]`:                    `{"status":"failure","error":"could not parse json"}`,
		`{"request":"check"}`:    `{"status":"success"}`,
	} {
		c := dial(t, path)
		own := fixedKey(t, 1)
		_, _ = c.Write(publicText(own))
		in := &inbox{r: c, max: maxAnswer}
		key, err := in.peerKey()
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSession(own, key)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(s.seal([]byte(text)))
		got, err := in.sealed(s)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestServeTimes(t *testing.T) {
	path := start(t, ServeOptions{Silent: 50 * time.Millisecond, Partial: 50 * time.Millisecond}, fake)
	for in, want := range map[string]string{
		"":                    "",
		" ":                   "",
		"x":                   `{"status":"failure","error":"Bad Request: the request did not end"}`,
		`{"request":`:         `{"status":"failure","error":"Bad Request: the request did not end"}`,
		vecClientKey[:43]:     `{"status":"failure","error":"Bad Request: the request did not end"}`,
		`{"request":"check"}`: `{"status":"success"}`,
	} {
		if got := ask(t, path, in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestServeFlood(t *testing.T) {
	const places = 16
	path := start(t, ServeOptions{MaxConns: places}, fake)
	var silent []*net.UnixConn
	for range 4 * places {
		c := dial(t, path)
		_, _ = c.Write([]byte("x")) // what blocks the original for everybody
		silent = append(silent, c)
	}
	if r, err := (Client{Path: path}).Call(t.Context(), Request{Type: TypeCheck}); err != nil || r.Err() != nil {
		t.Fatalf("nobody else is served: %v, %v", r.Err(), err)
	}
	// The oldest were closed for the newer ones.
	if got := readAll(t, silent[0]); got != "" {
		t.Errorf("the oldest got %q", got)
	}
}

func TestServeAllBusy(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 8)
	path := start(t, ServeOptions{MaxConns: 2}, func(context.Context, sock.Peer, Request) Reply {
		entered <- struct{}{}
		<-release
		return Success("")
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			r, err := (Client{Path: path, Plain: true}).Call(t.Context(), Request{Type: TypeCheck})
			if err != nil || r.Err() != nil {
				t.Errorf("a request that ran was given up: %v, %v", r.Err(), err)
			}
		})
		<-entered
	}
	if got := ask(t, path, ""); got != `{"status":"failure","error":"`+TextBusy+`"}` {
		t.Errorf("got %q", got)
	}
	close(release)
	wg.Wait()
}

func TestServeEndsWithContext(t *testing.T) {
	dir := t.TempDir()
	ln, err := sock.Listen(filepath.Join(dir, "s"), sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	entered := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, ln, HandlerFunc(func(ctx context.Context, _ sock.Peer, _ Request) Reply {
			close(entered)
			<-ctx.Done()
			return Success("stopped")
		}), ServeOptions{})
	}()
	path := filepath.Join(dir, "s")
	silent, asking := dial(t, path), dial(t, path)
	_, _ = asking.Write([]byte(`{"request":"check"}`))
	<-entered
	cancel()
	if got := readAll(t, asking); got != `{"status":"success","info":"stopped"}` {
		t.Errorf("a request that ran got %q", got)
	}
	if got := readAll(t, silent); got != "" {
		t.Errorf("a silent client got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestServeRefusesOthers(t *testing.T) {
	var log strings.Builder
	path := start(t, ServeOptions{
		Allow: func(sock.Peer) bool { return false },
		Log:   slog.New(slog.NewTextHandler(&log, nil)),
	}, fake)
	if got := ask(t, path, `{"request":"check"}`); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestServePanicStaysQuiet(t *testing.T) {
	var log lockedBuilder
	path := start(t, ServeOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}, fake)
	_ = ask(t, path, `{"request":"status"}`)
	if s := log.String(); strings.Contains(s, "a secret") || !strings.Contains(s, "handler panicked") {
		t.Errorf("log is %s", s)
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestServeWipes(t *testing.T) {
	asked := make(chan Request, 1)
	cached := secret.FromString("at")
	path := start(t, ServeOptions{}, func(_ context.Context, _ sock.Peer, r Request) Reply {
		asked <- r
		return Reply{Status: StatusSuccess, AccessToken: cached}
	})
	_ = ask(t, path, `{"request":"unlock","password":"hunter2","config":{"a":"b"}}`)
	kept := <-asked
	if !kept.Password.Empty() || !kept.Config.Empty() || !cached.Empty() {
		t.Error("secrets of request or answer are still there")
	}
}

func ExampleClient_Call() {
	c := Client{Path: "/nowhere/agent.sock"}
	_, err := c.Call(context.Background(), Request{Type: TypeAccessToken, Account: "wlcg"})
	fmt.Println(errors.Is(err, ErrNoAgent))
	// Output: true
}
