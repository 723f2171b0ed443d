package verifier

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// sockets are all that the daemon listens on.
type sockets struct {
	daemon.Doors
	requests *listen.Set
}

// listen makes all sockets, or none.
func (d *server) listen(s *settings) (list *sockets, err error) {
	list = &sockets{}
	defer func() {
		if err != nil {
			list.Close()
			list = nil
		}
	}()
	list.requests, err = listen.Open(s.listen, listen.Options{Getenv: d.env.Getenv, Admit: d.admits, Log: d.log})
	if err != nil {
		return list, listenError(err)
	}
	for _, l := range list.requests.List {
		list.Add(l.Listener, front{d: d, unix: l.Unix}, "requests")
	}
	if s.metrics.listen != "" {
		ln, err := net.Listen("tcp", s.metrics.listen)
		if err != nil {
			return list, listenError(fmt.Errorf("listen for metrics: %w", err))
		}
		list.Add(ln, d.metricsOnly(), "metrics")
	}
	ln, err := d.control(s)
	if err != nil {
		return list, listenError(err)
	}
	if ln != nil {
		list.Add(ln, controlHandler(ownKeys{d.keys, d.env.Now}, d.log), "control")
	}
	return list, nil
}

// admits refuses a socket of systemd that others can reach, unless the proxies are known.
func (d *server) admits(ln net.Listener) error {
	a := ln.Addr()
	if a.Network() != "unix" && !listen.Loopback(a.String()) && !d.started.proxies.guarded() {
		return errReachable
	}
	return nil
}

var errReachable = errors.New("others can reach it: name your proxies (proxies: {trusted: [ADDRESS]}) or give them a " +
	"secret (proxies: {secret_file: FILE})")

func listenError(err error) error {
	var used *sock.InUseError
	if errors.As(err, &used) {
		return cli.Fail(cli.NotFound, err, "is another verifier running? each needs sockets of its own (listen, control)")
	}
	return cli.Fail(cli.NotFound, err, listen.Hint(err))
}

// certificates takes renewed certificates into use.
func (d *server) certificates(s *settings) {
	if err := d.sockets.requests.Renew(s.listen); err != nil {
		d.log.Error("the old certificate stays in use", "op", "reload", "err", err)
	}
}

// metricsOnly answers at the address of the metrics.
func (d *server) metricsOnly() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsPath, d.page)
	mux.HandleFunc("GET "+healthPath, d.health)
	mux.HandleFunc("GET "+readyPath, d.ready)
	return mux
}

// errNoControl is told when the control socket cannot be made.
var errNoControl = errors.New("control socket cannot be made")

// controlPath is where the control socket goes: as configured, else where the command looks for it.
func (d *server) controlPath(s *settings) (string, error) {
	if s.control != "" {
		return s.control, nil
	}
	if _, err := sock.RuntimeDir(d.env.Getenv); err != nil {
		return "", fmt.Errorf("%w: %w", errNoControl, err)
	}
	return controlPath(d.env), nil
}

// control makes the control socket, unless it is off.
func (d *server) control(s *settings) (net.Listener, error) {
	path, err := d.controlPath(s)
	if err != nil || path == controlOff {
		return nil, err
	}
	ln, err := sock.Listen(path, sock.ListenOptions{Mode: 0o600})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoControl, err)
	}
	return ln, nil
}
