package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/store"
)

// Admin is the service as the control socket sees it.
type Admin struct{ s *Service }

var _ control.Backend = Admin{}

// Admin returns the backend of the control socket. Its errors carry exit codes and hints.
func (s *Service) Admin() Admin { return Admin{s} }

// Status describes the agent.
func (a Admin) Status(ctx context.Context) (control.Status, error) {
	s := a.s
	st := control.Status{
		Version: s.opts.Version, PID: s.opts.PID, Started: s.started, Socket: s.opts.Socket,
		Keystore: s.keystoreState(ctx), Locked: s.gate.isClosed(), LockedMemory: s.opts.Vault.Locked(),
		Loaded: s.loadedNames(),
	}
	if s.opts.File != nil {
		st.KeystorePath = s.opts.File.Path()
	}
	return st, nil
}

// Create makes the keystore and opens it.
func (a Admin) Create(ctx context.Context, passphrase secret.Text) error {
	first := keystore.NewSlot{Kind: keystore.KindPassphrase, Passphrase: passphrase}
	if _, err := a.s.keystore(); err == nil {
		return coded(ErrKeystoreExists)
	}
	return coded(a.s.MakeKeystore(ctx, first))
}

// Unlock opens the keystore.
func (a Admin) Unlock(ctx context.Context, u control.Unlock) error {
	cred := keystore.Passphrase(u.Passphrase)
	switch {
	case u.KeyFile != "":
		cred = keystore.KeyFile(u.KeyFile)
	case u.Keyring:
		cred = keystore.Keyring("", "")
	case u.SSHAgent != "":
		cred = keystore.SSHAgent(u.SSHAgent)
	}
	return coded(a.s.OpenKeystore(ctx, cred))
}

// Lock drops the keys of the keystore.
func (a Admin) Lock(ctx context.Context) error { return coded(a.s.CloseKeystore(ctx)) }

// Logins lists what the keystore and the memory hold.
func (a Admin) Logins(ctx context.Context) (list []control.Login, err error) {
	err = a.inside(func() error {
		list, err = a.s.describeLogins(ctx)
		return err
	})
	return list, err
}

