package httpc

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// quiet is a server, not yet started, that keeps what clients do wrong to itself.
func quiet(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

func TestGet(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %q %d", r.UserAgent(), r.Header.Get("Accept-Encoding"), len(r.Cookies()))
	})
	c := client(t, Options{UserAgent: "box/1"})
	for range 2 { // the second would bring the cookie back
		resp, err := c.Get(t.Context(), s.URL)
		if err != nil || resp.Status != http.StatusTeapot || string(resp.Body) != `box/1 "" 0` {
			t.Fatalf("%+v, %v", resp, err)
		}
	}
}

func TestPost(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("X-Edit"), b)
	})
	c := client(t, Options{})
	edit := func(r *http.Request) { r.Header.Set("X-Edit", "yes") }
	resp, err := c.PostForm(t.Context(), s.URL, url.Values{"a": {"b c", "&"}}, edit)
	if want := "application/x-www-form-urlencoded application/json yes a=b+c&a=%26"; err != nil ||
		string(resp.Body) != want {
		t.Fatalf("%s, %v", resp.Body, err)
	}
}

// TestLongAnswers: nothing of an answer that is too long is kept, whatever it says about its length.
func TestLongAnswers(t *testing.T) {
	const limit = 1000
	endless := func(w http.ResponseWriter) {
		block := make([]byte, 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	_, _ = zw.Write(make([]byte, 10<<20))
	_ = zw.Close()
	tests := []struct {
		name string
		h    http.HandlerFunc
		want error
	}{
		{"just_fits", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit)) }, nil},
		{
			"one_byte_more", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit+1)) },
			ErrTooLarge,
		},
		{"ten_gigabytes_announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000000000")
			endless(w)
		}, ErrTooLarge},
		{"endless_chunks", func(w http.ResponseWriter, _ *http.Request) { endless(w) }, ErrTooLarge},
		{"gzip_bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, ErrEncoded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.h)
			c := client(t, Options{MaxBody: limit})
			resp, err := c.Get(t.Context(), s.URL)
			if !errors.Is(err, tt.want) || (tt.want == nil) != (resp != nil) {
				t.Fatalf("got %v", err)
			}
			if Temporary(err) || Unsent(err) {
				t.Fatalf("misjudged: %v", err)
			}
		})
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	if resp, err := client(t, Options{}).Get(t.Context(), s.URL); err == nil {
		t.Fatalf("status %d", resp.Status)
	}
}

// TestSlowAnswers: the limit is for the whole request, so that a drip does not extend it.
func TestSlowAnswers(t *testing.T) {
	stop := make(chan struct{})
	tests := map[string]http.HandlerFunc{
		"says_nothing": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for range 1000 {
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-stop:
					return
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t, h)
			c := client(t, Options{Timeout: 300 * time.Millisecond})
			start := time.Now()
			_, err := c.Get(t.Context(), s.URL)
			if !Temporary(err) || Unsent(err) || time.Since(start) > 5*time.Second {
				t.Fatalf("%v after %v", err, time.Since(start))
			}
		})
	}
	close(stop)
}

func TestRedirects(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "there") })
	var to string
	var count int
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		count++
		if to == "loop" {
			http.Redirect(w, r, fmt.Sprintf("/%d", count), http.StatusFound)
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	c := client(t, Options{})
	for _, tt := range []struct {
		name, to string
		requests int
		want     error
	}{
		{"to_another_loopback_port", other.URL, 1, nil},
		{"loop_ends_after_three", "loop", 4, ErrRedirect},
		{"to_a_file", "file:///etc/passwd", 1, ErrRedirect},
		{"to_plain_http_elsewhere", "http://example.org/", 1, ErrRedirect},
		{"to_gopher", "gopher://example.org/", 1, ErrRedirect},
		{"with_a_password", "https://user:pw@example.org/", 1, ErrRedirect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to, count = tt.to, 0
			resp, err := c.Get(t.Context(), s.URL+"/start?code=hidden")
			if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || string(resp.Body) != "there") {
				t.Fatalf("got %v", err)
			}
			if count != tt.requests || Temporary(err) || Unsent(err) {
				t.Fatalf("%d requests, %v", count, err)
			}
			if err != nil && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "pw@")) {
				t.Fatalf("secret in %v", err)
			}
		})
	}
	to = other.URL
	t.Run("POST_stays", func(t *testing.T) {
		for _, status := range []int{302, 303, 307, 308} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
			resp, err := c.PostForm(t.Context(), s.URL, url.Values{"secret": {"x"}}, nil)
			if err != nil || resp.Status != status {
				t.Errorf("%d: %+v, %v", status, resp, err)
			}
		}
	})
	t.Run("GET_with_a_token_stays", func(t *testing.T) {
		req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
		req.Header.Set("Authorization", "Bearer x")
		if resp, err := c.Do(t.Context(), req); err != nil || resp.Status != http.StatusFound {
			t.Fatalf("%+v, %v", resp, err)
		}
	})
	t.Run("none_allowed", func(t *testing.T) {
		if _, err := client(t, Options{MaxRedirects: -1}).Get(t.Context(), s.URL); !errors.Is(err, ErrRedirect) {
			t.Fatal(err)
		}
	})
	t.Run("from_elsewhere_to_this_machine", func(t *testing.T) {
		from, _ := http.NewRequest(http.MethodGet, "https://op.example", nil)
		for _, target := range []string{
			"http://localhost:8080/", "https://127.0.0.1/", "https://[::1]/",
			"https://0.0.0.0/",
		} {
			req, _ := http.NewRequest(http.MethodGet, target, nil)
			if err := c.checkRedirect(req, []*http.Request{from}); !errors.Is(err, ErrRedirect) {
				t.Errorf("%s: %v", target, err)
			}
		}
	})
}

