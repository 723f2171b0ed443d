package mytokenserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/mytoken/geo"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/notices"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/listen"
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

// server is a running server.
type server struct {
	env *cli.Env
	log *slog.Logger

	state    *keep.State
	signer   *signer
	ledger   *ledger.Ledger
	notices  *notices.Notices
	geo      *geo.DB // of geoFile; a reload may replace both
	geoFile  string
	numbers  *numbers
	proofs   *dpop.Checker // of all generations
	audit    *audit.Log
	sockets  *listen.Set
	others   *daemon.Doors // metrics and the control socket
	ssh      *sshapi.Server
	sshPlace net.Listener
	hostKeys []sshapi.Signer

	started settings // what cannot change without a restart is judged by this
	live    daemon.Live[*generation]
	manager daemon.Manager
	reach   reach
}

// newLedger makes the ledger on a state that is open.
func (d *server) newLedger(s *settings) (*ledger.Ledger, error) {
	recipient, err := readRecipient(s.state.escrow)
	if err != nil {
		return nil, cli.Fail(cli.NotFound, err, escrowHint)
	}
	return ledger.New(d.state.Engine(), ledger.Options{
		Minter: d.signer, Verify: d.signer.Genuine, Now: d.env.Now, Log: d.log, Retention: s.retention.ended,
		Events: s.retention.events, Escrow: recipient,
	}), nil
}

// newServer does everything that can fail before anybody is told that there is a server.
func newServer(ctx context.Context, env *cli.Env, s *settings) (d *server, err error) {
	d = &server{env: env, log: env.Log, started: *s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log}}
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
	keys, err := loadKeys(s.keys.dir)
	if err != nil {
		return d, keysError(err)
	}
	if d.signer, err = newSigner(s.issuer, keys); err != nil {
		return d, cli.Fail(cli.No, err, "")
	}
	if w := mintWarning(s.issuer, keys[0]); w != "" {
		d.log.Warn(w, "op", "start")
	}
	if d.state, err = openState(ctx, env, s.state); err != nil {
		return d, err
	}
	d.numbers = newNumbers(d)
	o := audit.Options{Stdout: env.Stdout, Stderr: env.Stderr, Lost: d.numbers.auditLost.Add}
	if d.audit, err = audit.Open(s.audit, o); err != nil {
		return d, cli.Fail(cli.NotFound, err, "")
	}
	if d.ledger, err = d.newLedger(s); err != nil {
		return d, err
	}
	if d.hostKeys, err = readHostKeys(s); err != nil {
		return d, cli.Fail(cli.NotFound, err, "ssh-keygen -t ed25519 -N '' -f FILE makes one (ssh.host_key_files)")
	}
	if d.notices, err = d.openNotices(s); err != nil {
		return d, cli.Fail(cli.No, err, "")
	}
	next, err := d.build(s)
	if err != nil {
		return d, cli.Fail(cli.No, err, "")
	}
	d.live.Swap(next)
	d.numbers.loaded(env.Now(), true)
	return d, d.open(s)
}

// open makes the sockets, which comes last: who finds one is answered.
func (d *server) open(s *settings) error {
	var err error
	if d.sockets, err = listen.Open(s.listen, listen.Options{Getenv: d.env.Getenv, Log: d.log}); err == nil {
		d.others, err = d.openOthers(s)
	}
	if err == nil {
		d.ssh, d.sshPlace, err = d.openSSH(s)
	}
	if err != nil {
		return cli.Fail(cli.NotFound, err, listen.Hint(err))
	}
	return nil
}

// Memory of a server: what lives is small, and each request leaves some garbage. The limit, above which it is collected
// more often, keeps the looser setting from multiplying a burst.
const (
	gcPercent   = 300
	memoryLimit = 512 << 20
)

// run answers until ctx ends or a socket breaks.
func (d *server) run(ctx context.Context, hup <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { d.manager.Reloads(ctx, hup, d.reload) })
	background.Go(func() { d.sweeps(ctx) })
	late, quiet := context.WithCancel(context.WithoutCancel(ctx)) // requests that end during the grace are told of, too
	defer quiet()
	background.Go(func() { d.notices.Run(late) })
	g, serving := errgroup.WithContext(ctx)
	for _, s := range d.sockets.List {
		h := d.front()
		g.Go(func() error { return httpd.Serve(serving, s, h, d.serverOptions()) })
		d.log.Info("listening", "op", "listen", "addr", s.Name, "for", "requests")
	}
	for _, o := range d.others.List {
		g.Go(func() error { return httpd.Serve(serving, o.Listener, o.Handler, httpd.Options{Log: d.log}) })
		d.log.Info("listening", "op", "listen", "addr", o.Name, "for", o.What)
	}
	if d.ssh != nil {
		g.Go(func() error { return d.ssh.Serve(serving, d.sshPlace) })
		d.log.Info("listening", "op", "listen", "addr", "tcp:"+d.sshPlace.Addr().String(), "for", "ssh")
	}
	for _, n := range d.started.notes {
		d.log.Warn(n.String(), "op", "configure")
	}
	d.manager.Notify("READY=1\nSTATUS=serving " + d.started.issuer)
	background.Go(func() { <-serving.Done(); d.manager.Notify("STOPPING=1") })
	if err := g.Wait(); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	d.log.Info("stopped", "op", "stop")
	return nil
}

func (d *server) serverOptions() httpd.Options {
	// A stranger who holds connections open must not have them all, and a cluster behind one address needs many.
	return httpd.Options{
		Log: d.log, Grace: d.started.grace, MaxConns: d.started.conns, PerAddress: max(1, d.started.conns/4),
		Exempt: func(a netip.Addr) bool {
			return slices.ContainsFunc(d.started.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
		},
		MaxHeader: maxHeader,
	}
}

// maxHeader has room for a mytoken of any size that is made, and for what a browser and a proxy send along.
const maxHeader = 64 << 10

// closing is how long what is under way may take at the end: a refresh token that was rotated has to be saved.
const closing = 30 * time.Second

// close ends everything, in the order in which things stand on each other. No request is under way any more.
func (d *server) close() {
	if d.sockets != nil {
		d.sockets.Close()
	}
	if d.others != nil {
		d.others.Close()
	}
	if d.sshPlace != nil {
		_ = d.sshPlace.Close()
	}
	d.live.End()
	if d.ledger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		if err := d.ledger.Close(ctx); err != nil {
			d.log.Error("a refresh token may be lost", "op", "stop", "err", err)
		}
	}
	if err := d.state.Close(); err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("the state was not closed well", "op", "stop", "err", err)
	}
	if d.audit != nil {
		d.audit.Close()
	}
}
