package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const planted = "s3cr3t-in-the-request"

// ask sends one request through a real server, so that cut connections are seen as a client sees them.
func ask(t *testing.T, fn HandlerFunc) (status int, header http.Header, body, log string, err error) {
	t.Helper()
	var b bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv := httptest.NewServer(Handle(logger, fn))
	defer srv.Close()
	resp, err := srv.Client().Post(srv.URL+"/path?code="+planted, "text/plain", strings.NewReader("x"))
	if err != nil {
		srv.Close()
		return 0, nil, "", b.String(), err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	srv.Close()
	return resp.StatusCode, resp.Header, string(raw), b.String(), err
}

func TestHandle(t *testing.T) {
	cases := []struct {
		name   string
		fn     HandlerFunc
		status int
		code   string // of the JSON body, "" when there is none
		logged string
	}{
		{"what is refused has status and code", func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("check: %w", Refuse(400, "invalid_grant", "no such code"))
		}, 400, "invalid_grant", "invalid_grant"},
		{"a cause is logged and not sent", func(http.ResponseWriter, *http.Request) error {
			return &Error{Status: 503, Code: "temporarily_unavailable", Err: errors.New("disk is full")}
		}, 503, "temporarily_unavailable", "disk is full"},
		{"our own trouble tells the caller nothing", func(http.ResponseWriter, *http.Request) error {
			return errors.New("disk is full")
		}, 500, "server_error", "disk is full"},
		{"a body above the limit", func(w http.ResponseWriter, r *http.Request) error {
			_, err := ReadBody(w, r, 0)
			return err
		}, 413, "invalid_request", ""},
		{"a panic is one failed request", func(http.ResponseWriter, *http.Request) error {
			panic("a value with " + planted)
		}, 500, "server_error", "panic with a value of type string"},
		{"a runtime error keeps its text", func(_ http.ResponseWriter, r *http.Request) error {
			_ = []int{}[len(r.Method)]
			return nil
		}, 500, "server_error", "index out of range"},
		{"an error without a code has no body", func(http.ResponseWriter, *http.Request) error {
			return Unauthorized("https://iss.example", "", "")
		}, 401, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, header, body, log, err := ask(t, c.fn)
			if err != nil {
				t.Fatal(err)
			}
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			var got struct{ Error string }
			_ = json.Unmarshal([]byte(body), &got)
			if got.Error != c.code {
				t.Errorf("body %q, want error %q", body, c.code)
			}
			if header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control is %q", header.Get("Cache-Control"))
			}
			if strings.Contains(body, "disk") {
				t.Errorf("body tells about our trouble: %q", body)
			}
			if !strings.Contains(log, c.logged) {
				t.Errorf("log %q lacks %q", log, c.logged)
			}
			if strings.Contains(log, planted) {
				t.Errorf("log has the secret: %q", log)
			}
		})
	}
}

func TestHandlePanicAfterTheAnswerBegan(t *testing.T) {
	_, _, body, _, err := ask(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, `{"access_token":"abc`)
		_ = http.NewResponseController(w).Flush()
		panic("half way")
	})
	if err == nil {
		t.Errorf("half an answer arrived as a whole one: %q", body)
	}
}

func TestHandleAbort(t *testing.T) {
	_, _, body, log, err := ask(t, func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })
	if err == nil {
		t.Errorf("an aborted request was answered: %q", body)
	}
	if strings.Contains(log, "panicked") {
		t.Errorf("a wanted cut was logged as a panic: %s", log)
	}
}

// TestReadBodyAnswersWhoSendsTooMuch: the answer arrives although the rest of the body was never read, also on a
// connection that is not kept.
func TestReadBodyAnswersWhoSendsTooMuch(t *testing.T) {
	srv := httptest.NewServer(Handle(nil, func(w http.ResponseWriter, r *http.Request) error {
		_, err := ReadBody(w, r, 10)
		return err
	}))
	defer srv.Close()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 30 {
		resp, err := hc.Post(srv.URL, "text/plain", bytes.NewReader(make([]byte, 16<<20)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("got %d", resp.StatusCode)
		}
	}
}

func TestUnauthorized(t *testing.T) {
	cases := []struct{ name, code, description, want string }{
		{"no token sent", "", "", `Bearer realm="r"`},
		{
			"a bad one", "invalid_token", "has expired",
			`Bearer realm="r", error="invalid_token", error_description="has expired"`,
		},
		{
			"nothing escapes the quotes", "invalid_token", "a\" x=\"b\r\n\\",
			`Bearer realm="r", error="invalid_token", error_description="a? x=?b???"`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Unauthorized("r", c.code, c.description).Header.Get("WWW-Authenticate"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestQuotableIsShort(t *testing.T) {
	if got := len(Quotable(strings.Repeat("x", 10_000))); got != 200 {
		t.Errorf("%d bytes, want 200", got)
	}
}
