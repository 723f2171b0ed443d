package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/pages"
	"github.com/oidcbox/oidcbox/core/account/worker"
	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

type serveCmd struct {
	configFlag
}

// Run serves until ctx is cancelled.
func (c *serveCmd) Run(ctx context.Context, env *cli.Env) error {
	hup := daemon.Hangup(ctx) // first of all: until then the signal ends the process
	s, err := c.read(env)
	if err != nil {
		return err
	}
	d, err := newServer(ctx, env, s)
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx, hup)
}

// server is a running provisioner.
type server struct {
	env *cli.Env
	log *slog.Logger

	state   *keep.State
	hc      *httpc.Client
	keys    *provider.Keys   // of issuers
	system  backend.System   // the worker
	limiter *httpapi.Limiter // of all generations: a reload forgives no guesses
	visits  *pages.Limits    // likewise
	numbers *numbers
	audit   *audit.Log
	jobs    jobs
	work    chan string // jobs to carry out

	sockets *listen.Set
	others  *daemon.Doors // metrics and the control socket
	login   net.Listener
	relays  *relayDoor

	started settings // what cannot change without a restart is judged by this
	live    daemon.Live[*generation]
	manager daemon.Manager
	reach   reach
}

// Memory of a server: what lives is small, and each request leaves some garbage.
const (
	gcPercent   = 300
	memoryLimit = 256 << 20
)

// newServer does everything that can fail before anybody is told that there is a server.
func newServer(ctx context.Context, env *cli.Env, s *settings) (d *server, err error) {
	d = &server{
		env: env, log: env.Log, started: *s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log},
		limiter: httpapi.NewLimiter(s.rates, env.Now), visits: pages.NewLimits(env.Now), work: make(chan string, maxWork),
	}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	daemon.TuneMemory(env.Getenv, gcPercent, memoryLimit)
	if err := vault.HardenProcess(); err != nil {
		d.log.Warn("this process can be looked into by others", "err", err)
	}
	if d.system, err = dialWorker(ctx, s.worker); err != nil {
		return d, err
	}
	if d.state, err = keep.Open(ctx, s.state, stateOptions(env)); err != nil {
		return d, err
	}
	if err := d.openIssuers(s); err != nil {
		return d, err
	}
	d.numbers = newNumbers(d)
	o := audit.Options{Stdout: env.Stdout, Stderr: env.Stderr, Lost: d.numbers.auditLost.Add}
	if d.audit, err = audit.Open(s.audit, o); err != nil {
		return d, cli.Fail(cli.NotFound, err, "")
	}
	next, err := d.build(s)
	if err != nil {
		return d, cli.Fail(cli.No, err, "")
	}
	d.live.Swap(next)
	next.start()
	d.numbers.loaded(env.Now(), true)
	return d, d.open(s)
}

// dialWorker finds the worker: one of root's, of our own, or of the user it runs as.
func dialWorker(ctx context.Context, p workerPlace) (backend.System, error) {
	o := worker.DialOptions{}
	if p.user != "" {
		u, err := userOf(ctx, p.user)
		if err != nil {
			return nil, cli.Fail(cli.NotFound, fmt.Errorf("worker_user: %w", err), "")
		}
		o.Trust = func(uid uint32) bool { return uid == 0 || uid == u.UID }
	}
	return worker.Dial(p.socket, o), nil
}

// openIssuers makes what fetches from issuers and keeps their keys.
func (d *server) openIssuers(s *settings) error {
	var err error
	o := httpc.Options{CAFile: s.caFile, UserAgent: "oidcbox-provisioner", Getenv: d.env.Getenv}
	if d.hc, err = httpc.New(o); err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	k := provider.KeysOptions{Lifetimes: s.lifetimes, Now: d.env.Now, Log: d.log}
	if s.keysDir != "" {
		if k.Dir, err = provider.OpenDir(s.keysDir, d.env.Now); err != nil {
			return cli.Fail(cli.NotFound, fmt.Errorf("directory of keys: %w", err),
				"it has to be ours with mode 0700; it is made when the one above it is ours (StateDirectory= of systemd)")
		}
	}
	d.keys = provider.NewKeys(d.hc, k)
	d.keys.Trust(s.trusted())
	return nil
}

