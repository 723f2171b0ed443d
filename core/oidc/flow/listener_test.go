package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

const state = "the-right-state"

// waiting is a listener in the middle of a Wait.
type waiting struct {
	*flow.Listener
	result chan result
}

type result struct {
	query url.Values
	err   error
}

func wait(t *testing.T, ctx context.Context, uri string) waiting {
	t.Helper()
	l, err := flow.Listen([]string{uri})
	if err != nil {
		t.Fatal(err)
	}
	w := waiting{l, make(chan result, 1)}
	go func() {
		q, err := l.Wait(ctx, state)
		w.result <- result{q, err}
	}()
	t.Cleanup(l.Close)
	return w
}

func (w waiting) get(t *testing.T) result {
	t.Helper()
	select {
	case r := <-w.result:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
		return result{}
	}
}

// send makes one request without reusing connections.
func send(t *testing.T, method, target string) (int, string) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestListenerTakesTheRightRedirectOnly(t *testing.T) {
	w := wait(t, t.Context(), "http://localhost:0/cb")
	uri := w.RedirectURI()
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "?code=x&state=wrong", 400},
		{"GET", "?code=x", 400},
		{"GET", "?code=x&state=", 400},
		{"GET", "?code=x&state=" + state + "&state=" + state, 400},
		{"GET", "?code=%zz&state=" + state, 400},
		{"POST", "?code=x&state=" + state, 405},
		{"HEAD", "?code=x&state=" + state, 405},
		{"GET", "/other?code=x&state=" + state, 404},
		{"GET", "/../?code=x&state=" + state, 404},
	} {
		if got, _ := send(t, tt.method, uri+tt.path); got != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, got, tt.status)
		}
	}
	select {
	case r := <-w.result:
		t.Fatalf("a foreign request ended the wait: %v", r)
	default:
	}
	status, body := send(t, "GET", uri+"?code=c&state="+state+"&iss=i")
	r := w.get(t)
	if status != 200 || !strings.Contains(body, "close this window") {
		t.Errorf("page: %d %s", status, body)
	}
	if r.err != nil || r.query.Get("code") != "c" || r.query.Get("iss") != "i" {
		t.Fatalf("got %v, %v", r.query, r.err)
	}
	if _, err := net.DialTimeout("tcp", hostOf(t, uri), time.Second); err == nil {
		t.Fatal("it still listens")
	}
}

func hostOf(t *testing.T, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + u.Port()
}

func TestListenerShowsRefusalsHarmlessly(t *testing.T) {
	w := wait(t, t.Context(), "http://127.0.0.1:0")
	text := url.QueryEscape("<script>alert(1)</script>\x1b[2J")
	status, body := send(t, "GET", w.RedirectURI()+"/?error=access_denied&error_description="+text+"&state="+state)
	if status != 400 || strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") ||
		strings.Contains(body, "\x1b") {
		t.Fatalf("%d %s", status, body)
	}
	if r := w.get(t); r.query.Get("error") != "access_denied" {
		t.Fatalf("%v", r)
	}
}

func TestListenerHeaders(t *testing.T) {
	w := wait(t, t.Context(), "http://127.0.0.1:0/")
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Get(w.RedirectURI() + "?code=c&state=" + state)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	w.get(t)
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s %q", name, got)
		}
	}
}

// TestListenerSurvivesHostileNeighbours: connections that say nothing, or too much, do not keep the browser out.
func TestListenerSurvivesHostileNeighbours(t *testing.T) {
	w := wait(t, t.Context(), "http://127.0.0.1:0/")
	addr := hostOf(t, w.RedirectURI())
	for i := range 40 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX: ")
		}
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.Copy(c, io.LimitReader(endless{}, 1<<20)) }()
	answer, _ := io.ReadAll(io.LimitReader(c, 1<<10))
	if len(answer) > 0 && !strings.Contains(string(answer), "431") && !strings.Contains(string(answer), "400") {
		t.Errorf("endless header: %q", answer)
	}
	if status, _ := send(t, "GET", w.RedirectURI()+"?code=c&state="+state); status != 200 {
		t.Fatal(status)
	}
	start := time.Now()
	if r := w.get(t); r.err != nil || time.Since(start) > time.Second {
		t.Fatalf("%v after %v", r.err, time.Since(start))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), nil
}

func TestListenerEnds(t *testing.T) {
	t.Run("with_its_context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := wait(t, ctx, "http://localhost:0")
		cancel()
		if r := w.get(t); !errors.Is(r.err, context.Canceled) {
			t.Fatal(r.err)
		}
	})
	t.Run("with_Close", func(t *testing.T) {
		w := wait(t, t.Context(), "http://localhost:0")
		w.Close()
		if r := w.get(t); !errors.Is(r.err, net.ErrClosed) {
			t.Fatal(r.err)
		}
		w.Close()
	})
	t.Run("at_once_without_a_state", func(t *testing.T) {
		l, err := flow.Listen([]string{"http://localhost:0"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Wait(t.Context(), ""); !errors.Is(err, flow.ErrState) {
			t.Fatal(err)
		}
	})
}

func TestListenPorts(t *testing.T) {
	hasIPv6 := func() bool {
		ln, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			return false
		}
		ln.Close()
		return true
	}()
	free := func(t *testing.T) int {
		t.Helper()
		l, err := flow.Listen([]string{"http://localhost:0"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, _ := url.Parse(l.RedirectURI())
		var port int
		_, _ = fmt.Sscan(u.Port(), &port)
		return port
	}
	for _, family := range []string{"127.0.0.1", "[::1]"} {
		t.Run("taken_on_"+family+"_is_taken", func(t *testing.T) {
			if family == "[::1]" && !hasIPv6 {
				t.Skip("no IPv6 here")
			}
			squat, err := net.Listen("tcp", family+":0")
			if err != nil {
				t.Fatal(err)
			}
			defer squat.Close()
			taken := fmt.Sprintf("http://localhost:%d", squat.Addr().(*net.TCPAddr).Port)
			next := fmt.Sprintf("http://localhost:%d/", free(t))
			l, err := flow.Listen([]string{taken, next})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.RedirectURI() != next {
				t.Fatalf("bound %s", l.RedirectURI())
			}
			if _, err := flow.Listen([]string{taken}); !errors.Is(err, flow.ErrListen) {
				t.Fatalf("alone: %v", err)
			}
		})
	}
	t.Run("both_families_answer", func(t *testing.T) {
		w := wait(t, t.Context(), "http://localhost:0/")
		u, _ := url.Parse(w.RedirectURI())
		hosts := []string{"127.0.0.1:" + u.Port()}
		if hasIPv6 {
			hosts = append(hosts, "[::1]:"+u.Port())
		}
		for _, h := range hosts {
			if status, _ := send(t, "GET", "http://"+h+"/?state=x"); status != 400 {
				t.Errorf("%s: %d", h, status)
			}
		}
	})
	t.Run("only_loopback", func(t *testing.T) {
		for _, uri := range []string{
			"http://0.0.0.0:0", "http://example.org:0", "https://localhost:0", "edu.kit.data.oidc-agent:/redirect",
			"http://localhost.evil.example:0", "http://localhost:0/?x=y", "http://localhost:99999", "http://[::]:0", "://",
		} {
			if l, err := flow.Listen([]string{uri}); !errors.Is(err, flow.ErrListen) {
				t.Errorf("%s: %v %v", uri, l, err)
			}
		}
		if _, err := flow.Listen(nil); !errors.Is(err, flow.ErrListen) {
			t.Error(err)
		}
	})
}
