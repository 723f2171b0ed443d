package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// maxShares bounds the sockets that are shared at one time.
	maxShares = 32
	// endShare is how long the end of a socket waits for answers under way.
	endShare = 15 * time.Second
)

// share is a socket that is shared.
type share struct {
	control.Shared
	end  context.CancelFunc
	over chan struct{} // closed when nobody is answered any more
}

// shares are the sockets that are shared, by path.
type shares struct {
	mu   sync.Mutex
	rows map[string]*share
}

// Share makes a socket for which Limited answers. Each of the logins must exist; what is not in the open keystore must
// be loaded.
func (a Admin) Share(ctx context.Context, r control.ShareRequest) (control.Shared, error) {
	switch {
	case r.Seconds < 0:
		return control.Shared{}, cli.Failf(cli.Usage, "the time must not be negative")
	case r.Socket != "" && !filepath.IsAbs(r.Socket):
		return control.Shared{}, cli.Failf(cli.Usage, "the path of the socket must be absolute")
	case a.s.opts.Listen == nil:
		return control.Shared{}, cli.Failf(cli.No, "this agent makes no sockets")
	}
	var sh control.Shared
	err := a.inside(func() error {
		for _, name := range r.Logins {
			if err := a.s.shareable(ctx, name); err != nil {
				return err
			}
		}
		var err error
		sh, err = a.s.share(r)
		return err
	})
	return sh, err
}

// shareable reports why a login cannot be shared.
func (s *Service) shareable(ctx context.Context, name string) error {
	if err := login.CheckName(name); err != nil {
		return cli.Fail(cli.Usage, err, "")
	}
	if _, ok := s.logins.get(name); ok {
		return nil
	}
	if disk, err := s.keystore(); err == nil && disk.has(ctx, name) {
		return nil
	}
	return cli.Fail(cli.NotFound, fmt.Errorf("login %s is neither loaded nor in the open keystore", name),
		"load it with: oidc-add "+name)
}

func (s *Service) share(r control.ShareRequest) (control.Shared, error) {
	s.shares.mu.Lock()
	defer s.shares.mu.Unlock()
	if len(s.shares.rows) >= maxShares {
		return control.Shared{}, cli.Fail(cli.No, fmt.Errorf("%d sockets are shared already", maxShares),
			"end some with: oidcbox agent unshare")
	}
	ln, err := s.opts.Listen(r.Socket)
	if err != nil {
		return control.Shared{}, fmt.Errorf("make the socket: %w", err)
	}
	now := s.opts.Now()
	sh := &share{over: make(chan struct{}), Shared: control.Shared{
		Socket: ln.Addr().String(), Logins: append([]string(nil), r.Logins...), Confirm: r.Confirm, Since: now.Round(0),
	}}
	ctx, cancel := context.WithCancel(s.running)
	sh.end = cancel
	if r.Seconds > 0 {
		sh.Until = now.Add(seconds(r.Seconds))
	}
	s.shares.rows[sh.Socket] = sh
	s.wg.Go(func() { s.serveShare(ctx, ln, sh) })
	s.opts.Log.Info("socket shared", "socket", sh.Socket, "logins", what(sh.Logins), "until", sh.Until)
	return sh.Shared, nil
}

// serveShare answers at a shared socket until it is ended.
func (s *Service) serveShare(ctx context.Context, ln net.Listener, sh *share) {
	defer close(sh.over)
	defer sh.end()
	if !sh.Until.IsZero() {
		timer := time.AfterFunc(remaining(sh.Until, s.opts.Now()), sh.end)
		defer timer.Stop()
	}
	h := s.Limited(Limit{Logins: sh.Logins, Confirm: sh.Confirm, Via: sh.Socket})
	err := proto.Serve(ctx, ln, until{h, sh.Until, s.opts.Now}, proto.ServeOptions{Log: s.opts.Log})
	s.shares.mu.Lock()
	delete(s.shares.rows, sh.Socket)
	s.shares.mu.Unlock()
	s.opts.Log.Info("socket shared no more", "socket", sh.Socket, "err", err)
}

// until answers up to a time. A timer alone would stand still while the machine sleeps.
type until struct {
	proto.Handler
	end time.Time
	now func() time.Time
}

func (u until) Handle(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
	if !u.end.IsZero() && remaining(u.end, u.now()) <= 0 {
		return proto.Failure(proto.TextForbidden, "The time for which this socket was shared is over.")
	}
	return u.Handler.Handle(ctx, p, r)
}

// HandleNow answers at once what Handle would answer at once.
func (u until) HandleNow(ctx context.Context, p sock.Peer, r proto.Request) (proto.Reply, bool) {
	h, ok := u.Handler.(proto.PromptHandler)
	if !ok || !u.end.IsZero() && remaining(u.end, u.now()) <= 0 {
		return proto.Reply{}, false
	}
	return h.HandleNow(ctx, p, r)
}

// what is a list of logins for the log.
func what(logins []string) string {
	if len(logins) == 0 {
		return "all that are loaded"
	}
	return strings.Join(logins, " ")
}

// Unshare ends a socket.
func (a Admin) Unshare(ctx context.Context, socket string) error {
	s := a.s
	s.shares.mu.Lock()
	sh, ok := s.shares.rows[socket]
	s.shares.mu.Unlock()
	if !ok {
		return cli.Fail(cli.NotFound, fmt.Errorf("there is no shared socket %s", socket),
			"see them with: oidcbox agent shares")
	}
	sh.end()
	ctx, cancel := context.WithTimeout(ctx, endShare)
	defer cancel()
	select {
	case <-sh.over:
		return nil
	case <-ctx.Done():
		return cli.Fail(cli.Temporary, errors.New("an answer is still under way there; no new request is taken"), "")
	}
}

// Shares lists the sockets, oldest first.
func (a Admin) Shares(context.Context) ([]control.Shared, error) {
	s := a.s
	s.shares.mu.Lock()
	defer s.shares.mu.Unlock()
	list := make([]control.Shared, 0, len(s.shares.rows))
	for _, sh := range s.shares.rows {
		list = append(list, sh.Shared)
	}
	sorted.By(list, func(a, b control.Shared) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Socket, b.Socket)
	})
	return list, nil
}
