package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// sockets are where an agent listens.
type sockets struct {
	path    string // of the protocol's socket, for OIDC_SOCK
	common  string // the well-known socket, where it is served as well; "" for not
	own     string // directory made for path, removed at the end; ""
	group   int    // gid that may use path, -1 for none
	allow   func(sock.Peer) bool
	agent   []net.Listener
	control net.Listener
}

// choose finds the paths and makes the directory.
func (s *sockets) choose(c *Cmd, env *cli.Env) error {
	s.group = -1
	if s.path != "" { // of the program before
		if c.WithGroup != "" {
			return s.openToGroup(c.WithGroup)
		}
		return nil
	}
	if err := s.activate(c, env); err != nil || s.path != "" {
		return err
	}
	var err error
	switch common := filepath.Join(sock.RuntimePath(env.Getenv), proto.SockName); {
	case c.SocketPath != "":
		if c.WellKnown && runtimeDir(env) {
			s.common = common
		}
		s.path, err = s.expand(c.SocketPath, c, env)
	case env.Upstream:
		if runtimeDir(env) {
			s.common = common
		}
		tmp := env.Getenv("TMPDIR")
		if tmp == "" {
			tmp = os.TempDir()
		}
		s.path, err = s.expand(filepath.Join(tmp, "oidc-XXXXXX")+"/", c, env)
	default:
		if _, err = sock.RuntimeDir(env.Getenv); err == nil {
			s.path = common
		}
	}
	if err == nil && c.WithGroup != "" {
		err = s.openToGroup(c.WithGroup)
	}
	return err
}

// activate takes the sockets that systemd has made, if it has: one with "control" in its name, or in the name of its file,
// is the control socket, all others are the agent's. A process that detaches is no service of systemd.
func (s *sockets) activate(c *Cmd, env *cli.Env) error {
	if !c.Console {
		return nil
	}
	given, err := sock.Activation(env.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	for _, a := range given {
		name := a.Name + " " + filepath.Base(a.Listener.Addr().String())
		if strings.Contains(name, "control") && s.control == nil {
			s.control = a.Listener
			continue
		}
		s.agent = append(s.agent, a.Listener)
		if s.path == "" {
			s.path = a.Listener.Addr().String()
		}
	}
	if len(given) > 0 && s.path == "" {
		return errors.New("socket activation: there is no socket for the agent's protocol")
	}
	return nil
}

// runtimeDir makes the directory of the well-known socket; without one there is none.
func runtimeDir(env *cli.Env) bool {
	_, err := sock.RuntimeDir(env.Getenv)
	return err == nil
}

// expand applies the rules of the original's socket path: DIR/ gets the usual file name, XXXXXX random letters, and
// directories that are missing are made.
func (s *sockets) expand(path string, c *Cmd, env *cli.Env) (string, error) {
	if strings.HasSuffix(path, "/") {
		path += fmt.Sprintf("oidc-agent.%d", shellPID(c))
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	dir, file := filepath.Split(filepath.Clean(path))
	dir = strings.Replace(dir, "XXXXXX", strings.ToLower(rand.Text()[:6]), 1)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("make directory of the socket: %w", err)
		}
		s.own = filepath.Clean(dir)
	}
	return filepath.Join(dir, file), nil
}

// shellPID is that of the process the agent was started by, for the socket's name.
func shellPID(c *Cmd) int {
	if c.ForShell > 0 {
		return c.ForShell
	}
	return os.Getppid()
}

// listen makes the sockets. The well-known and the control socket belong to the first agent of a person; another one
// does without.
func (s *sockets) listen(env *cli.Env, warn func(string)) error {
	o := sock.ListenOptions{}
	if s.group >= 0 {
		o.Mode = 0o660
	}
	if s.control == nil {
		ctl, err := controlSocket(env)
		if err != nil {
			warn("going on without control socket: " + err.Error())
		}
		s.control = ctl
	}
	if len(s.agent) > 0 {
		return nil // made by systemd
	}
	if s.common != "" {
		if ln, err := sock.Listen(s.common, sock.ListenOptions{}); err == nil {
			s.agent = append(s.agent, ln)
		}
	}
	ln, err := sock.Listen(s.path, o)
	if err != nil {
		var used *sock.InUseError
		if errors.As(err, &used) {
			return cli.Fail(cli.Temporary, err, "an agent is running there; end it with: oidcbox agent -k")
		}
		return err
	}
	s.agent = append(s.agent, ln)
	return s.handOver()
}

func controlSocket(env *cli.Env) (net.Listener, error) {
	path, err := control.Path(env.Getenv)
	if err != nil {
		return nil, err
	}
	return sock.Listen(path, sock.ListenOptions{})
}

// openToGroup prepares for --with-group: its members may connect, and nobody else.
func (s *sockets) openToGroup(name string) error {
	gid, err := groupID(name)
	if err != nil {
		return cli.Fail(cli.NotFound, fmt.Errorf("group of the socket: %w", err), "")
	}
	s.group = gid
	s.allow = func(p sock.Peer) bool { return sock.Own(p) || memberOf(p, gid) }
	return nil
}

// handOver gives socket and directory to the group. The directory is not writable for it: a member could put another
// socket in place of ours.
func (s *sockets) handOver() error {
	if s.group < 0 {
		return nil
	}
	dir := filepath.Dir(s.path)
	err := errors.Join(os.Chown(s.path, -1, s.group), os.Chown(dir, -1, s.group))
	if err == nil {
		err = os.Chmod(dir, 0o750)
	}
	if err != nil {
		return fmt.Errorf("give the socket to group %s: %w", strconv.Itoa(s.group), err)
	}
	return nil
}

// placeError says what to do about a place where no socket can be.
func placeError(err error) error {
	const hint = "set XDG_RUNTIME_DIR to a directory that is yours alone, or name a place with --socket-path"
	var said *cli.Error
	switch {
	case errors.As(err, &said):
		return err
	case errors.Is(err, sock.ErrForeign), errors.Is(err, os.ErrPermission):
		return cli.Fail(cli.Denied, err, hint)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, sock.ErrPathTooLong):
		return cli.Fail(cli.NotFound, err, hint)
	}
	return err
}

func (s *sockets) close() {
	for _, ln := range s.agent {
		_ = ln.Close()
	}
	if s.control != nil {
		_ = s.control.Close()
	}
	if s.own != "" {
		_ = os.Remove(s.own) // only when it is empty
	}
}