// open makes the sockets, which comes last: who finds one is answered.
func (d *server) open(s *settings) error {
	var handed map[string]net.Listener
	var err error
	d.sockets, handed, err = openSockets(d.env, s.listen, map[string]string{loginName: s.login, controlName: s.control})
	if err == nil {
		d.login, err = ownSocket(handed, loginName, s.login)
	}
	if err == nil {
		d.others, err = d.openOthers(s, handed)
	}
	if err == nil {
		d.relays, err = d.openRelays(s)
	}
	if err != nil {
		return cli.Fail(cli.NotFound, err, listen.Hint(err))
	}
	return nil
}

// run answers until ctx ends or a socket breaks.
func (d *server) run(ctx context.Context, hup <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { d.keys.Run(ctx) })
	background.Go(func() { d.manager.Reloads(ctx, hup, d.reload) })
	background.Go(func() { d.chores(ctx) })
	background.Go(func() { d.carryJobs(ctx) })
	g, serving := errgroup.WithContext(ctx)
	for _, s := range d.sockets.List {
		g.Go(func() error { return httpd.Serve(serving, s, d.front(), d.serverOptions()) })
		d.log.Info("listening", "op", "listen", "addr", s.Name, "for", "requests")
	}
	for _, o := range d.others.List {
		g.Go(func() error { return httpd.Serve(serving, o.Listener, o.Handler, httpd.Options{Log: d.log}) })
		d.log.Info("listening", "op", "listen", "addr", o.Name, "for", o.What)
	}
	if d.login != nil {
		g.Go(func() error { return login.Serve(serving, d.login, d.answerLogin, login.ServeOptions{Log: d.log}) })
		d.log.Info("listening", "op", "listen", "addr", "unix:"+d.started.login, "for", "logins")
	}
	if d.relays != nil {
		g.Go(func() error { return d.relays.serve(serving, d) })
		d.log.Info("listening", "op", "listen", "addr", d.relays.name(), "for", "relays")
	}
	for _, n := range d.started.notes {
		d.log.Warn(n.String(), "op", "configure")
	}
	d.manager.Notify("READY=1\nSTATUS=answering")
	background.Go(func() { <-serving.Done(); d.manager.Notify("STOPPING=1") })
	if err := g.Wait(); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	d.log.Info("stopped", "op", "stop")
	return nil
}

// answerLogin asks the generation of now about one login.
func (d *server) answerLogin(ctx context.Context, _ sock.Peer, q login.Question) login.Answer {
	g := d.live.Acquire()
	defer g.Release()
	return g.api.Login(ctx, q)
}

// maxHeader has room for a token of any size that is taken, and for what a browser and a proxy send along.
const maxHeader = 96 << 10

func (d *server) serverOptions() httpd.Options {
	return httpd.Options{
		Log: d.log, Grace: d.started.grace, MaxConns: d.started.conns, PerAddress: max(1, d.started.conns/4),
		Exempt: d.started.known, MaxHeader: maxHeader,
	}
}

// close ends everything, in the order in which things stand on each other. No request is under way any more.
func (d *server) close() {
	if d.sockets != nil {
		d.sockets.Close()
	}
	if d.others != nil {
		d.others.Close()
	}
	if d.login != nil {
		_ = d.login.Close()
	}
	if d.relays != nil {
		d.relays.close()
	}
	d.live.End()
	if d.keys != nil {
		d.keys.Close()
	}
	if d.hc != nil {
		d.hc.CloseIdle()
	}
	if err := d.state.Close(); err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("the state was not closed well", "op", "stop", "err", err)
	}
	if d.audit != nil {
		d.audit.Close()
	}
}
