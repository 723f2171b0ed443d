package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
)

// loading are the switches of one add or load.
type loading struct {
	lifetime   time.Duration // 0 for ever
	given      bool          // lifetime was given, else the agent's default holds
	confirm    bool
	allowIDTok bool
	skipCheck  bool
}

func (s *Service) loadingOf(r proto.Request) loading {
	return loading{
		lifetime: seconds(r.Lifetime), given: r.HasLifetime || r.Lifetime > 0,
		confirm: r.Confirm, allowIDTok: r.AlwaysAllowIDToken, skipCheck: r.PlainAdd,
	}
}

// add loads the login in r.Config into memory. A login that is loaded already only changes its lifetime.
func (s *Service) add(ctx context.Context, r proto.Request) (proto.Reply, error) {
	cfg, err := parseConfig(r.Config)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	how := s.loadingOf(r)
	if l, ok := s.logins.get(cfg.Name); ok {
		return s.addOnceMore(ctx, l, r, how)
	}
	if cfg.RefreshToken.Empty() {
		return proto.Reply{}, fail(proto.TextNoRefreshToken, helpLoginAgain(cfg.Name))
	}
	if err := s.passwords.remember(ctx, cfg.Name, r.PWEntry); err != nil {
		return proto.Reply{}, err
	}
	info, err := s.addNew(ctx, cfg, how)
	return proto.Success(info), err
}

// addOnceMore is an add of a login that is loaded. What the client says of a password is news all the same: with it an
// account file that has fallen behind can be written.
func (s *Service) addOnceMore(ctx context.Context, l loaded, r proto.Request, how loading) (proto.Reply, error) {
	if err := s.passwords.improve(ctx, l.name, r.PWEntry); err != nil {
		return proto.Reply{}, err
	}
	rep, err := s.addAgain(l, how)
	if l, ok := s.logins.get(l.name); ok && err == nil && how.given && l.fromFile {
		err = s.saveTerm(ctx, l)
	}
	s.files.again()
	return rep, err
}

// saveTerm keeps in the keystore how long a login from an account file is to be served.
func (s *Service) saveTerm(ctx context.Context, l loaded) error {
	sh, err := s.keystore()
	if err != nil {
		return err
	}
	cfg, _, err := sh.config(ctx, l.name)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	return sh.save(ctx, cfg, l)
}

func (s *Service) addAgain(l loaded, how loading) (proto.Reply, error) {
	info := "account already loaded."
	if how.given {
		l.expires = s.expiry(how)
		if err := s.logins.put(l); err != nil {
			return proto.Reply{}, err
		}
		info += " " + lifetimeText(how.lifetime)
	}
	return proto.Success(info), nil
}

// addNew puts a login that is not served on the right shelf: one that the keystore has stays there, so that its
// refresh token is kept in one place. That also answers an account file with a superseded token. One from an account
// file goes into an open keystore too, see row.FromFile; without one it lives in memory.
func (s *Service) addNew(ctx context.Context, cfg login.Config, how loading) (info string, err error) {
	if cfg.Issuer, err = s.issuerOf(ctx, cfg); err != nil {
		return "", err
	}
	l := loaded{name: cfg.Name, issuer: cfg.Issuer, confirm: how.confirm, allowIDTok: how.allowIDTok}
	l.expires = s.expiry(how)
	if err := s.checkBehind(ctx, cfg); err != nil {
		return "", err
	}
	if l, err = s.shelveAdded(ctx, cfg, l); err != nil {
		return "", err
	}
	if err := s.logins.put(l); err != nil {
		return "", err
	}
	if !how.skipCheck {
		g, err := s.fetch(ctx, l, cacheKey{login: l.name}, nil)
		g.wipe()
		if err != nil {
			s.keepForReauthentication(l)
			return "", err
		}
	}
	return lifetimeInfo(l, how), nil
}

// shelveAdded puts a login where it belongs and returns it with that place. The refresh token in cfg gives way to one of
// ours that came after it.
func (s *Service) shelveAdded(ctx context.Context, cfg login.Config, l loaded) (loaded, error) {
	saved, err := s.sameGrant(ctx, cfg)
	if err != nil {
		return l, err
	}
	sh := s.memory()
	switch disk := s.fileShelf(ctx, cfg); {
	case saved:
		l.stored = true
		if disk, err := s.keystore(); err == nil {
			s.files.loaded(ctx, cfg, disk.state(ctx, cfg.Name).TokenID)
		}
		return l, nil
	case disk != nil:
		sh, l.stored, l.fromFile = disk, true, true
		err = s.fileToDisk(ctx, disk, cfg, l)
	default:
		err = s.place(ctx, sh, cfg, l)
	}
	if err != nil {
		return l, err
	}
	st := sh.state(ctx, cfg.Name)
	if st.NeedsLogin { // a person asks, so the provider is asked once more
		err = sh.keeper.TryAgain(ctx, cfg.Name)
	}
	s.files.loaded(ctx, cfg, st.TokenID)
	return l, err
}

