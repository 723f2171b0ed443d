package mytokenserver

import (
	"fmt"
	"net"
	"net/http"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// openOthers makes the listeners for metrics and for the operator.
func (d *server) openOthers(s *settings) (o *daemon.Doors, err error) {
	o = &daemon.Doors{}
	defer func() {
		if err != nil {
			o.Close()
			o = nil
		}
	}()
	if s.metrics.listen != "" {
		ln, err := net.Listen("tcp", s.metrics.listen)
		if err != nil {
			return o, fmt.Errorf("listen for metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+metricsPath, d.page)
		mux.HandleFunc("GET "+healthPath, d.health)
		mux.HandleFunc("GET "+readyPath, d.ready)
		o.Add(ln, mux, "metrics")
	}
	if path := s.controlPath(); path != "" {
		ln, err := sock.Listen(path, sock.ListenOptions{Mode: 0o600})
		if err != nil {
			return o, fmt.Errorf("control socket: %w", err)
		}
		o.Add(admitting{ln}, d.controlHandler(), "control")
	}
	return o, nil
}
