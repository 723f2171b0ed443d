package gen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// errRevoked is of a login whose refresh token was revoked: what is left of it is a configuration.
var errRevoked = errors.New("it has no refresh token any more")

// list prints the names of the configured logins: account files and, where an agent has it open, the keystore.
func (s *session) list(ctx context.Context) error {
	var names []string
	if dir, found, err := login.FindDir(s.env.Getenv, isDir); err == nil && found {
		if names, err = login.List(dir); err != nil {
			return err
		}
	}
	logins, err := s.admin.Logins(ctx)
	if err != nil && !errors.Is(err, control.ErrNoAgent) {
		s.env.Warn("the keystore is not listed: %v", err)
	}
	for _, l := range logins {
		if l.Stored {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	if cli.IsTerminal(s.env.Stdout) && len(names) > 0 {
		s.say("The following account configurations are usable: ")
	}
	for _, name := range slices.Compact(names) {
		s.say(cli.Printable(name))
	}
	return nil
}

// exists reports whether there is a saved login of this name.
func (s *session) exists(ctx context.Context, name string) bool {
	_, isFile := s.accountFile(name)
	return isFile || s.inKeystore(ctx, name)
}

// known reports whether the agent has a login of this name, or may have one that it cannot show now.
func (s *session) known(ctx context.Context, name string) bool {
	if st, err := s.admin.Status(ctx); err == nil && (st.Locked || st.Keystore == control.KeystoreLocked) {
		return true
	}
	logins, err := s.admin.Logins(ctx)
	if err != nil {
		return !errors.Is(err, control.ErrNoAgent)
	}
	return slices.ContainsFunc(logins, func(l control.Login) bool { return l.Name == name })
}

// forgetNote takes an account that is no more from issuer.config.
func (s *session) forgetNote(name string) {
	dir, found, err := login.FindDir(s.env.Getenv, isDir)
	if err != nil || !found {
		return
	}
	if err := login.ForgetAccount(dir, name); err != nil {
		s.env.Warn("%v", err)
	}
}

func (s *session) inKeystore(ctx context.Context, name string) bool {
	logins, err := s.admin.Logins(ctx)
	return err == nil && slices.ContainsFunc(logins, func(l control.Login) bool { return l.Stored && l.Name == name })
}

// saved reports whether the agent we talk to has the login in its keystore.
func (s *session) saved(ctx context.Context, name string) bool {
	st, err := s.admin.Status(ctx)
	return err == nil && s.sameAgent(ctx, st) && s.inKeystore(ctx, name)
}

// print shows a login with its secrets: an account file, or what the keystore has under the name.
func (s *session) print(ctx context.Context) error {
	config, err := s.shown(ctx)
	if err != nil {
		return err
	}
	defer config.Wipe()
	return config.Use(func(b []byte) error {
		shown, err := tabbed(b)
		if err != nil {
			return fmt.Errorf("print %s: %w", s.cmd.Print, err)
		}
		defer clear(shown)
		_, err = fmt.Fprintf(s.env.Stdout, "%s\n", shown)
		return err
	})
}

// shown is what --print prints. The original opens the file, and wants its password.
func (s *session) shown(ctx context.Context) (secret.Text, error) {
	if dir, isFile := s.accountFile(s.cmd.Print); s.env.Upstream && isFile {
		return s.openFile(ctx, dir, s.cmd.Print)
	}
	return s.export(ctx, s.cmd.Print)
}

// export is the plain JSON of a login.
func (s *session) export(ctx context.Context, arg string) (secret.Text, error) {
	dir, name, isPath := s.resolve(arg)
	if isPath {
		return s.openFile(ctx, dir, name)
	}
	if err := login.CheckName(name); err != nil {
		return secret.Text{}, cli.Fail(cli.Usage, err, "")
	}
	config, err := s.admin.ExportLogin(ctx, name)
	if err == nil {
		return config, nil
	}
	if dir, found := s.accountFile(name); found {
		return s.openFile(ctx, dir, name)
	}
	if st, stErr := s.admin.Status(ctx); stErr == nil && (st.Locked || st.Keystore == control.KeystoreLocked) {
		return secret.Text{}, fmt.Errorf("look for login %s: %w", name, err) // it may be there
	}
	if s.inKeystore(ctx, name) {
		return secret.Text{}, cli.Fail(cli.Human, fmt.Errorf("login %s: %w", name, errRevoked),
			"log in again with: oidc-gen --reauthenticate "+name)
	}
	if s.env.Upstream {
		return secret.Text{}, errors.New("could not open file - file does not exist")
	}
	return secret.Text{}, cli.Fail(cli.NotFound, fmt.Errorf("no login named %s: %w", name, err),
		"see what there is with: oidc-gen --accounts")
}

// openFile decrypts an account file.
func (s *session) openFile(ctx context.Context, dir, name string) (secret.Text, error) {
	f, err := login.ReadAccount(dir, name)
	if err != nil {
		return secret.Text{}, err
	}
	plain, key, err := s.open(ctx, name, f)
	key.wipe()
	return plain, err
}

// delete revokes the refresh token at the provider, deletes a client that was registered for this login, and removes
// the login everywhere.
func (s *session) delete(ctx context.Context) error {
	name, err := s.shortName(ctx)
	if err != nil {
		return err
	}
	if _, isFile := s.accountFile(name); s.env.Upstream && !isFile && !s.known(ctx, name) {
		return s.refuse(cli.No, "No account with that shortname configured")
	}
	config, err := s.export(ctx, name)
	revoked := errors.Is(err, errRevoked)
	if err != nil && !revoked {
		return err
	}
	defer config.Wipe()
	if ok, err := s.confirm(ctx, "Do you really want to delete this configuration?", false); err != nil || !ok {
		return err
	}
	if !revoked {
		if err := s.revoke(ctx, config); err != nil {
			return err
		}
		s.deleteClient(ctx, config)
	}
	return s.remove(ctx, name)
}

// remove forgets a login that is dealt with at its provider: the account file, what the agent has, and the note of it.
func (s *session) remove(ctx context.Context, name string) error {
	removed, err := s.removeFile(name)
	if err != nil {
		return err
	}
	err = s.admin.RemoveLogin(ctx, name)
	switch {
	case err == nil, errors.Is(err, control.ErrNoAgent), hasCode(err, cli.NotFound):
	case removed && hasCode(err, cli.Human):
		s.env.Warn("the account file is removed; a login of this name in the keystore is not: %v", err)
	default:
		return err
	}
	s.forgetNote(name)
	s.say("The generated account was successfully removed from oidc-agent. You don't have to run oidc-add.")
	s.say("Successfully deleted account configuration.")
	return nil
}

// removeFile removes the account file, if there is one.
func (s *session) removeFile(name string) (removed bool, err error) {
	dir, found, err := login.FindDir(s.env.Getenv, isDir)
	if err != nil || !found {
		return false, nil // an unusable place holds no file of ours
	}
	err = login.RemoveAccount(dir, name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func hasCode(err error, code int) bool {
	var ce *cli.Error
	return errors.As(err, &ce) && ce.Code == code
}

// revoke lets the person go on when the provider does not revoke: the login is theirs to forget.
func (s *session) revoke(ctx context.Context, config secret.Text) error {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeDelete, Config: config})
	rep.Wipe()
	if err == nil || !strings.HasPrefix(err.Error(), proto.TextCannotRevoke) {
		return err
	}
	s.env.Warn("%v", err)
	ok, askErr := s.confirm(ctx, "Remove the login although its refresh token stays valid?", false)
	if askErr != nil || !ok {
		return errors.Join(err, askErr)
	}
	return nil
}

// deleteClient tidies up at the provider. That it fails keeps nobody from forgetting the login.
func (s *session) deleteClient(ctx context.Context, config secret.Text) {
	cfg, err := decode(config)
	if err != nil || cfg.RegistrationURI == "" || cfg.RegistrationToken.Empty() {
		return
	}
	defer cfg.Wipe()
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeDeleteClient, RegistrationClientURI: cfg.RegistrationURI,
		RegistrationAccessToken: cfg.RegistrationToken, CertPath: cfg.CertPath,
	})
	rep.Wipe()
	if err != nil {
		s.env.Warn("the client stays registered at the provider: %v", err)
		return
	}
	s.env.Note("Deleted oidc client.")
}
