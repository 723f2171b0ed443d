package verifier

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// sockets are all that the daemon listens on.
type sockets struct {
	list  []socket
	pairs []*pair
}

type socket struct {
	net.Listener
	handler http.Handler
	name    string // for people
	what    string // requests, metrics, control
}

// pair is a certificate that can be replaced while it is in use.
type pair struct {
	address string
	now     atomic.Pointer[tls.Certificate]
}

func (s *sockets) close() {
	for _, l := range s.list {
		_ = l.Close()
	}
}

func (s *sockets) add(ln net.Listener, h http.Handler, what string) {
	s.list = append(s.list, socket{ln, h, ln.Addr().Network() + ":" + ln.Addr().String(), what})
}

// listen makes all sockets, or none.
func (d *daemon) listen(s *settings) (list *sockets, err error) {
	list = &sockets{}
	defer func() {
		if err != nil {
			list.close()
			list = nil
		}
	}()
	if err := list.forRequests(d, s); err != nil {
		return list, listenError(err)
	}
	if s.metrics.listen != "" {
		ln, err := net.Listen("tcp", s.metrics.listen)
		if err != nil {
			return list, listenError(fmt.Errorf("listen for metrics: %w", err))
		}
		list.add(ln, d.metricsOnly(), "metrics")
	}
	ln, err := d.control(s)
	if err != nil {
		return list, listenError(err)
	}
	if ln != nil {
		list.add(ln, controlHandler(ownKeys{d.keys, d.env.Now}, d.log), "control")
	}
	return list, nil
}

// forRequests opens what is in listen.
func (s *sockets) forRequests(d *daemon, from *settings) error {
	inherited, err := sock.Activation(d.env.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	for _, e := range from.listen {
		if e.systemd {
			inherited, err = s.inherit(d, e, inherited)
		} else {
			err = s.open(d, e)
		}
		if err != nil {
			return err
		}
	}
	for _, i := range inherited { // nobody would ever be answered there
		_ = i.Listener.Close()
		d.log.Warn("a socket of systemd is not in listen", "op", "listen", "name", i.Name)
	}
	return nil
}

func listenError(err error) error {
	hint := ""
	var used *sock.InUseError
	switch {
	case errors.As(err, &used):
		hint = "is another verifier running? each needs sockets of its own (listen, control)"
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there (ss -ltnp shows which): end it, or take another port in listen"
	case errors.Is(err, fs.ErrNotExist):
		hint = "the directory of a socket has to be there (RuntimeDirectory= of systemd makes one)"
	case errors.Is(err, fs.ErrPermission):
		hint = "the directory has to let us write, and a port below 1024 needs CAP_NET_BIND_SERVICE"
	}
	return cli.Fail(cli.NotFound, err, hint)
}

func (s *sockets) open(d *daemon, e endpoint) error {
	if e.unix != "" {
		ln, err := sock.Listen(e.unix, sock.ListenOptions{Mode: fs.FileMode(e.mode)})
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if err := giveTo(e.unix, e.group); err != nil {
			_ = ln.Close()
			return err
		}
		s.add(ln, front{d: d, unix: true}, "requests")
		return nil
	}
	ln, err := net.Listen("tcp", e.tcp)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if e.tls.cert != "" {
		p := &pair{address: e.tcp}
		cert, err := loadPair(e.tls)
		if err != nil {
			_ = ln.Close()
			return err
		}
		p.now.Store(cert)
		s.pairs = append(s.pairs, p)
		ln = tls.NewListener(ln, p.config())
	}
	s.add(ln, front{d: d}, "requests")
	return nil
}

// inherit takes the sockets of systemd that e is about, and returns the others.
func (s *sockets) inherit(d *daemon, e endpoint, from []sock.Activated) ([]sock.Activated, error) {
	var others []sock.Activated
	found := false
	for _, a := range from {
		if e.name != "" && a.Name != e.name {
			others = append(others, a)
			continue
		}
		network := a.Listener.Addr().Network()
		if network != "unix" && !loopback(a.Listener.Addr().String()) && !d.started.proxies.guarded() {
			return nil, fmt.Errorf("socket %s of systemd: %w", a.Listener.Addr(), errReachable)
		}
		found = true
		s.add(a.Listener, front{d: d, unix: network == "unix"}, "requests")
	}
	if !found {
		return nil, fmt.Errorf("listen on the socket %s of systemd: %w", e.name, errNotActivated)
	}
	return others, nil
}

var (
	errNotActivated = errors.New("systemd has handed over no such socket")
	errReachable    = errors.New("others can reach it: name your proxies (proxies: {trusted: [ADDRESS]}) or give them a " +
		"secret (proxies: {secret_file: FILE})")
)

// giveTo changes the group of a socket file.
func giveTo(path, group string) error {
	if group == "" {
		return nil
	}
	gid, err := strconv.Atoi(group)
	if err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return fmt.Errorf("group of socket %s: %w", path, err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return fmt.Errorf("group of socket %s: %w", path, err)
		}
	}
	if err := os.Lchown(path, -1, gid); err != nil {
		return fmt.Errorf("give socket %s to group %s: %w", path, group, err)
	}
	return nil
}

func loadPair(f tlsFiles) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("read certificate and key: %w", err)
	}
	return &cert, nil
}

func (p *pair) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.now.Load(), nil
		},
	}
}

// certificates takes renewed certificates into use.
func (d *daemon) certificates(s *settings) {
	for _, e := range s.listen {
		for _, p := range d.sockets.pairs {
			if p.address != e.tcp || e.tls.cert == "" {
				continue
			}
			cert, err := loadPair(e.tls)
			if err != nil {
				d.log.Error("the old certificate stays in use", "op", "reload", "err", err)
				continue
			}
			p.now.Store(cert)
		}
	}
}

// metricsOnly answers at the address of the metrics.
func (d *daemon) metricsOnly() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsPath, d.page)
	mux.HandleFunc("GET "+healthPath, d.health)
	mux.HandleFunc("GET "+readyPath, d.ready)
	return mux
}

// errNoControl is told when the control socket cannot be made.
var errNoControl = errors.New("control socket cannot be made")

// controlPath is where the control socket goes: as configured, else where the command looks for it.
func (d *daemon) controlPath(s *settings) (string, error) {
	if s.control != "" {
		return s.control, nil
	}
	if _, err := sock.RuntimeDir(d.env.Getenv); err != nil {
		return "", fmt.Errorf("%w: %w", errNoControl, err)
	}
	return controlPath(d.env), nil
}

// control makes the control socket, unless it is off.
func (d *daemon) control(s *settings) (net.Listener, error) {
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
