package mytoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// agentClient stands in a login where others have a client.
const agentClient = "mytoken"

// logins are the stored mytokens. ErrNoAgent: nobody could be asked.
func (s *session) logins(ctx context.Context) ([]control.Login, error) {
	all, err := s.admin.Logins(ctx)
	if errors.Is(err, control.ErrNoAgent) && start.Instead(ctx, s.env, proto.ErrNoAgent) {
		all, err = s.admin.Logins(ctx)
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(l control.Login) bool { return l.MytokenURL == "" }), nil
}

// onlyStored is the stored mytoken that a command without a name means, nil where there is none.
func (s *session) onlyStored(ctx context.Context) (*held, error) {
	list, err := s.logins(ctx)
	if errors.Is(err, control.ErrNoAgent) {
		return nil, nil
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) == 1 {
		return take(list[0]), nil
	}
	names := make([]string, len(list))
	for i, l := range list {
		names[i] = l.Name
		if s.isDefault(l) {
			return take(l), nil
		}
	}
	return nil, cli.Fail(cli.Usage, fmt.Errorf("several mytokens are stored: %s", strings.Join(names, ", ")),
		"choose one with -t or MYTOKEN_NAME")
}

// isDefault reports whether the configuration names a login as that of the provider that is used by default.
func (s *session) isDefault(l control.Login) bool {
	for _, p := range s.set.providers {
		if p.token == l.Name && (s.set.provider == "" || s.set.provider == p.name || s.set.provider == p.issuer) {
			return true
		}
	}
	return false
}

// stored is the stored mytoken of a name.
func (s *session) stored(ctx context.Context, name string) (*held, error) {
	list, err := s.logins(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if l.Name == name {
			return take(l), nil
		}
	}
	hint := "see what is stored with: mytoken list tokens"
	if st, err := s.admin.Status(ctx); err == nil && st.Keystore == control.KeystoreLocked {
		hint = "the keystore is locked: open it with: oidcbox add --unlock"
	}
	return nil, cli.Fail(cli.NotFound, fmt.Errorf("no mytoken is stored under the name %s", name), hint)
}

// take is a stored mytoken. It stays with the agent until it is used.
func take(l control.Login) *held {
	return &held{name: l.Name, server: l.MytokenURL, issuer: l.Issuer}
}

// text is the mytoken itself, for a look at it. The caller wipes it.
func (s *session) text(ctx context.Context, h *held) (secret.Text, error) {
	if h.name == "" {
		return h.text.Clone(), nil
	}
	cfg, err := s.export(ctx, h.name)
	if err != nil {
		return secret.Text{}, err
	}
	defer cfg.Wipe()
	if cfg.RefreshToken.Empty() {
		return secret.Text{}, cli.Failf(cli.Human, "the stored mytoken %s has ended", h.name)
	}
	return cfg.RefreshToken.Clone(), nil
}

func (s *session) export(ctx context.Context, name string) (login.Config, error) {
	text, err := s.admin.ExportLogin(ctx, name)
	if err != nil {
		return login.Config{}, err
	}
	defer text.Wipe()
	var cfg login.Config
	err = text.Use(func(b []byte) error {
		var err error
		cfg, err = login.ParseConfig(b)
		return err
	})
	return cfg, err
}

// save keeps a login where the agent keeps logins: in the keystore, else in its memory.
func (s *session) save(ctx context.Context, cfg login.Config) error {
	plain, err := cfg.Encode()
	if err != nil {
		return fmt.Errorf("store the mytoken %s: %w", cfg.Name, err)
	}
	config := secret.New(plain)
	defer config.Wipe()
	st, err := s.admin.Status(ctx)
	if err != nil {
		return fmt.Errorf("store the mytoken %s: %w", cfg.Name, err)
	}
	if st.Keystore == control.KeystoreOpen {
		return s.admin.SaveLogin(ctx, config)
	}
	rep, err := proto.FindFor(s.env).Call(ctx, proto.Request{Type: proto.TypeAdd, Config: config, PlainAdd: true})
	if err == nil {
		err = rep.Err()
	}
	rep.Wipe()
	if err != nil {
		return fmt.Errorf("store the mytoken %s: %w", cfg.Name, proto.Explain(err, false))
	}
	return nil
}

// openStore makes sure, before a person is sent to a browser, that there is a place for a mytoken.
func (s *session) openStore(ctx context.Context, passphraseFile string) error {
	if _, err := s.logins(ctx); err != nil {
		return err
	}
	st, err := s.admin.Status(ctx)
	if err != nil || st.Keystore == control.KeystoreOpen {
		return err
	}
	if st.KeystorePath == "" {
		s.env.Warn("the agent has no keystore: the mytoken ends with the agent")
		return nil
	}
	pass, err := s.passphrase(ctx, passphraseFile, st)
	if err != nil {
		return err
	}
	defer pass.Wipe()
	if st.Keystore == control.KeystoreLocked {
		return s.admin.Unlock(ctx, control.Unlock{Passphrase: pass})
	}
	return s.admin.Create(ctx, pass)
}

func (s *session) passphrase(ctx context.Context, file string, st control.Status) (secret.Text, error) {
	if file == "" {
		file = s.env.Getenv(keystore.EnvPassphraseFile)
	}
	if file != "" {
		cred := keystore.PassphraseFile(within(s.env, file))
		defer cred.Forget()
		slot, err := cred.NewSlot(ctx)
		return slot.Passphrase, keystore.Refusal(err)
	}
	if !term.Usable() {
		return secret.Text{}, cli.Fail(cli.Usage, errors.New("there is no place to store the mytoken in"),
			"give the passphrase of the keystore with --passphrase-file")
	}
	if st.Keystore == control.KeystoreLocked {
		return term.Hidden(ctx, "Passphrase of the keystore: ")
	}
	first, err := term.Hidden(ctx, "New passphrase for the keystore that will be made at "+st.KeystorePath+": ")
	if err != nil {
		return first, err
	}
	again, err := term.Hidden(ctx, "The same again: ")
	defer again.Wipe()
	if err == nil && !first.Equal(again) {
		err = cli.Failf(cli.Usage, "the two passphrases are not the same")
	}
	return first, err
}
