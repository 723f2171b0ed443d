package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// Limits of one piece of work and of housekeeping.
const (
	workTimeout  = 60 * time.Second // one answer, the provider's slowness included
	housekeeping = 30 * time.Second
)

// File is where the person's keystore lies. The role chooses the engine.
type File interface {
	Path() string
	Exists(ctx context.Context) (bool, error)
	// Open opens the file that is there, or fails with fs.ErrNotExist.
	Open(ctx context.Context) (store.Engine, error)
	// Make opens it, making it where there is none.
	Make(ctx context.Context) (store.Engine, error)
}

// Options of a Service.
type Options struct {
	Vault  *vault.Vault
	Memory store.Engine // for logins that are not saved; sealed by the service, closed by it
	File   File         // nil: no keystore
	// HTTP returns the client for a CA bundle, "" for the system's.
	HTTP func(caFile string) (*httpc.Client, error)
	Now  func() time.Time
	Log  *slog.Logger

	// Accounts are the person's account files; nil: there are none.
	Accounts Accounts
	// Getenv is the environment: of commands that print a password, and for parameters that a person adds to requests;
	// nil: it is empty.
	Getenv func(string) string
	// Asker asks the person whose agent it is, on the agent's own screen; nil: there is none. A client that has a terminal
	// is asked to ask there instead.
	Asker prompt.Asker
	// Issuers returns what is known of issuers now; nil: nothing is. It is called for many requests, so it must be quick.
	Issuers func() login.Catalogue
	// Mytoken is where logins are set up that nobody names a client for, if the person prefers that.
	Mytoken MytokenChoice
	// Shutdown makes the process end.
	Shutdown func()
	// Listen makes a socket to share at a path, or at one of its choice for ""; nil: there are none. Its listener has the
	// path as its address.
	Listen func(path string) (net.Listener, error)

	Version string
	PID     int
	Socket  string // for status answers
	Switches
}

// MytokenChoice is a mytoken server for new logins. The zero value is none.
type MytokenChoice struct {
	Server  string
	Profile string // a name, or a JSON object
}

// Switches are the agent's command-line options that its answers depend on.
type Switches struct {
	Lifetime           time.Duration // of a loaded login, 0 for ever
	Confirm            bool
	NoAutoload         bool
	NoReauthenticate   bool
	NoAutogen          bool
	AutogenExact       bool // ask for the scopes of the request only, not for all there are
	NoScheme           bool
	NoWebserver        bool
	AlwaysAllowIDToken bool
	Group              string
	Console            bool
	Debug              bool
	LogStderr          bool
	CommandLine        []string
}

// Service is the agent. It implements proto.Handler and control.Backend; its methods are safe for concurrent use.
// Close it at the end.
type Service struct {
	opts    Options
	started time.Time

	gate    gate
	logins  *registry
	tokens  *cache
	issuers *directory
	servers *mytokenServers
	pending *waiting
	shares  shares
	fetches flights[granted]

	passwords *passwords  // of account files
	files     *fileWriter // keeps account files up to date

	answered atomic.Uint64 // requests
	changing chan struct{} // holds one while somebody locks, unlocks or changes the keystore
	wrong    attempts      // passwords that did not fit; used by the holder of changing

	mu   sync.Mutex // guards what follows
	mem  *shelf
	disk *shelf // nil while the keystore is locked or absent

	desk  *desk
	talks talks

	running context.Context //nolint:containedctx // the life of the service
	halt    context.CancelFunc
	stop    chan struct{}
	endOnce sync.Once
	wg      sync.WaitGroup
}

