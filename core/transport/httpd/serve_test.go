package httpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// start serves h until the test ends and returns the address, a function that stops it, and what Serve returned.
func start(t *testing.T, h http.Handler, o Options) (addr string, stop func(), done <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, ln, h, o) }()
	t.Cleanup(cancel)
	return ln.Addr().String(), cancel, result
}

func await(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("the server does not end")
		return nil
	}
}

func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	addr, stop, done := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		if r.Context().Err() != nil {
			t.Error("the request's context ended with the server's")
		}
		_, _ = io.WriteString(w, "done")
	}), Options{})
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got <- string(b)
	}()
	<-begun
	stop()
	close(finish)
	if s := <-got; s != "done" {
		t.Errorf("client got %q", s)
	}
	if err := await(t, done); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsWhatTakesTooLong(t *testing.T) {
	begun := make(chan struct{})
	addr, stop, done := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}), Options{Grace: 20 * time.Millisecond})
	go func() {
		if resp, err := http.Get("http://" + addr); err == nil {
			resp.Body.Close()
		}
	}()
	<-begun
	stop()
	if err := await(t, done); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeReportsALostListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(context.Background(), ln, http.NotFoundHandler(), Options{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

func TestServeLimits(t *testing.T) {
	addr, _, _ := start(t, Handle(nil, func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(w, r.Body)
		return err
	}), Options{})

	t.Run("body", func(t *testing.T) {
		for size, want := range map[int]int{1 << 20: 200, 1<<20 + 1: 413} {
			addr, _, _ := start(t, Handle(nil, func(_ http.ResponseWriter, r *http.Request) error {
				_, err := io.ReadAll(r.Body)
				return err
			}), Options{})
			resp, err := http.Post("http://"+addr, "text/plain", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d bytes: %d, want %d", size, resp.StatusCode, want)
			}
		}
	})
	t.Run("header", func(t *testing.T) {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X", strings.Repeat("x", 64<<10))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("header of 64 KiB: %d", resp.StatusCode)
		}
	})
}

func TestServeBoundsConnections(t *testing.T) {
	h := Handle(nil, func(http.ResponseWriter, *http.Request) error { return nil })
	addr, _, _ := start(t, h, Options{MaxConns: 1})
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Timeout: 100 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := hc.Get("http://" + addr); err == nil {
		resp.Body.Close()
		t.Fatal("a second connection was served beside the first")
	}
	silent.Close()
	hc.Timeout = 5 * time.Second
	resp, err := hc.Get("http://" + addr)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	resp.Body.Close()
}

// TestServeMaxHeader: a server for long tokens takes long headers, every other one does not.
func TestServeMaxHeader(t *testing.T) {
	for _, c := range []struct{ limit, size, want int }{
		{0, 30 << 10, http.StatusOK},
		{0, 48 << 10, http.StatusRequestHeaderFieldsTooLarge},
		{96 << 10, 90 << 10, http.StatusOK},
		{96 << 10, 120 << 10, http.StatusRequestHeaderFieldsTooLarge},
	} {
		addr, stop, done := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Options{MaxHeader: c.limit})
		req, err := http.NewRequest(http.MethodGet, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", strings.Repeat("a", c.size))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("limit %d, header %d: %d, want %d", c.limit, c.size, resp.StatusCode, c.want)
		}
		stop()
		_ = await(t, done)
	}
}
