package proto

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// promptly answers everything but "scopes" at once, and counts what it was asked.
type promptly struct {
	mu        sync.Mutex
	now, then int
	hold      chan struct{} // "scopes" waits for it
}

func (p *promptly) HandleNow(ctx context.Context, peer sock.Peer, r Request) (Reply, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.Type {
	case TypeScopes, TypeAdd:
		return Reply{}, false
	}
	p.now++
	return fake(ctx, peer, r), true
}

func (p *promptly) Handle(ctx context.Context, peer sock.Peer, r Request) Reply {
	p.mu.Lock()
	p.then++
	p.mu.Unlock()
	if r.Type == TypeScopes && p.hold != nil {
		<-p.hold
	}
	return fake(ctx, peer, r)
}

func (p *promptly) counts() (now, then int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.then
}

func TestLoopAnswersAtOnce(t *testing.T) {
	h := new(promptly)
	path := startHandler(t, ServeOptions{}, h)
	for _, plain := range []bool{true, false} {
		for range 50 {
			call(t, Client{Path: path, Plain: plain})
		}
	}
	if r, err := (Client{Path: path}).Call(t.Context(), Request{Type: TypeStatus}); err != nil || r.Error != "internal error" {
		t.Errorf("a panic: %+v, %v", r, err)
	}
	if now, then := h.counts(); now != 101 || then != 0 {
		t.Errorf("%d answers at once and %d later, want 101 and 0", now, then)
	}
}

// TestLoopIsNotKeptWaiting: requests that take long run beside the loops, whatever comes in pieces waits, and all
// others are answered meanwhile.
func TestLoopIsNotKeptWaiting(t *testing.T) {
	h := &promptly{hold: make(chan struct{})}
	path := startHandler(t, ServeOptions{}, h)
	long := make(chan string, 20)
	for range cap(long) {
		go func() { long <- ask(t, path, `{"request":"scopes","issuer":"xx"}`) }()
	}
	slow := dial(t, path)
	for _, piece := range []string{`{"request":`, `"check"`} {
		_, _ = io.WriteString(slow, piece)
		for range 20 {
			call(t, Client{Path: path})
			call(t, Client{Path: path, Plain: true})
		}
	}
	_, _ = io.WriteString(slow, `}`)
	if got := readAll(t, slow); got != `{"status":"success"}` {
		t.Errorf("in pieces: %s", got)
	}
	close(h.hold)
	for range cap(long) {
		if got := <-long; got != `{"status":"success","info":"xx"}` {
			t.Errorf("a long one: %s", got)
		}
	}
}

// TestLoopLargeAnswer: an answer larger than what the socket takes at once goes out as the client reads.
func TestLoopLargeAnswer(t *testing.T) {
	h := handlerNow(func(Request) Reply {
		return Reply{Status: StatusSuccess, AccessToken: secret.FromString(strings.Repeat("x", MaxReply-200))}
	})
	path := startHandler(t, ServeOptions{}, h)
	c := dial(t, path)
	_, _ = io.WriteString(c, `{"request":"access_token"}`)
	time.Sleep(20 * time.Millisecond)
	if n := len(readAll(t, c)); n < MaxReply-200 {
		t.Errorf("%d bytes", n)
	}
}

type handlerNow func(Request) Reply

func (h handlerNow) Handle(_ context.Context, _ sock.Peer, r Request) Reply { return h(r) }
func (h handlerNow) HandleNow(_ context.Context, _ sock.Peer, r Request) (Reply, bool) {
	return h(r), true
}

// TestLoopEnds: those that wait for their client are closed, soon, when Serve is told to end.
func TestLoopEnds(t *testing.T) {
	path, stop := startStopping(t, new(promptly))
	waiting := dial(t, path)
	partial := dial(t, path)
	_, _ = io.WriteString(partial, `{"request":`)
	call(t, Client{Path: path})
	stop()
	if got := readAll(t, waiting); got != "" {
		t.Errorf("a silent client got %q", got)
	}
	readAll(t, partial)
}

func startHandler(t *testing.T, o ServeOptions, h Handler) string {
	t.Helper()
	path, _ := startWith(t, o, h)
	return path
}

func startStopping(t *testing.T, h Handler) (path string, stop func()) {
	t.Helper()
	return startWith(t, ServeOptions{}, h)
}

// startWith serves h until the test ends, or stop is called and has seen Serve return.
func startWith(t *testing.T, o ServeOptions, h Handler) (path string, stop func()) {
	t.Helper()
	path = socketPath(t)
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, h, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return path, stop
}

// A client that has connected when the agent is told to end is about to ask, and gets its answer.
func TestLastWords(t *testing.T) {
	path, stop := startStopping(t, &promptly{})
	c := dial(t, path)
	ended := make(chan struct{})
	_, _ = io.WriteString(c, "{") // a loop has the connection, or it waits in the queue: then nobody will have it
	time.Sleep(50 * time.Millisecond)
	go func() { defer close(ended); stop() }()
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(c, `"request":"check"}`)
	if got := readAll(t, c); !strings.Contains(got, `"success"`) {
		t.Errorf("got %q", got)
	}
	<-ended
}

// TestLastWordsEnd: who begins to speak when the agent is told to end, and does not go on, keeps it no longer than the
// others do.
func TestLastWordsEnd(t *testing.T) {
	path, stop := startStopping(t, &promptly{})
	c := dial(t, path)
	time.Sleep(50 * time.Millisecond) // a loop has the connection
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(c, "{")
	select {
	case <-ended:
	case <-time.After(defaultPartial / 2):
		t.Error("still there")
		<-ended
	}
}
