package issuertest

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// Server is an issuer on a loopback port. Its methods fail the test when something goes wrong.
type Server struct {
	// URL is the issuer.
	URL string
	// Issuer is the one that serves now; Restart replaces it.
	*issuer.Issuer

	tb      testing.TB
	addr    string
	o       issuer.Options
	handler atomic.Pointer[issuer.Issuer]
	stop    func()
}

// Start serves an issuer until the test ends: sample users and clients, signing in as alice without pages, ES256 (a key
// costs no time), test controls on, a device interval of one second. Each edit may change the options before.
func Start(tb testing.TB, edit ...func(*issuer.Options)) *Server {
	tb.Helper()
	ln := listen(tb, "127.0.0.1:0")
	s := &Server{tb: tb, addr: ln.Addr().String(), URL: "http://" + ln.Addr().String()}
	s.o = issuer.Options{
		URL: s.URL, AutoLogin: "alice", Alg: jose.ES256, TestControls: true, DeviceInterval: time.Second, Now: time.Now,
	}
	for _, e := range edit {
		e(&s.o)
	}
	s.URL = s.o.URL
	if s.o.Engine == nil {
		s.o.Engine = memstore.NewAt(s.o.Now)
	}
	s.renew()
	s.serve(ln)
	tb.Cleanup(s.Stop)
	return s
}

// Restart ends all connections and serves again on the same port: with the state (keys, clients, grants) or with none
// of it, as a provider that kept it in memory. It also ends what Stop began.
func (s *Server) Restart(keepState bool) {
	s.tb.Helper()
	s.Stop()
	if !keepState {
		s.o.Engine = memstore.NewAt(s.o.Now)
	}
	s.renew()
	s.serve(listen(s.tb, s.addr))
}

// Stop refuses connections from now on, as a provider that is down.
func (s *Server) Stop() {
	s.stop()
	s.stop = func() {}
}

func (s *Server) renew() {
	s.tb.Helper()
	i, err := issuer.New(context.Background(), s.o)
	if err != nil {
		s.tb.Fatalf("issuertest: %v", err)
	}
	s.Issuer = i
	s.handler.Store(i)
}

func (s *Server) serve(ln net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.Load().ServeHTTP(w, r) })
	go func() { done <- httpd.Serve(ctx, ln, h, httpd.Options{Grace: 100 * time.Millisecond}) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.tb.Errorf("issuertest: %v", err)
		}
	}
}

func listen(tb testing.TB, addr string) net.Listener {
	tb.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	return ln
}
