package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/sealed"
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

// sealedBolt is what one node has: a bbolt file, sealed.
func sealedBolt(b *testing.B) store.Engine {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	e, err := boltstore.Open(b.Context(), filepath.Join(dir, "state.keys"), boltstore.Options{Role: "provisioner"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(v.Close)
	sealer, err := v.Sealer(secret.New(make([]byte, 32)))
	if err != nil {
		b.Fatal(err)
	}
	return sealed.New(e, sealer)
}

// BenchmarkVerifyUser is one login asked over HTTP, with the state in a sealed file, beside a handler that does
// nothing, and without HTTP.
func BenchmarkVerifyUser(b *testing.B) {
	bed := newBedOn(b, sealedBolt(b), func(o *Options, p *provision.Options) { o.Audit, p.Fresh = nil, 0 })
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
