package httpc

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// raw is a server that answers each connection with these bytes once it has seen a whole request, and then hangs up.
func raw(t *testing.T, answer func(request string) string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				_ = req.ParseForm()
				_, _ = fmt.Fprint(c, answer(req.Form.Encode()))
			}
			_ = c.Close()
		}
	}()
	return "http://" + ln.Addr().String()
}

// TestBrokenHTTP: what a server sends in place of HTTP may repeat our request and hold escape sequences. None of it
// gets into an error, which people see and logs keep.
func TestBrokenHTTP(t *testing.T) {
	const escape = "\x1b]0;pwned\a"
	for name, answer := range map[string]func(form string) string{
		"no_HTTP":     func(form string) string { return form + escape + "\r\n\r\n" },
		"header_line": func(form string) string { return "HTTP/1.1 200 OK\r\n" + form + escape + "\r\n\r\n" },
		"header_name": func(form string) string { return "HTTP/1.1 200 OK\r\n" + form + escape + ": x\r\n\r\n" },
		"status":      func(form string) string { return "HTTP/1.1 " + form + escape + "\r\n\r\n" },
		"content_length": func(form string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + form + escape + "\r\n\r\n"
		},
		"transfer_encoding": func(form string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + form + escape + "\r\n\r\n"
		},
		"chunk": func(form string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + form + escape + "\r\n"
		},
		"location": func(form string) string {
			return "HTTP/1.1 302 Found\r\nLocation: http://[" + form + escape + "\r\n\r\n"
		},
		"location_not_a_URL": func(form string) string {
			return "HTTP/1.1 302 Found\r\nLocation: http://[" + form + "\r\n\r\n"
		},
		"long_line": func(form string) string { return strings.Repeat(form, 500) + "\r\n\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			target := raw(t, answer)
			_, err := client(t, Options{}).PostForm(t.Context(), target, url.Values{"refresh_token": {"s3cret"}}, nil)
			if err == nil || Unsent(err) || !Temporary(err) {
				t.Fatalf("got %v, unsent %v", err, Unsent(err))
			}
			if msg := err.Error(); strings.Contains(msg, "s3cret") || strings.Contains(msg, "pwned") || len(msg) > 300 {
				t.Fatalf("unfit text %q", msg)
			}
		})
	}
}

// TestUnfitText: an error from before the request was sent is told, but on one printable line of bounded length. A
// certificate and a proxy choose such texts.
func TestUnfitText(t *testing.T) {
	e := &Error{Method: "GET", URL: "https://op.example/", Err: errors.New("valid for \x1b[2Ja\r\nb\u202e, " +
		strings.Repeat("x", 10000))}
	msg := e.Error()
	if len(msg) > 600 || strings.ContainsAny(msg, "\x1b\r\n\u202e") || !strings.Contains(msg, "valid for") {
		t.Fatalf("unfit text %q", msg)
	}
}

// TestPartial: what arrived of an answer that was cut off is there for those who must not lose it, and not in the text.
func TestPartial(t *testing.T) {
	const begin = `{"refresh_token":"s3cret"`
	for name, head := range map[string]string{
		"content_length": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
		"chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n",
		"refusal":        "HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			target := raw(t, func(string) string { return head + begin })
			_, err := client(t, Options{}).PostForm(t.Context(), target, url.Values{}, nil)
			if err == nil {
				t.Fatal("half an answer was accepted")
			}
			want := begin
			if name == "refusal" {
				want = ""
			}
			if got := Partial(err).Expose(); got != want {
				t.Fatalf("partial %q", got)
			}
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				if s := fmt.Sprintf(verb, err); strings.Contains(s, "s3cret") {
					t.Fatalf("%s shows %s", verb, s)
				}
			}
		})
	}
	if !Partial(errors.New("x")).Empty() || !Partial(&Error{}).Empty() {
		t.Fatal("there is something in nothing")
	}
}

// TestLocalNames: what counts as this machine is reached on the loopback interface and without asking a name server,
// which could send plain http elsewhere.
func TestLocalNames(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "LOCALHOST", "localhost.", "op.localhost", "a.b.LocalHost.", "127.0.0.1."} {
		t.Run(host, func(t *testing.T) {
			resp, err := client(t, Options{}).Get(t.Context(), "http://"+net.JoinHostPort(host, u.Port())+"/")
			if err != nil || string(resp.Body) != "here" {
				t.Fatalf("%+v, %v", resp, err)
			}
		})
	}
	t.Run("second_family", func(t *testing.T) {
		ln, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			t.Skip("no IPv6 here")
		}
		six := quiet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("six")) }))
		_ = six.Listener.Close()
		six.Listener = ln
		six.Start()
		t.Cleanup(six.Close)
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		if resp, err := client(t, Options{}).Get(t.Context(), "http://localhost:"+port); err != nil ||
			string(resp.Body) != "six" {
			t.Fatalf("%+v, %v", resp, err)
		}
	})
}

// TestRedirectByWayOfAnotherHost: that a chain began on this machine is no reason to trust the host in its middle.
func TestRedirectByWayOfAnotherHost(t *testing.T) {
	c := client(t, Options{})
	at := func(target string) *http.Request {
		req, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	via := []*http.Request{at("http://localhost:1/"), at("https://op.example/")}
	if err := c.checkRedirect(at("http://localhost:631/"), via); !errors.Is(err, ErrRedirect) {
		t.Fatalf("got %v", err)
	}
}
