package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Limits of every server. A route that needs less reads its body with ReadBody.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeader         = 32 << 10
	maxBody           = 1 << 20
	maxConns          = 1024
	graceTime         = 10 * time.Second
)

// Options changes how a server behaves. The zero value is what a daemon wants, but for the log.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Grace is how long requests under way may take after the context was cancelled. 0: 10 s.
	Grace time.Duration
	// MaxConns is how many connections are open at once; more wait in the kernel's queue. 0: 1024.
	MaxConns int
	// PerAddress is how many of these one address may have (a /64 of IPv6); a further one is closed at once. 0: all.
	PerAddress int
	// Exempt names the addresses that PerAddress does not count: proxies. nil: none.
	Exempt func(netip.Addr) bool
	// MaxHeader is how many bytes request line and headers may have together. 0: 32 KiB.
	MaxHeader int
	// TLS is spoken on the listener, which is a plain one; requests then have the state of their connection, with what
	// the client proved to be. nil: the listener is taken as it is.
	TLS *tls.Config
}

// Serve answers requests on ln with h until ctx is cancelled or ln fails, and closes ln. After ctx is cancelled no
// connection is accepted; requests under way get o.Grace to end, then their contexts are cancelled and their
// connections closed. The error is nil after a cancelled context, also when requests were cut off: that is logged.
//
// A request's context is not ctx: stopping must not break what is nearly done.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, o Options) error {
	o = o.withDefaults()
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:           limitBody(contain(o.Log, h)),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    o.MaxHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	failed := make(chan error, 1)
	accepted := limitConns(ln, o.MaxConns, o.PerAddress, o.Exempt)
	if o.TLS != nil {
		accepted = tls.NewListener(accepted, o.TLS)
	}
	go func() { failed <- srv.Serve(accepted) }()
	select {
	case err := <-failed:
		_ = srv.Close()
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop(srv, cut, o)
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// limitBody is http.MaxBytesHandler, which copies every request, for those that have a body.
func limitBody(h http.Handler) http.Handler {
	limited := http.MaxBytesHandler(h, maxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		limited.ServeHTTP(w, r)
	})
}

func stop(srv *http.Server, cut context.CancelFunc, o Options) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Grace)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		o.Log.Warn("requests were cut off at the end", "op", "stop", "err", err)
		cut()
		_ = srv.Close()
	}
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Grace <= 0 {
		o.Grace = graceTime
	}
	if o.MaxConns <= 0 {
		o.MaxConns = maxConns
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = maxHeader
	}
	return o
}
