package verifier

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// defaultGrace is how long requests under way may take once the daemon is told to stop. A decision may have to wait for
// an issuer.
const defaultGrace = 10 * time.Second

type serveCmd struct {
	Config string `default:"/etc/oidcbox/verifier.yaml" placeholder:"FILE" help:"The configuration; see verifier config example."`
}

// Run serves until ctx is cancelled.
func (c *serveCmd) Run(ctx context.Context, env *cli.Env) error {
	hup := daemon.Hangup(ctx) // first of all: until then the signal ends the process
	name := within(env, c.Config)
	s, err := readSettings(name)
	if err != nil {
		return configError(err)
	}
	d, err := newServer(env, name, s)
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx, hup)
}

// configError says what is wrong with a configuration: 3 when there is none, 1 when it has faults.
func configError(err error) error {
	if faultsOf(err) == nil {
		return cli.Fail(cli.NotFound, err,
			"oidcbox verifier config example prints one to start from; --config names another file")
	}
	return cli.Fail(cli.No, err, "oidcbox verifier config example prints every key and what it means")
}

// server is a running verifier.
type server struct {
	env  *cli.Env
	log  *slog.Logger
	name string // of the configuration

	hc      *httpc.Client
	keys    *provider.Keys
	proofs  *dpop.Checker
	numbers *numbers
	audit   *audit.Log
	sockets *sockets

	started settings // what cannot change without a restart is judged by this
	live    daemon.Live[*generation]
	manager daemon.Manager
}

// newServer does everything that can fail before anybody is told that there is a daemon.
func newServer(env *cli.Env, name string, s *settings) (d *server, err error) {
	d = &server{env: env, log: env.Log, name: name, started: *s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log}}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	daemon.TuneMemory(env.Getenv, gcPercent, max(memoryLimit, 3*int64(s.limits.cache)))
	if err := vault.HardenProcess(); err != nil {
		d.log.Warn("this process can be looked into by others", "err", err)
	}
	o := httpc.Options{CAFile: s.caFile, UserAgent: "oidcbox-verifier", Getenv: env.Getenv}
	if d.hc, err = httpc.New(o); err != nil {
		return d, cli.Fail(cli.NotFound, err, "")
	}
	if err := d.openKeys(s); err != nil {
		return d, err
	}
	if d.proofs, err = dpop.New(s.dpop.options(env.Now)); err != nil {
		return d, cli.Fail(cli.NotFound, err, "")
	}
	d.numbers = newNumbers(d)
	if d.audit, err = audit.Open(s.audit, auditOptions(env, d.numbers)); err != nil {
		return d, cli.Fail(cli.NotFound, err, "")
	}
	next, err := d.build(s)
	if err != nil {
		return d, cli.Fail(cli.No, err, "")
	}
	d.live.Swap(next)
	d.numbers.loaded(env.Now(), true)
	// The sockets come last: who finds one is answered.
	d.sockets, err = d.listen(s)
	return d, err
}

// Memory of a daemon. What lives is small, up to the caches of tokens and answers, and each decision leaves some
// garbage: with Go's own setting an eighth of the time would go into collecting it. The limit, above which it is
// collected more often, keeps the looser setting from multiplying a cache that is full; a cache of that size has room.
const (
	gcPercent   = 400
	memoryLimit = 256 << 20
)

func (d *server) openKeys(s *settings) error {
	o := provider.KeysOptions{Lifetimes: s.lifetimes, Now: d.env.Now, Log: d.log}
	if s.keysDir != "" {
		var err error
		if o.Dir, err = provider.OpenDir(s.keysDir, d.env.Now); err != nil {
			return cli.Fail(cli.NotFound, fmt.Errorf("directory of keys: %w", err),
				"it has to be ours with mode 0700; it is made when the one above it is ours (StateDirectory= of systemd)")
		}
	}
	d.keys = provider.NewKeys(d.hc, o)
	d.keys.Trust(s.gate.Trusted())
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
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range d.sockets.List {
		g.Go(func() error { return httpd.Serve(ctx, s.Listener, s.Handler, d.serverOptions()) })
	}
	for _, n := range d.started.notes {
		d.log.Warn(n.String(), "op", "configure")
	}
	for _, s := range d.sockets.List {
		d.log.Info("listening", "op", "listen", "addr", s.Name, "for", s.What)
	}
	d.manager.Notify("READY=1\nSTATUS=answering")
	background.Go(func() { <-ctx.Done(); d.manager.Notify("STOPPING=1") })
	if err := g.Wait(); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	d.log.Info("stopped", "op", "stop")
	return nil
}

// maxOtherHeaders is room beside the longest token, for what a proxy sends along of its client's request.
const maxOtherHeaders = 32 << 10

func (d *server) serverOptions() httpd.Options {
	grace := d.started.limits.grace
	if grace == 0 {
		grace = defaultGrace
	}
	return httpd.Options{
		Log: d.log, Grace: grace, MaxConns: d.started.limits.connections,
		MaxHeader: maxTokenLimit + maxOtherHeaders,
	}
}

// close ends everything, in the order in which things stand on each other. No request is under way any more.
func (d *server) close() {
	if d.sockets != nil {
		d.sockets.Close()
	}
	d.live.End()
	if d.keys != nil {
		d.keys.Close()
	}
	if d.hc != nil {
		d.hc.CloseIdle()
	}
	if d.audit != nil {
		d.audit.Close()
	}
}

// observe counts and records a decision.
func (d *server) observe(e gate.Event) {
	d.numbers.decided(&e)
	recordTo(d.audit, d.env.Now(), &e)
}

func auditOptions(env *cli.Env, n *numbers) audit.Options {
	return audit.Options{Stdout: env.Stdout, Stderr: env.Stderr, Lost: n.auditLost.Add}
}
