package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// load sends one request again and again over some connections, and reports answers a second on one core, the client on
// the same core included.
func load(b *testing.B, h http.Handler, path, token string) {
	b.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- httpd.Serve(ctx, ln, h, httpd.Options{}) }()
	defer func() {
		stop()
		<-done
	}()
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ln.Addr().String()+path, nil)
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				b.Errorf("status %d", answer.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}

// BenchmarkVerifyUser is one login asked over HTTP, beside a handler that does nothing, and without HTTP.
func BenchmarkVerifyUser(b *testing.B) {
	bed := newBed(b, func(o *Options, _ *provision.Options) { o.Audit = nil })
	token := bed.user("alice")
	bed.deployed(token)
	const path = "/verify_user?username=alice"
	b.Run("bare_handler", func(b *testing.B) {
		load(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"state":"deployed","verified":true}`)
		}), path, token)
	})
	b.Run("verify_user", func(b *testing.B) { load(b, bed.Handler(), path, token) })
	b.Run("without_http", func(b *testing.B) {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+token)
		h := bed.Handler()
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(discard{http.Header{}}, r)
		}
	})
}

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func (n discard) Header() http.Header         { return n.header }
func (n discard) Write(b []byte) (int, error) { return len(b), nil }
func (n discard) WriteHeader(int)             {}
