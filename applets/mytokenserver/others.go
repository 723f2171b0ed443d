package mytokenserver

import (
	"fmt"
	"net"
	"net/http"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// others are the listeners that are not for clients.
type others struct{ list []other }

type other struct {
	net.Listener
	handler http.Handler
	name    string // for people
	what    string // metrics, control
}

func (o *others) close() {
	for _, l := range o.list {
		_ = l.Close()
	}
}

func (o *others) add(ln net.Listener, h http.Handler, what string) {
	o.list = append(o.list, other{ln, h, ln.Addr().Network() + ":" + ln.Addr().String(), what})
}

// openOthers makes the listeners for metrics and for the operator.
func (d *server) openOthers(s *settings) (o *others, err error) {
	o = &others{}
	defer func() {
		if err != nil {
			o.close()
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
		o.add(ln, mux, "metrics")
	}
	if path := s.controlPath(); path != "" {
		ln, err := sock.Listen(path, sock.ListenOptions{Mode: 0o600})
		if err != nil {
			return o, fmt.Errorf("control socket: %w", err)
		}
		o.add(admitting{ln}, d.controlHandler(), "control")
	}
	return o, nil
}
