package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// stopTime is how long a refresh under way may take to end when the agent is told to stop: a little longer than a request
// to a provider may take. One cut off has replaced the refresh token at the provider, and here nobody has the new one.
const stopTime = 12 * time.Second

// daemon is a running agent.
type daemon struct {
	cmd   *Cmd
	env   *cli.Env
	log   *slog.Logger
	vault *vault.Vault
	svc   *service.Service
	file  service.File // nil for no keystore
	socks sockets
	warn  []string
	stop  func()

	program      program   // that runs, for --restart-on-update
	before, next *handover // of the program before, for the next one; nil mostly
}

// serve is the agent. When its program was replaced and that is asked for, it goes on as the new one.
func (c *Cmd) serve(ctx context.Context, env *cli.Env) error {
	next, err := c.serveOnce(ctx, env)
	if next != nil && errors.Is(err, errUpdated) {
		return next.become(env)
	}
	return err
}

// serveOnce is from an empty process to the answer of the last client. next is for the program that goes on.
func (c *Cmd) serveOnce(ctx context.Context, env *cli.Env) (next *handover, err error) {
	ctx, stop := context.WithCancel(ctx)
	settings, settingsErr := login.FindSettings(env.Getenv)
	c.configure(settings)
	d := &daemon{cmd: c, env: env, log: c.logger(env)}
	if settingsErr != nil {
		stop()
		const hint = "correct the file, or set OIDC_USER_CONFIG=/dev/null to do without it"
		return nil, d.announceFailure(cli.Fail(cli.No, settingsErr, hint))
	}
	d.stop = stop
	late, cancel := lateAfter(ctx)
	defer cancel()
	defer d.close(late)
	defer stop() // begins the time that close has
	if err := d.prepare(ctx, stop); err != nil {
		return nil, d.announceFailure(err)
	}
	if d.before == nil {
		if err := d.announce(); err != nil {
			return nil, err
		}
	}
	debug.FreeOSMemory() // what starting needed
	err = d.run(ctx, late)
	return d.next, err
}

// lateAfter returns a context that ends when everything has to end: stopTime after ctx has, or when the agent is told a
// second time.
func lateAfter(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.Background())
	context.AfterFunc(ctx, func() {
		defer cancel()
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		end := time.NewTimer(stopTime)
		defer end.Stop()
		select {
		case <-again:
		case <-end.C:
		case <-late.Done():
		}
	})
	return late, cancel
}

// prepare does everything that can fail before anybody is told that there is an agent.
func (d *daemon) prepare(ctx context.Context, stop func()) error {
	restrictFiles()
	if err := vault.HardenProcess(); err != nil {
		d.warning(err.Error())
	}
	var err error
	if d.before, err = d.cmd.takeOver(d.env); err != nil {
		return err
	}
	if d.cmd.RestartOnUpdate {
		if d.program, err = findProgram(); err != nil {
			return fmt.Errorf("find this program, to see when it is replaced: %w", err)
		}
	}
	if d.vault, err = vault.New(vault.Prefer, d.warning); err != nil {
		return err
	}
	if d.before != nil {
		if err := d.socks.inherit(d.before); err != nil {
			return err
		}
	}
	if err := d.socks.choose(d.cmd, d.env); err != nil {
		return placeError(err)
	}
	if err := d.newService(stop); err != nil {
		return err
	}
	open := d.openKeystore
	if d.before != nil {
		open = func(ctx context.Context) error { return d.resume(ctx, d.before) }
	}
	if err := open(ctx); err != nil {
		return err
	}
	// The sockets come last: who finds one can use the agent.
	if err := d.socks.listen(d.env, d.warning); err != nil {
		return placeError(err)
	}
	return d.writePID()
}

func (d *daemon) newService(stop func()) error {
	d.file = d.keystoreFile()
	var err error
	d.svc, err = service.New(service.Options{
		Vault: d.vault, Memory: memstore.New(), File: d.file, Now: d.env.Now, Log: d.log,
		HTTP: func(caFile string) (*httpc.Client, error) {
			if caFile == "" {
				caFile = d.cmd.settings.CertPath
			}
			return httpc.New(httpc.Options{CAFile: caFile, UserAgent: "oidcbox-agent", Getenv: d.env.Getenv})
		},
		Accounts: login.DirectoryOf(d.env.Getenv, d.env.Dir), Getenv: d.env.Getenv,
		Issuers:  d.issuers().Get,
		Asker:    d.asker(),
		Listen:   func(path string) (net.Listener, error) { return listenShare(d.env, path) },
		Shutdown: stop, Version: d.env.Version, PID: os.Getpid(), Socket: d.socks.path,
		Switches: d.cmd.switches(d.env), Mytoken: d.cmd.mytoken(),
	})
	return err
}

// issuers follows the person's and the system's lists, so that what is edited there needs no restart.
func (d *daemon) issuers() *login.LiveCatalogue {
	return login.NewLiveCatalogue(login.LiveOptions{
		Dirs:  func() []string { return login.CatalogueDirs(d.env.Getenv) },
		Now:   d.env.Now,
		Fault: func(err error) { d.log.Warn("list of issuers", "err", err) },
	})
}

// run answers until ctx ends, a socket breaks, or the process it was started for has ended. Requests that go on when it
// is late are left behind.
func (d *daemon) run(ctx, late context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, ln := range d.socks.agent {
		g.Go(func() error {
			// Who is not the owner's own program on this host gets tokens only.
			return proto.Serve(ctx, ln, d.svc.Front(elsewhere), proto.ServeOptions{Allow: d.socks.allow, Log: d.log})
		})
	}
	if d.socks.control != nil {
		g.Go(func() error { return control.Serve(ctx, d.socks.control, d.svc.Admin(), d.log) })
	}
	if d.cmd.Until > 0 {
		g.Go(func() error { return waitForExit(ctx, d.cmd.Until) })
	}
	if d.cmd.RestartOnUpdate {
		g.Go(func() error { return d.watchProgram(ctx) })
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	select {
	case err := <-ended:
		if errors.Is(err, errCommandEnded) {
			return nil
		}
		return err
	case <-late.Done():
		if d.next != nil {
			return errUpdated
		}
		return nil
	}
}

// errCommandEnded says that the command the agent was started for is over.
var errCommandEnded = errors.New("the command has ended")

// close waits for refreshes under way until it is late.
func (d *daemon) close(late context.Context) {
	if d.svc != nil {
		if err := d.svc.Close(late); err != nil {
			d.log.Warn("not everything ended in time", "err", err)
		}
	}
	if d.vault != nil {
		d.vault.Close()
	}
	d.socks.close()
	if d.cmd.PIDFile != "" {
		_ = os.Remove(d.cmd.PIDFile)
	}
}

func (d *daemon) warning(msg string) {
	d.warn = append(d.warn, msg)
	d.log.Warn(msg)
}

func (d *daemon) writePID() error {
	if d.cmd.PIDFile == "" {
		return nil
	}
	d.cmd.PIDFile = d.abs(d.cmd.PIDFile) // the agent leaves its directory
	if err := os.WriteFile(d.cmd.PIDFile, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// asker is the way to the person at this machine. There is no terminal: an agent has left the one it was started at.
func (d *daemon) asker() prompt.Asker {
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	return prompt.Best(prompt.Env{Getenv: d.env.Getenv, Self: self})
}