// New returns a running service. Options.Vault, Memory and HTTP must be set.
func New(o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Issuers == nil {
		o.Issuers = func() login.Catalogue { return login.Catalogue{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	keys, err := o.Vault.NewSealer()
	if err != nil {
		return nil, fmt.Errorf("make the keys for logins in memory: %w", err)
	}
	s := &Service{
		opts: o, started: o.Now(), stop: make(chan struct{}),
		logins: newRegistry(o.Now), tokens: newCache(o.Vault, o.Now),
		issuers: newDirectory(o), pending: newWaiting(o.Now), changing: make(chan struct{}, 1),
	}
	s.desk, s.talks.rows = newDesk(), make(map[string]*talk)
	s.shares.rows = make(map[string]*share)
	s.running, s.halt = context.WithCancel(context.Background())
	s.servers = newMytokenServers(s.issuers, o.Now)
	s.mem = s.newShelf(o.Memory, sealed.New(o.Memory, keys), keys)
	s.passwords, s.files = newPasswords(s), newFileWriter(s)
	s.wg.Go(s.keepHouse)
	if o.Accounts != nil {
		s.wg.Go(func() { s.files.run(s.stop) })
	}
	return s, nil
}

// Close ends the service: pending flows are dropped, running refreshes are waited for until ctx ends, keys are wiped.
// The vault is the caller's. A second Close does nothing.
func (s *Service) Close(ctx context.Context) (err error) {
	s.endOnce.Do(func() { err = s.close(ctx) })
	return err
}

func (s *Service) close(ctx context.Context) error {
	close(s.stop)
	s.halt() // nobody is asked any more
	s.pending.clear()
	err := s.gate.close(ctx)
	if errors.Is(err, ErrLocked) {
		err = nil
	}
	err = errors.Join(err, waitFor(ctx, &s.wg), waitFor(ctx, &s.fetches.wg), waitFor(ctx, &s.issuers.asking.wg),
		waitFor(ctx, &s.servers.asking.wg))
	s.issuers.close()
	s.tokens.clear()
	_ = s.files.flushAll(ctx) // it has been logged; the refresh tokens are where they were
	s.mu.Lock()
	mem, disk := s.mem, s.disk
	s.disk = nil
	s.mu.Unlock()
	s.warnOfLosses(ctx, mem)
	err = errors.Join(err, mem.close(ctx))
	if disk != nil {
		err = errors.Join(err, disk.close(ctx))
	}
	return err
}

// keepHouse drops what has expired. When the agent has become idle it gives memory back to the system: people run one
// on every login node, and it waits nearly all the time.
func (s *Service) keepHouse() {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	var seen, trimmed uint64
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.sweep(context.Background())
		}
		now := s.answered.Load()
		if now == seen && now != trimmed {
			debug.FreeOSMemory()
			trimmed = now
		}
		seen = now
	}
}

func (s *Service) sweep(ctx context.Context) {
	s.tokens.sweep()
	s.pending.sweep()
	if s.gate.enter() != nil {
		return // the memory shelf cannot be changed while it is locked; expired logins are not served meanwhile
	}
	defer s.gate.leave()
	for _, l := range s.logins.takeExpired() {
		s.unload(ctx, l)
	}
}

// unload forgets what belongs to a login that was taken from the registry.
func (s *Service) unload(ctx context.Context, l loaded) {
	s.tokens.forget(l.name)
	if err := s.files.flush(ctx, l.name); err != nil {
		s.opts.Log.DebugContext(ctx, "account file of an unloaded login", "login", l.name, "err", err)
	}
	if l.fromFile {
		s.retire(ctx, l.name)
	}
	if l.stored || s.onlyCopy(ctx, l.name) {
		return
	}
	if err := s.memory().remove(ctx, l.name); err != nil {
		s.opts.Log.WarnContext(ctx, "login not removed from memory", "login", l.name, "err", err)
	}
}

// retire takes a login from an account file out of service in the keystore. Its refresh token stays there: the one in
// the file may be older.
func (s *Service) retire(ctx context.Context, name string) {
	sh, err := s.keystore()
	if err == nil {
		err = sh.retire(ctx, name)
	}
	if err != nil {
		s.opts.Log.WarnContext(ctx, "login not taken out of service in the keystore", "login", name, "err", err)
	}
}

// onlyCopy reports whether the refresh token of a login in memory has been replaced since it was loaded. The one in the
// client's account file is useless then: forgetting ours would end the login. It stays sealed and is not served; the
// next add of the login, with whatever token, goes on with it.
func (s *Service) onlyCopy(ctx context.Context, name string) bool {
	st, err := s.memory().keeper.State(ctx, name)
	if err != nil || st.Generation < firstReplaced || st.NeedsLogin || s.files.current(name, st.TokenID) {
		return false
	}
	n, err := s.memory().count(ctx)
	return err == nil && n <= maxLoaded
}

// warnOfLosses names the logins that end with the agent: the refresh token in their account file has been replaced, and
// the new one is saved nowhere.
func (s *Service) warnOfLosses(ctx context.Context, mem *shelf) {
	configs, err := mem.all(ctx)
	if err != nil {
		return // the agent is locked
	}
	for _, cfg := range configs {
		st := mem.state(ctx, cfg.Name)
		if st.Generation >= firstReplaced && !st.NeedsLogin && !s.files.current(cfg.Name, st.TokenID) {
			s.opts.Log.WarnContext(ctx, "login ends with the agent: its new refresh token is saved nowhere", "login", cfg.Name)
		}
	}
}

func (s *Service) memory() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mem
}

// keystore returns the disk shelf, or ErrNoKeystore or ErrKeystoreLocked.
func (s *Service) keystore() (*shelf, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.opts.File == nil:
		return nil, ErrNoKeystore
	case s.disk == nil:
		return nil, ErrKeystoreLocked
	}
	return s.disk, nil
}

// shelfOf is where a served login lives.
func (s *Service) shelfOf(l loaded) (*shelf, error) {
	if l.stored {
		return s.keystore()
	}
	return s.memory(), nil
}

func (s *Service) newShelf(raw, eng store.Engine, k keys) *shelf {
	return &shelf{
		raw: raw, eng: eng, keys: k,
		keeper: custody.New(eng, custody.Options{Now: s.opts.Now, Log: s.opts.Log}),
	}
}

// keys are what a shelf's records are sealed with. They can be put away under a password and fetched back.
type keys interface {
	Lock(ctx context.Context, password secret.Text) error
	Unlock(ctx context.Context, password secret.Text) error
	Drop()
}

var (
	_ keys = (*vault.Keys)(nil)
	_ keys = (*keystore.Keystore)(nil)
)