func (s *Service) describeLogins(ctx context.Context) ([]control.Login, error) {
	var list []control.Login
	if sh, err := s.keystore(); err == nil {
		err := sh.each(ctx, func(cfg login.Config, r row) {
			d := describe(cfg)
			cfg.Wipe()
			served, ok := s.logins.get(d.Name)
			d.Stored, d.FromFile, d.Loaded, d.Expires = !r.FromFile, r.FromFile, ok, served.expires
			list = append(list, d)
		})
		if err != nil {
			return nil, err
		}
		for i, d := range list {
			list[i] = s.withState(d, sh.state(ctx, d.Name))
		}
	}
	for _, l := range s.logins.list() {
		if l.stored || slices.ContainsFunc(list, func(d control.Login) bool { return d.Name == l.name }) {
			continue
		}
		cfg, _, err := s.memory().config(ctx, l.name)
		if err != nil {
			return nil, err
		}
		d := s.withState(describe(cfg), s.memory().state(ctx, l.name))
		cfg.Wipe()
		d.Loaded, d.Expires = true, l.expires
		list = append(list, d)
	}
	sorted.By(list, func(a, b control.Login) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func describe(cfg login.Config) control.Login {
	return control.Login{
		Name: cfg.Name, Issuer: cfg.Issuer, ClientID: cfg.ClientID, Scope: cfg.AuthScope, Audience: cfg.Audience,
		MytokenURL: cfg.MytokenURL, ConfigEndpoint: cfg.ConfigEndpoint, CertPath: cfg.CertPath,
	}
}

// withState adds what custody, the cache and the account files know.
func (s *Service) withState(d control.Login, st custody.State) control.Login {
	d.NeedsLogin, d.Reason, d.Unsaved = st.NeedsLogin, st.Reason, st.Unsaved
	d.LastRefresh, d.RefreshExpires = st.LastRefresh, st.TokenExpires
	d.AccessExpires = s.tokens.latest(d.Name)
	d.FileBehind = s.files.behind(d.Name)
	return d
}

// state is that of the refresh token. Without one (it was revoked) only a new login helps.
func (sh *shelf) state(ctx context.Context, name string) custody.State {
	st, err := sh.keeper.State(ctx, name)
	if errors.Is(err, custody.ErrUnknownLogin) {
		return custody.State{NeedsLogin: true}
	}
	if err != nil {
		return custody.State{}
	}
	return st
}

// SaveLogin puts a login into the keystore.
func (a Admin) SaveLogin(ctx context.Context, config secret.Text) error {
	return a.inside(func() error {
		cfg, err := parseConfig(config)
		if err != nil {
			return err
		}
		defer cfg.Wipe()
		return a.s.save(ctx, cfg)
	})
}

// save makes cfg a login of the keystore. When it is served from memory, the refresh token there may be newer than the one
// in cfg; it stays where it is until it has been moved.
func (s *Service) save(ctx context.Context, cfg login.Config) error {
	sh, err := s.keystore()
	if err != nil {
		return err
	}
	l, served := s.logins.get(cfg.Name)
	if served {
		l.place.Lock()
		defer l.place.Unlock()
	}
	rt, err := s.newestToken(ctx, cfg, served && !l.stored)
	if err != nil {
		return err
	}
	defer rt.Wipe()
	if rt.Empty() {
		return fail(proto.TextNoRefreshToken, "")
	}
	cfg.RefreshToken = rt
	if !served {
		l = loaded{name: cfg.Name, expires: s.expiry(loading{})}
	}
	fromMemory := served && !l.stored
	l.issuer, l.stored, l.fromFile = cfg.Issuer, true, false
	if err := s.place(ctx, sh, cfg, l); err != nil {
		return err
	}
	if err := s.logins.put(l); err != nil {
		return err
	}
	if fromMemory {
		return s.leaveMemory(ctx, sh, cfg.Name)
	}
	return nil
}

// newestToken is the refresh token to save: that of cfg, or the one that replaced it in memory.
func (s *Service) newestToken(ctx context.Context, cfg login.Config, inMemory bool) (secret.Text, error) {
	if !inMemory {
		return cfg.RefreshToken.Clone(), nil
	}
	mem := s.memory().keeper
	old, err := mem.Superseded(ctx, cfg.Name, cfg.RefreshToken)
	if err != nil {
		return secret.Text{}, err
	}
	if old || cfg.RefreshToken.Empty() {
		return mem.Token(ctx, cfg.Name)
	}
	return cfg.RefreshToken.Clone(), nil
}

// LoadLogin serves a login of the keystore.
func (a Admin) LoadLogin(ctx context.Context, name string, o control.LoadOptions) (info string, err error) {
	err = a.inside(func() error {
		info, err = a.s.load(ctx, name, o)
		return err
	})
	return info, err
}

func (s *Service) load(ctx context.Context, name string, o control.LoadOptions) (string, error) {
	how := loading{
		confirm: o.Confirm, allowIDTok: o.AlwaysAllowIDToken, skipCheck: o.SkipCheck, given: o.Lifetime != nil,
	}
	if how.given {
		how.lifetime = seconds(*o.Lifetime)
	}
	sh, err := s.keystore()
	// A person asks, so a login that the provider has refused is tried once more: providers have bad days.
	again := err == nil && !o.SkipCheck && sh.state(ctx, name).NeedsLogin
	if l, ok := s.logins.get(name); ok && !o.Force && !(l.stored && again) {
		rep, err := s.addAgain(l, how)
		return rep.Info.Text(), err
	}
	if err != nil {
		return "", err
	}
	cfg, r, err := sh.config(ctx, name)
	if err != nil {
		return "", err
	}
	defer cfg.Wipe()
	if again {
		if err := sh.keeper.TryAgain(ctx, name); err != nil {
			return "", err
		}
	}
	l := loaded{
		name: name, issuer: cfg.Issuer, stored: true, expires: s.expiry(how),
		subject: r.Subject, confirm: o.Confirm || r.Confirm, allowIDTok: o.AlwaysAllowIDToken || r.AlwaysAllowIDToken,
	}
	if err := s.logins.put(l); err != nil {
		return "", err
	}
	if !how.skipCheck {
		g, err := s.fetch(ctx, l, cacheKey{login: name}, nil)
		g.wipe()
		if err != nil {
			s.keepForReauthentication(l)
			return "", err
		}
	}
	return lifetimeInfo(l, how), nil
}

// ExportLogin gives a login with its refresh token.
func (a Admin) ExportLogin(ctx context.Context, name string) (config secret.Text, err error) {
	err = a.inside(func() error {
		sh, err := a.s.holder(ctx, name)
		if err != nil {
			return err
		}
		cfg, err := sh.full(ctx, name)
		if err != nil {
			return err
		}
		defer cfg.Wipe()
		config, err = configText(cfg)
		return err
	})
	return config, err
}

// holder is the shelf that has a login, served or not.
func (s *Service) holder(ctx context.Context, name string) (*shelf, error) {
	if l, ok := s.logins.get(name); ok {
		return s.shelfOf(l)
	}
	sh, err := s.keystore()
	if errors.Is(err, ErrKeystoreLocked) && s.keystoreState(ctx) == control.KeystoreAbsent {
		return nil, fmt.Errorf("login %s: %w", name, ErrUnknownLogin)
	}
	if err != nil {
		return nil, err
	}
	cfg, _, err := sh.config(ctx, name)
	cfg.Wipe()
	return sh, err
}

// RemoveLogin deletes a login wherever it is.
func (a Admin) RemoveLogin(ctx context.Context, name string) error {
	return a.inside(func() error {
		if _, err := a.s.holder(ctx, name); err != nil {
			return err
		}
		return a.s.drop(ctx, name)
	})
}

// drop forgets a login wherever it is.
func (s *Service) drop(ctx context.Context, name string) error {
	s.logins.remove(name)
	s.tokens.forget(name)
	_ = s.passwords.forget(ctx, name) // of no use without the login
	err := s.memory().remove(ctx, name)
	if disk, lockedErr := s.keystore(); lockedErr == nil {
		err = errors.Join(err, disk.remove(ctx, name))
	}
	return errors.Join(err, s.files.giveUp(ctx, name))
}

// snapshotter is an engine that can write a consistent copy of itself.
type snapshotter interface {
	Snapshot(ctx context.Context, w io.Writer) (int64, error)
}

// Backup writes a copy of the keystore file, sealed as it is.
func (a Admin) Backup(ctx context.Context, w io.Writer) error {
	return a.inside(func() error {
		sh, err := a.s.keystore()
		if err != nil {
			return err
		}
		e, ok := sh.raw.(snapshotter)
		if !ok {
			return fmt.Errorf("back up the keystore: %w", errors.ErrUnsupported)
		}
		_, err = e.Snapshot(ctx, w)
		return err
	})
}

// Slots lists the ways into the keystore.
func (a Admin) Slots(ctx context.Context) (list []control.Slot, err error) {
	err = a.withKeystore(func(ks *keystore.Keystore) error {
		slots, err := ks.Slots(ctx)
		for _, s := range slots {
			list = append(list, slotOf(s))
		}
		return err
	})
	return list, err
}

// AddSlot adds a way into the keystore.
func (a Admin) AddSlot(ctx context.Context, n control.NewSlot) (slot control.Slot, err error) {
	kind, ok := keystore.ParseKind(n.Kind)
	if !ok {
		return slot, cli.Failf(cli.Usage, "unknown kind of key slot %q", n.Kind)
	}
	err = a.withKeystore(func(ks *keystore.Keystore) error {
		fresh := keystore.NewSlot{Kind: kind, Label: n.Label, Passphrase: n.Passphrase, Path: n.KeyFile}
		if kind == keystore.KindSSHAgent {
			fresh.Path, fresh.Name = n.SSHAgent, n.SSHKey
		}
		s, err := ks.AddSlot(ctx, fresh)
		slot = slotOf(s)
		return err
	})
	return slot, err
}

// RemoveSlot removes a way into the keystore; the last one stays.
func (a Admin) RemoveSlot(ctx context.Context, id string) error {
	return a.withKeystore(func(ks *keystore.Keystore) error { return ks.RemoveSlot(ctx, id) })
}

func (a Admin) withKeystore(fn func(*keystore.Keystore) error) error {
	return a.inside(func() error {
		sh, err := a.s.keystore()
		if err != nil {
			return err
		}
		return fn(sh.keys.(*keystore.Keystore)) // the disk shelf has no other keys
	})
}

func slotOf(s keystore.Slot) control.Slot {
	return control.Slot{ID: s.ID, Kind: s.Kind.String(), Label: s.Label, Created: s.Created}
}

// Token gives an access token.
func (a Admin) Token(ctx context.Context, r control.TokenRequest) (t control.Token, err error) {
	err = a.inside(func() error {
		got, err := a.s.token(ctx, wantOf(proto.Request{
			Account: r.Login, Issuer: r.Issuer, Scope: r.Scope, Audience: r.Audience, MinValid: r.MinValid, Hint: r.Hint,
		}))
		t = control.Token{Access: got.access, Issuer: got.issuer, Expires: got.expires, Scope: got.scope}
		return err
	})
	return t, err
}

// Shutdown makes the agent end.
func (a Admin) Shutdown(context.Context) error {
	if a.s.opts.Shutdown == nil {
		return errors.ErrUnsupported
	}
	a.s.opts.Shutdown()
	return nil
}

// inside runs fn while the agent cannot be locked.
func (a Admin) inside(fn func() error) error {
	if err := a.s.gate.enter(); err != nil {
		return coded(err)
	}
	defer a.s.gate.leave()
	return coded(fn())
}

// coded gives an error its exit code and hint.
func coded(err error) error {
	if err == nil || errors.As(err, new(*cli.Error)) {
		return err
	}
	inUse := &store.InUseError{}
	switch {
	case errors.Is(err, ErrLocked):
		return cli.Fail(cli.Human, err, "unlock it with: oidc-add -X")
	case errors.Is(err, ErrKeystoreLocked):
		return cli.Fail(cli.Human, err, "unlock it with: oidc-add --unlock")
	case errors.Is(err, ErrUnknownLogin), errors.Is(err, ErrNoKeystore), errors.Is(err, errNoQuestion):
		return cli.Fail(cli.NotFound, err, "")
	case errors.As(err, &inUse), errors.Is(err, store.ErrNoSpace), errors.Is(err, store.ErrConflict):
		return cli.Fail(cli.Temporary, err, "")
	case errors.Is(err, custody.ErrLoginAgain):
		p := explain(err, "")
		return cli.Fail(cli.Human, p, firstLine(p.help))
	}
	if refused := keystore.Refusal(err); errors.As(refused, new(*cli.Error)) {
		return refused
	}
	p := explain(err, "")
	reason := (&proto.AgentError{Text: p.text, Help: p.help}).Reason()
	return cli.Fail(reason.ExitCode(), p, firstLine(p.help))
}