// keepForReauthentication leaves a login that failed its test loaded for a moment, as the original does: the client
// goes on with "reauthenticate".
func (s *Service) keepForReauthentication(l loaded) {
	const moment = 10 * time.Second
	l.expires = s.opts.Now().Add(moment)
	_ = s.logins.put(l) // it is there: put cannot fail
}

// sameGrant reports whether the keystore holds this login with this refresh token or one that came after it.
func (s *Service) sameGrant(ctx context.Context, cfg login.Config) (bool, error) {
	sh, err := s.keystore()
	if err != nil {
		return false, nil
	}
	own, r, err := sh.config(ctx, cfg.Name)
	if errors.Is(err, ErrUnknownLogin) {
		return false, nil
	}
	defer own.Wipe()
	if err != nil || r.FromFile || !login.SameIssuer(own.Issuer, cfg.Issuer) {
		return false, err
	}
	old, err := sh.keeper.Superseded(ctx, cfg.Name, cfg.RefreshToken)
	if err != nil || old {
		return old, err
	}
	st, err := sh.keeper.State(ctx, cfg.Name)
	if err != nil {
		return false, err
	}
	return st.TokenID == cfg.RefreshToken.ID(), nil
}

// place puts configuration and refresh token on a shelf.
func (s *Service) place(ctx context.Context, sh *shelf, cfg login.Config, l loaded) error {
	err := sh.keeper.Put(ctx, cfg.Name, cfg.RefreshToken)
	if err != nil && !errors.Is(err, custody.ErrSuperseded) { // then the shelf has a newer one, which stays
		return err
	}
	s.tokens.forget(cfg.Name)
	return sh.save(ctx, cfg, l)
}

func (s *Service) expiry(how loading) time.Time {
	life := s.opts.Lifetime
	if how.given {
		life = how.lifetime
	}
	if life <= 0 {
		return time.Time{}
	}
	return s.opts.Now().Add(life)
}

func lifetimeInfo(l loaded, how loading) string {
	if !how.given || l.expires.IsZero() {
		return ""
	}
	return lifetimeText(how.lifetime)
}

func lifetimeText(d time.Duration) string {
	if d == 0 {
		return "Lifetime set to forever"
	}
	return fmt.Sprintf("Lifetime set to %d seconds", int64(d/time.Second))
}

func (s *Service) remove(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if err := login.CheckName(r.Account); err != nil {
		return proto.Reply{}, badRequest("%v", err)
	}
	l, ok := s.logins.remove(r.Account)
	if !ok {
		return proto.Reply{}, fail(proto.TextNotLoaded, "")
	}
	s.unload(ctx, l)
	return proto.Success(""), s.passwords.forget(ctx, l.name)
}

func (s *Service) removeAll(ctx context.Context, _ proto.Request) (proto.Reply, error) {
	var faults []error
	for _, l := range s.logins.list() {
		if l, ok := s.logins.remove(l.name); ok {
			s.unload(ctx, l)
			faults = append(faults, s.passwords.forget(ctx, l.name))
		}
	}
	return proto.Success(""), errors.Join(faults...)
}

// parseConfig reads an account JSON object of a stranger.
func parseConfig(t secret.Text) (login.Config, error) {
	var cfg login.Config
	err := t.Use(func(b []byte) (err error) {
		if len(b) == 0 {
			return errors.New("config is missing")
		}
		cfg, err = login.ParseConfig(b)
		return err
	})
	if err != nil {
		return cfg, badRequest("%v", err)
	}
	if err := login.CheckName(cfg.Name); err != nil {
		return cfg, badRequest("%v", err)
	}
	if cfg.MytokenURL != "" {
		return asMytoken(cfg)
	}
	if cfg.Issuer == "" && cfg.ConfigEndpoint == "" {
		return cfg, badRequest("config has no issuer_url")
	}
	return cfg, nil
}

// inFlight are the members of an account configuration that are only there during a password flow.
type inFlight struct {
	user     string
	password secret.Text
}

func inFlightOf(t secret.Text) inFlight {
	var m struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	_ = t.Use(func(b []byte) error { return json.Unmarshal(b, &m) }) // parseConfig has judged it
	return inFlight{user: m.Username, password: secret.FromString(m.Password)}
}

func (f inFlight) empty() bool { return f.user == "" || f.password.Empty() }

// configText is the account JSON with all its secrets, for an answer. The caller wipes it.
func configText(cfg login.Config) (secret.Text, error) {
	b, err := cfg.Encode()
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode login %s: %w", cfg.Name, err)
	}
	return secret.New(b), nil
}

// joined is a list as account files and answers write it.
func joined(list []string) string { return strings.Join(list, " ") }
