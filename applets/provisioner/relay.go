package provisioner

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/relay"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

type relayCmd struct {
	Config string `default:"/etc/oidcbox/relay.yaml" placeholder:"FILE" help:"The configuration of the relay (${default})."`
}

// Run answers the PAM helper of this node until ctx is cancelled.
func (c *relayCmd) Run(ctx context.Context, env *cli.Env) error {
	hup := daemon.Hangup(ctx)
	s, err := readRelaySettings(within(env, c.Config))
	if err != nil {
		return configError(ofRelay, err)
	}
	r, err := newRelay(env, s)
	if err != nil {
		return err
	}
	defer r.close()
	return r.run(ctx, hup)
}

// node is a running relay.
type node struct {
	env      *cli.Env
	log      *slog.Logger
	settings *relaySettings
	own      *certificate
	client   *relay.Client
	manager  daemon.Manager

	set     metrics.Set
	answers *metrics.Counters

	login   net.Listener
	users   *listen.Set
	numbers net.Listener // nil: there are no metrics
}

func newRelay(env *cli.Env, s *relaySettings) (n *node, err error) {
	n = &node{env: env, log: env.Log, settings: s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log}}
	defer func() {
		if err != nil {
			n.close()
			n = nil
		}
	}()
	if err := vault.HardenProcess(); err != nil {
		n.log.Warn("this process can be looked into by others", "err", err)
	}
	if n.own, err = openCertificate(s.cert, s.key); err != nil {
		return n, cli.Fail(cli.NotFound, err, "the node shows it to the server: cert_file and key_file")
	}
	o := relay.Options{
		Server: s.server, CAFile: s.caFile, Certificate: n.own.current, Timeout: s.timeout, Client: s.proxies.Client, Log: n.log,
	}
	if s.hostKeys != nil {
		o.HostKeys = (&hostKeys{patterns: s.hostKeys, now: env.Now}).lines
	}
	if n.client, err = relay.New(o); err != nil {
		return n, cli.Fail(cli.NotFound, err, "")
	}
	n.answers = n.set.Counters("oidcbox_relay_logins_total", "Logins that were asked about, by answer.", "answer")
	n.answers.With("yes")
	n.answers.With("no")
	return n, n.open()
}

// open makes the sockets, which comes last: who finds one is answered.
func (n *node) open() error {
	s := n.settings
	var handed map[string]net.Listener
	var err error
	n.users, handed, err = openSockets(n.env, s.listen, map[string]string{loginName: s.login})
	if err == nil {
		n.login, err = ownSocket(handed, loginName, s.login)
	}
	if err == nil && s.metrics != "" {
		n.numbers, err = net.Listen("tcp", s.metrics)
	}
	if err != nil {
		return cli.Fail(cli.NotFound, err, listen.Hint(err))
	}
	return nil
}

// run answers until ctx ends or a socket breaks.
func (n *node) run(ctx context.Context, hup <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { n.manager.Reloads(ctx, hup, n.reload) })
	g, serving := errgroup.WithContext(ctx)
	g.Go(func() error { return login.Serve(serving, n.login, n.answer, login.ServeOptions{Log: n.log}) })
	n.log.Info("listening", "op", "listen", "addr", "unix:"+n.settings.login, "for", "logins")
	for _, l := range n.users.List {
		g.Go(func() error {
			return httpd.Serve(serving, l, n.client.Handler(), httpd.Options{Log: n.log, MaxHeader: maxHeader})
		})
		n.log.Info("listening", "op", "listen", "addr", l.Name, "for", "requests")
	}
	if n.numbers != nil {
		g.Go(func() error { return httpd.Serve(serving, n.numbers, n.page(), httpd.Options{Log: n.log}) })
	}
	for _, note := range n.settings.notes {
		n.log.Warn(note.String(), "op", "configure")
	}
	n.manager.Notify("READY=1\nSTATUS=asking " + n.settings.server)
	background.Go(func() { <-serving.Done(); n.manager.Notify("STOPPING=1") })
	if err := g.Wait(); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	n.log.Info("stopped", "op", "stop")
	return nil
}

// answer asks the server about one login.
func (n *node) answer(ctx context.Context, _ sock.Peer, q login.Question) login.Answer {
	a := n.client.Login(ctx, q)
	word := "no"
	if a.Allowed {
		word = "yes"
	}
	n.answers.With(word).Add(1)
	return a
}

func (n *node) page() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		_ = n.set.Write(w) // that the client has gone away is not ours to report
	})
	return mux
}

// reload takes a renewed certificate. Everything else of a relay's configuration takes a restart.
func (n *node) reload() {
	err := n.own.renew()
	if n.users != nil && err == nil {
		err = n.users.Renew(n.settings.listen)
	}
	if err != nil {
		n.log.Error("an old certificate stays in use", "op", "reload", "err", err)
	}
	if _, err := readRelaySettings(n.settings.file); err != nil {
		for _, line := range daemon.Lines(fmt.Errorf("the configuration for the next start: %w", err)) {
			n.log.Error(line, "op", "reload")
		}
	}
	n.log.Info("certificates read anew; a new configuration takes a restart", "op", "reload")
	n.manager.Notify("READY=1\nSTATUS=asking " + n.settings.server)
}

func (n *node) close() {
	if n.login != nil {
		_ = n.login.Close()
	}
	if n.users != nil {
		n.users.Close()
	}
	if n.numbers != nil {
		_ = n.numbers.Close()
	}
}