func TestInsecureURLs(t *testing.T) {
	for _, tt := range []struct {
		url   string
		allow bool
		ok    bool
	}{
		{"https://op.example", false, true},
		{"http://op.example", false, false},
		{"http://op.example", true, true},
		{"http://localhost:1", false, true},
		{"http://op.localhost:1", false, true},
		{"http://127.8.9.1", false, true},
		{"http://[::1]:1", false, true},
		{"http://localhost.evil.example", false, false},
		{"http://127.0.0.1.evil.example", false, false},
		{"http://10.0.0.1", false, false},
		{"file:///etc/passwd", true, false},
		{"ftp://op.example", true, false},
		{"//op.example", true, false},
		{"https:", true, false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkURL(u, tt.allow); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrInsecure) {
			t.Errorf("%s (allow %v): %v", tt.url, tt.allow, err)
		}
	}
	c := client(t, Options{})
	for _, target := range []string{"http://op.example/?token=hidden", "file:///etc/passwd", "http://[bad/?token=hidden"} {
		_, err := c.Get(t.Context(), target)
		if !errors.Is(err, ErrInsecure) || !Unsent(err) || Temporary(err) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestFailures(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	half := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	foreign := quiet(http.NotFoundHandler())
	foreign.StartTLS()
	defer foreign.Close()
	for _, tt := range []struct {
		name, url         string
		temporary, unsent bool
	}{
		{"nobody_listens", closed.URL, true, true},
		{"name_does_not_exist", "https://no.such.name.invalid", true, true},
		{"connection_cut", cut.URL, true, false},
		{"answer_cut", half.URL, true, false},
		{"unknown_authority", foreign.URL, false, true},
		{"not_TLS", strings.Replace(half.URL, "http:", "https:", 1), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client(t, Options{}).Get(t.Context(), tt.url+"/?q=hidden")
			if err == nil || Temporary(err) != tt.temporary || Unsent(err) != tt.unsent {
				t.Fatalf("%v: temporary %v, unsent %v", err, Temporary(err), Unsent(err))
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Fatalf("query in %v", err)
			}
		})
	}
	t.Run("cancelled_by_the_caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := client(t, Options{}).Get(ctx, half.URL); !errors.Is(err, context.Canceled) || Temporary(err) {
			t.Fatal(err)
		}
	})
}

func TestCertificates(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w,
			"ok")
	}))
	defer s.Close()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	empty := write("empty.pem", []byte("nothing here"))
	getenv := func(string) string { return ca }
	for name, o := range map[string]Options{
		"CAFile":        {CAFile: ca},
		"SSL_CERT_FILE": {Getenv: func(name string) string { return map[string]string{"SSL_CERT_FILE": ca}[name] }},
	} {
		if resp, err := client(t, o).Get(t.Context(), s.URL); err != nil || string(resp.Body) != "ok" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Options{
		"empty_file":           {CAFile: empty},
		"missing_file":         {CAFile: filepath.Join(dir, "none")},
		"directory":            {CAFile: dir},
		"CAFile_goes_in_front": {CAFile: empty, Getenv: getenv},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	t.Run("old_TLS_is_refused", func(t *testing.T) {
		old := quiet(http.NotFoundHandler())
		old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		old.StartTLS()
		defer old.Close()
		oldCA := write("old.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Certificate().Raw}))
		if _, err := client(t, Options{CAFile: oldCA}).Get(t.Context(), old.URL); !Unsent(err) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestConnections: what may be sent twice shares a connection; what may not has its own, because the server can be
// closing a shared one at that moment.
func TestConnections(t *testing.T) {
	var opened atomic.Int32
	s := quiet(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Idempotency-Key"))
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := client(t, Options{})
	post := func(edit func(*http.Request)) func() (*Response, error) {
		return func() (*Response, error) { return c.PostForm(t.Context(), s.URL, nil, edit) }
	}
	for _, tt := range []struct {
		name string
		send func() (*Response, error)
		want int32
	}{
		{"GET", func() (*Response, error) { return c.Get(t.Context(), s.URL) }, 1},
		{"POST", post(nil), 10},
		{"repeatable_POST", post(Repeatable), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.CloseIdle()
			opened.Store(0)
			for range 10 {
				if resp, err := tt.send(); err != nil || len(resp.Body) > 0 {
					t.Fatalf("%+v, %v", resp, err)
				}
			}
			if n := opened.Load(); n != tt.want {
				t.Fatalf("%d connections for ten requests, want %d", n, tt.want)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		in   string
		want time.Duration
	}{
		{"", 0},
		{"7", 7 * time.Second},
		{" 7 ", 7 * time.Second},
		{"0", 0},
		{"-1", 0},
		{"1.5", 0},
		{"soon", 0},
		{"86400", time.Hour},
		{"99999999999999999999", 0},
		{"Fri, 02 Jan 2026 03:05:05 GMT", time.Minute},
		{"Fri, 02 Jan 2026 03:03:05 GMT", 0},
		{"Fri, 02 Jan 2099 03:03:05 GMT", time.Hour},
	} {
		if got := RetryAfter(http.Header{"Retry-After": {tt.in}}, now); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestTemporaryStatus(t *testing.T) {
	for status, want := range map[int]bool{
		200: false, 302: false, 400: false, 401: false, 404: false, 408: true, 429: true, 500: true, 501: false, 502: true,
		503: true, 504: true, 505: false, 599: true, 600: false,
	} {
		if TemporaryStatus(status) != want {
			t.Errorf("%d", status)
		}
	}
}
