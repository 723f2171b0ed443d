package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// ErrNotActivated is returned by Open for a place that is a socket of systemd, when systemd has handed over no such one.
var ErrNotActivated = errors.New("systemd has handed over no such socket")

// Set is all that a daemon listens on.
type Set struct {
	List  []Listener
	pairs []*pair
}

// Listener is one socket.
type Listener struct {
	net.Listener
	Unix bool
	Name string // for people: tcp:127.0.0.1:8000
}

// Options of Open.
type Options struct {
	Getenv func(string) string
	// Admit may refuse a socket that systemd has handed over. nil: every one is taken.
	Admit func(net.Listener) error
	Log   *slog.Logger
}

// pair is a certificate that can be replaced while it is in use.
type pair struct {
	address string
	now     atomic.Pointer[tls.Certificate]
}

// Open makes all sockets, or none. The errors are those of sock.Listen and of the system, ErrNotActivated, and what Admit
// returned; Hint says what to do.
func Open(places []Place, o Options) (set *Set, err error) {
	set = &Set{}
	defer func() {
		if err != nil {
			set.Close()
		}
	}()
	inherited, err := sock.Activation(o.Getenv, os.Getpid())
	if err != nil {
		return set, err
	}
	for _, p := range places {
		if p.Systemd {
			inherited, err = set.inherit(p, inherited, o.Admit)
		} else {
			err = set.open(p)
		}
		if err != nil {
			return set, err
		}
	}
	for _, i := range inherited { // nobody would ever be answered there
		_ = i.Listener.Close()
		o.Log.Warn("a socket of systemd is not in listen", "op", "listen", "name", i.Name)
	}
	return set, nil
}

// Close closes what Serve has not closed.
func (s *Set) Close() {
	for _, l := range s.List {
		_ = l.Close()
	}
}

func (s *Set) add(ln net.Listener, isUnix bool) {
	s.List = append(s.List, Listener{ln, isUnix, ln.Addr().Network() + ":" + ln.Addr().String()})
}

func (s *Set) open(p Place) error {
	if p.Unix != "" {
		ln, err := sock.Listen(p.Unix, sock.ListenOptions{Mode: p.Mode})
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if err := giveTo(p.Unix, p.Group); err != nil {
			_ = ln.Close()
			return err
		}
		s.add(ln, true)
		return nil
	}
	ln, err := net.Listen("tcp", p.TCP)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if p.Cert != "" {
		kept := &pair{address: p.TCP}
		cert, err := loadPair(p)
		if err != nil {
			_ = ln.Close()
			return err
		}
		kept.now.Store(cert)
		s.pairs = append(s.pairs, kept)
		ln = tls.NewListener(ln, kept.config())
	}
	s.add(ln, false)
	return nil
}

// inherit takes the sockets of systemd that p is about, and returns the others.
func (s *Set) inherit(p Place, from []sock.Activated, admit func(net.Listener) error) ([]sock.Activated, error) {
	var others []sock.Activated
	found := false
	for _, a := range from {
		if p.Name != "" && a.Name != p.Name {
			others = append(others, a)
			continue
		}
		if admit != nil {
			if err := admit(a.Listener); err != nil {
				return nil, fmt.Errorf("socket %s of systemd: %w", a.Listener.Addr(), err)
			}
		}
		found = true
		s.add(a.Listener, a.Listener.Addr().Network() == "unix")
	}
	if !found {
		return nil, fmt.Errorf("listen on the socket %s of systemd: %w", p.Name, ErrNotActivated)
	}
	return others, nil
}

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

func loadPair(p Place) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
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

// Renew takes renewed certificates of the places into use. What cannot be read leaves the old one there, and is said in the
// error.
func (s *Set) Renew(places []Place) error {
	var all error
	for _, p := range places {
		for _, kept := range s.pairs {
			if kept.address != p.TCP || p.Cert == "" {
				continue
			}
			cert, err := loadPair(p)
			if err != nil {
				all = errors.Join(all, err)
				continue
			}
			kept.now.Store(cert)
		}
	}
	return all
}

// Hint says what a person can do about an error of Open, "" when there is nothing to say.
func Hint(err error) string {
	var used *sock.InUseError
	switch {
	case errors.As(err, &used):
		return "does another daemon run by the same configuration? each needs sockets of its own"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there (ss -ltnp shows which): end it, or take another port in listen"
	case errors.Is(err, fs.ErrNotExist):
		return "the directory of a socket has to be there (RuntimeDirectory= of systemd makes one)"
	case errors.Is(err, fs.ErrPermission):
		return "the directory has to let us write, and a port below 1024 needs CAP_NET_BIND_SERVICE"
	}
	return ""
}
