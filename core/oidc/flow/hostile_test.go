package flow_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestHostileTokenEndpoint: each answer ends soon, as an error that says whether the refresh token may have been used
// and does not contain it.
func TestHostileTokenEndpoint(t *testing.T) {
	f := newFake(t)
	block := make([]byte, 64<<10)
	tests := []struct {
		name      string
		h         http.HandlerFunc
		want      error
		temporary bool
	}{
		{"body_without_end", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, httpc.ErrTooLarge, false},
		{"ten_gigabytes_announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000000000")
			_, _ = w.Write(block)
		}, httpc.ErrTooLarge, false},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b"))
		}, httpc.ErrEncoded, false},
		{"one_byte_at_a_time", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}, nil, true},
		{"connection_cut_after_the_request", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, nil, true},
		{"redirect_to_a_file", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, nil, false},
		{"error_of_a_megabyte", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"x","error_description":"%s"}`, strings.Repeat(oldRefresh.Expose()+"\\u001b", 10000))
		}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answers(tt.h)
			c := flow.New(newHTTP(t, httpc.Options{Timeout: time.Second}), f.md, flow.ClientConfig{ID: "box"}, flow.Options{})
			start := time.Now()
			_, err := c.Refresh(t.Context(), oldRefresh, flow.Request{})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || flow.Temporary(err) != tt.temporary {
				t.Fatalf("got %v", err)
			}
			if httpc.Unsent(err) || flow.NeedsLogin(err) || time.Since(start) > 5*time.Second {
				t.Fatalf("misjudged after %v: %v", time.Since(start), err)
			}
			if msg := err.Error(); len(msg) > 500 || strings.Contains(msg, oldRefresh.Expose()[:12]) ||
				strings.Contains(msg, "\x1b") {
				t.Fatalf("unfit text %q", msg)
			}
		})
	}
}
