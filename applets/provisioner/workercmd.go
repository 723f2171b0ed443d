package provisioner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/account/worker"
	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// Names below the directory of a worker.
const (
	ledgerFile = "ledger"
	marksDir   = "marks"
)

type workerCmd struct {
	Config string `default:"/etc/oidcbox/worker.yaml" placeholder:"FILE" help:"The configuration of the worker (${default})."`
}

// Run makes accounts until ctx is cancelled. A new configuration takes a restart, which loses nothing: what is under way
// is finished, and the server asks again.
func (c *workerCmd) Run(ctx context.Context, env *cli.Env) error {
	hup := daemon.Hangup(ctx)
	s, err := readWorkerSettings(within(env, c.Config))
	if err != nil {
		return configError(ofWorker, err)
	}
	w, err := newWorker(ctx, env, s)
	if err != nil {
		return err
	}
	defer w.close()
	return w.run(ctx, hup)
}

// workerDaemon is a running worker.
type workerDaemon struct {
	env      *cli.Env
	settings *workerSettings
	options  worker.Options
	ledger   store.Engine
	audit    *audit.Log
	listener net.Listener
	manager  daemon.Manager
	shut     func() // of the account system; nil: nothing to close
}

func newWorker(ctx context.Context, env *cli.Env, s *workerSettings) (w *workerDaemon, err error) {
	w = &workerDaemon{env: env, settings: s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log}}
	defer func() {
		if err != nil {
			w.close()
			w = nil
		}
	}()
	if err := vault.HardenProcess(); err != nil {
		env.Log.Warn("this process can be looked into by others", "err", err)
	}
	if s.backend == localUnix && os.Geteuid() != 0 {
		return w, cli.Failf(cli.Denied, "local accounts are made by root, and this is uid %d", os.Geteuid())
	}
	if w.audit, err = audit.Open(s.audit, audit.Options{Stdout: env.Stdout, Stderr: env.Stderr}); err != nil {
		return w, cli.Fail(cli.NotFound, err, "")
	}
	if err := w.openLedger(ctx); err != nil {
		return w, err
	}
	if err := w.prepare(ctx); err != nil {
		return w, err
	}
	if w.listener, err = w.listen(ctx); err != nil {
		return w, cli.Fail(cli.NotFound, err, listen.Hint(err))
	}
	return w, nil
}

// openLedger opens what a worker knows of its accounts, and makes it where there is none.
func (w *workerDaemon) openLedger(ctx context.Context) error {
	if err := setup.MakePrivateDir(w.settings.state); err != nil {
		return cli.Fail(cli.Denied, fmt.Errorf("directory of the worker: %w", err), "it has to be the worker's own, with mode 0700")
	}
	ledger, err := boltstore.Open(ctx, filepath.Join(w.settings.state, ledgerFile), boltstore.Options{
		Role: ledgerRole, Holder: ledgerRole, Timeout: stateWait, Now: w.env.Now, Log: w.env.Log,
	})
	if err != nil {
		return engineError(err)
	}
	w.ledger = ledger
	return nil
}

// prepare makes the options of the worker.
func (w *workerDaemon) prepare(ctx context.Context) error {
	s := w.settings
	system, err := w.system(ctx)
	if err != nil {
		return cli.Fail(cli.NotFound, fmt.Errorf("account system %s: %w", s.backend, err), "")
	}
	w.options = worker.Options{
		System: system, Ledger: w.ledger, Limits: s.limits, Groups: s.groups, Rate: s.rate,
		Marks: filepath.Join(s.state, marksDir), PostCreate: s.postCreate.command, PostCreateTimeout: s.postCreate.timeout,
		Numbers: s.backend == localUnix, Adopt: s.adopt, Audit: w.record, Log: w.env.Log, Now: w.env.Now,
	}
	if s.backend == dryrunBackend {
		w.options.Marks = "" // nobody logs in to an account that is not there
	}
	for _, name := range s.users {
		u, err := userOf(ctx, name)
		if err != nil {
			return cli.Fail(cli.NotFound, fmt.Errorf("users: %w", err), "who runs the server? (users in the configuration of the worker)")
		}
		w.options.Peers = append(w.options.Peers, u.UID)
	}
	if err := w.options.Check(); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	return nil
}

// listen makes the socket, and lets the users reach it who may ask: their uid decides, and the mode keeps others from
// knocking.
func (w *workerDaemon) listen(ctx context.Context) (net.Listener, error) {
	path := w.settings.socket
	if err := makeSocketDir(path); err != nil {
		return nil, err
	}
	ln, err := sock.Listen(path, sock.ListenOptions{Mode: 0o600})
	if err != nil {
		return nil, err
	}
	u, err := userOf(ctx, w.settings.users[0])
	if err == nil && len(w.settings.users) == 1 {
		err = errors.Join(os.Chown(path, -1, int(u.GID)), os.Chmod(path, 0o660)) //nolint:gosec // the group has to reach it
	} else if err == nil {
		err = os.Chmod(path, 0o666) //nolint:gosec // several users without a group: the uid of each is looked at
	}
	if errors.Is(err, os.ErrPermission) && os.Geteuid() != 0 { // a group that is not ours: then everybody may knock
		err = os.Chmod(path, 0o666) //nolint:gosec // as above
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// run works until ctx ends.
func (w *workerDaemon) run(ctx context.Context, hup <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.manager.Reloads(ctx, hup, w.reload)
	}()
	defer func() { stop(); <-done }()
	log := w.env.Log
	log.Info("listening", "op", "listen", "addr", "unix:"+w.settings.socket, "for", "accounts", "backend", w.settings.backend)
	for _, n := range w.settings.notes {
		log.Warn(n.String(), "op", "configure")
	}
	w.manager.Notify("READY=1\nSTATUS=making accounts: " + w.settings.backend)
	err := worker.Serve(ctx, w.listener, w.options)
	w.manager.Notify("STOPPING=1")
	if err != nil {
		return cli.Fail(cli.No, err, "")
	}
	log.Info("stopped", "op", "stop")
	return nil
}

// reload begins a log anew that was moved away. Everything else of a worker's configuration takes a restart.
func (w *workerDaemon) reload() {
	if err := w.audit.Reopen(); err != nil {
		w.env.Log.Error("the audit goes on into the old file", "op", "reload", "err", err)
	}
	if _, err := readWorkerSettings(w.settings.file); err != nil {
		for _, line := range daemon.Lines(err) {
			w.env.Log.Error(line, "op", "reload")
		}
	}
	w.env.Log.Info("the audit goes on; a new configuration takes a restart", "op", "reload")
	w.manager.Notify("READY=1\nSTATUS=making accounts: " + w.settings.backend)
}

func (w *workerDaemon) record(e worker.Event) { w.audit.Record(e.Time, workerLineOf(e).appendTo) }

func (w *workerDaemon) close() {
	if w.listener != nil {
		_ = w.listener.Close()
	}
	if w.shut != nil {
		w.shut()
	}
	if w.ledger != nil {
		if err := w.ledger.Close(); err != nil {
			w.env.Log.Error("the ledger was not closed well", "op", "stop", "err", err)
		}
	}
	if w.audit != nil {
		w.audit.Close()
	}
}
