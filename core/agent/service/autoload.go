package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// maxTries is how often a person may mistype a password, as in the original.
const maxTries = 3

// errMaxTries says that no password fitted.
var errMaxTries = errors.New(proto.TextMaxTries)

// autoload makes a login usable that is configured and not served, with the help of the person where it needs that. Who
// asks for the same login meanwhile waits for the same question. The error is what a client is told.
func (s *Service) autoload(ctx context.Context, name string) (loaded, error) {
	why := s.whyNot(ctx, name)
	if s.opts.NoAutoload || !isText(why, proto.TextNotLoaded) {
		return loaded{}, why
	}
	err := s.desk.once(ctx, "load "+name, func(ctx context.Context) error { return s.bring(ctx, name) })
	if l, ok := s.logins.get(name); ok {
		return l, nil
	}
	if err == nil {
		return loaded{}, s.whyNot(ctx, name) // an open keystore may have shown that there is no such login
	}
	return loaded{}, notBrought(err, why)
}

// notBrought is the error for a login that could not be loaded. That nobody gave the password is the usual "not
// loaded", with the usual advice; anything else is said.
func notBrought(err, why error) error {
	var p *problem
	errors.As(why, &p)
	switch {
	case errors.Is(err, ErrLocked):
		return err
	case errors.Is(err, prompt.ErrNobody), errors.Is(err, context.Canceled), errors.Is(err, errGivenUp):
		return &problem{text: p.text, help: p.help, err: err}
	case errors.Is(err, prompt.ErrCancelled), errors.Is(err, errStaysUnloaded):
		return &problem{text: p.text, help: "It was asked for and refused. " + p.help, err: err}
	case errors.Is(err, prompt.ErrTimeout):
		return &problem{text: p.text, help: "It was asked for, and nobody answered in time. " + p.help, err: err}
	case errors.Is(err, errNoPassword), errors.Is(err, login.ErrPGP):
		return &problem{text: p.text, help: p.help, err: err}
	case errors.Is(err, errMaxTries):
		return &problem{text: p.text, help: "None of the passwords was right. " + p.help, err: err}
	}
	return err
}

func isText(err error, text string) bool {
	var p *problem
	return errors.As(err, &p) && p.text == text
}

// bring loads a login from where it is. The keystore goes first: a refresh token that it holds is newer than the one in
// an account file, and sending that one could end the login. So a keystore that stays locked is the end of it.
func (s *Service) bring(ctx context.Context, name string) error {
	if _, ok := s.logins.get(name); ok {
		return nil
	}
	opened := false
	if s.keystoreState(ctx) == control.KeystoreLocked {
		if err := s.desk.once(ctx, "keystore", s.unlockByPerson); err != nil {
			return err
		}
		opened = true
	}
	if _, ok := s.logins.get(name); ok {
		return nil
	}
	if sh, err := s.keystore(); err == nil && sh.has(ctx, name) {
		return s.bringStored(ctx, sh, name, opened)
	}
	if s.hasAccount(name) {
		return s.bringFile(ctx, name)
	}
	return nil
}

// unlockByPerson opens the keystore with a passphrase that is asked for.
func (s *Service) unlockByPerson(ctx context.Context) error {
	if !s.opensByPassphrase(ctx) {
		return fmt.Errorf("%w: the keystore has no passphrase", prompt.ErrNobody)
	}
	q := prompt.Question{
		Kind: prompt.Password, Title: "oidc-agent: unlock the keystore", Label: "Passphrase of the keystore",
		Text: "The keystore " + s.opts.File.Path() + " is locked, and a login in it is needed" + wayOf(ctx).because() + ".",
	}
	for range maxTries {
		a, err := s.question(ctx, "", q)
		if err != nil {
			return err
		}
		err = s.OpenKeystore(ctx, keystore.Passphrase(a.Text)) // does nothing where somebody else has opened it
		a.Text.Wipe()
		if !errors.Is(err, keystore.ErrWrongPassphrase) && !errors.Is(err, keystore.ErrUnfit) {
			return err
		}
		s.opts.Log.WarnContext(ctx, "wrong passphrase for the keystore")
		q.Retry = "Wrong passphrase."
	}
	return errMaxTries
}

// opensByPassphrase looks at the file's slots: nobody should be asked for what cannot help.
func (s *Service) opensByPassphrase(ctx context.Context) bool {
	if _, err := s.keystore(); err == nil {
		return true
	}
	eng, err := s.opts.File.Open(ctx)
	if err != nil {
		return false
	}
	info, err := keystore.Inspect(ctx, eng)
	if errors.Join(err, eng.Close()) != nil {
		return false
	}
	for _, slot := range info.Slots {
		if slot.Kind == keystore.KindPassphrase {
			return true
		}
	}
	return false
}

// errStaysUnloaded: the person does not want an unloaded login back.
var errStaysUnloaded = errors.New("the login stays unloaded")

// bringStored serves a login of the open keystore. One that is not served was unloaded, by the person or because its
// time was over: a program that asks does not get it back without the person, as it would not from the original, which
// asks for the password then. After the passphrase has just been asked for, that was the question.
func (s *Service) bringStored(ctx context.Context, sh *shelf, name string, asked bool) error {
	if !asked {
		a, err := s.question(ctx, name, prompt.Question{
			Kind: prompt.Confirm, Title: "oidc-agent: load a login again?",
			Text: fmt.Sprintf("Login %s was unloaded, and is needed%s.\nLoad it again?", name, wayOf(ctx).because()),
		})
		if err != nil {
			return err
		}
		if !a.Yes {
			return errStaysUnloaded
		}
	}
	cfg, r, err := sh.config(ctx, name)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	return s.logins.put(s.storedLogin(cfg, r))
}

// storedLogin is a login of the keystore as it is served.
func (s *Service) storedLogin(cfg login.Config, r row) loaded {
	l := loaded{
		name: cfg.Name, issuer: cfg.Issuer, subject: r.Subject, stored: true, fromFile: r.FromFile,
		confirm: r.Confirm, allowIDTok: r.AlwaysAllowIDToken, expires: s.expiry(loading{}),
	}
	if r.FromFile && r.Until > 0 {
		l.expires = time.Unix(r.Until, 0)
	}
	return l
}

// bringFile loads an account file. There is no test refresh: the request that needs the login is one.
func (s *Service) bringFile(ctx context.Context, name string) error {
	f, err := s.opts.Accounts.Read(name)
	if err != nil {
		return err
	}
	plain, pw, err := s.openAccount(ctx, name, f)
	if err != nil {
		return err
	}
	defer plain.Wipe()
	defer pw.Wipe()
	cfg, err := parseConfig(plain)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	switch {
	case cfg.Name != name:
		return fail("the account file "+name+" is that of another account", "Give it its name back: "+cfg.Name)
	case cfg.RefreshToken.Empty():
		return fail(proto.TextNoRefreshToken, helpLoginAgain(name))
	}
	if _, ok := s.logins.get(name); ok {
		return nil // while the person was typing
	}
	if iss, ok := s.opts.Issuers().Find(cfg.Issuer); ok && iss.StorePassword {
		if err := s.keepPassword(ctx, name, pw); err != nil {
			return err
		}
	} else if err := s.passwords.keep(ctx, name, pw); err != nil {
		return err
	}
	_, err = s.addNew(ctx, cfg, loading{skipCheck: true})
	return err
}

// openAccount decrypts an account file with what is at hand, else with what the person types. The caller wipes both.
func (s *Service) openAccount(ctx context.Context, name string, f login.File) (plain, pw secret.Text, err error) {
	if f.Format == login.PGP {
		plain, err = s.openPGP(ctx, f)
		return plain, secret.Text{}, err
	}
	if plain, pw, err = s.passwords.unlock(ctx, name, f); err == nil {
		return plain, pw, nil
	}
	q := prompt.Question{
		Kind: prompt.Password, Title: "oidc-agent: load an account", Label: "Encryption password of " + name,
		Text: fmt.Sprintf("The account %s has to be loaded: it is needed%s.", name, wayOf(ctx).because()),
	}
	for range maxTries {
		a, err := s.question(ctx, name, q)
		if err != nil {
			return secret.Text{}, secret.Text{}, err
		}
		plain, err = f.Open(ctx, a.Text)
		if err == nil {
			return plain, a.Text, nil
		}
		a.Text.Wipe()
		if !errors.Is(err, login.ErrWrongPassword) {
			return secret.Text{}, secret.Text{}, err
		}
		q.Retry = "Wrong password."
	}
	return secret.Text{}, secret.Text{}, errMaxTries
}

// openPGP lets gpg open an account file. Its own agent asks for a passphrase where there is a screen for that;
// elsewhere nobody would see the question, and gpg is told not to ask.
func (s *Service) openPGP(ctx context.Context, f login.File) (secret.Text, error) {
	gpg, err := login.FindGPG(s.passwords.getenv)
	if err != nil {
		return secret.Text{}, err
	}
	gpg.Quiet = s.passwords.getenv("DISPLAY") == "" && s.passwords.getenv("WAYLAND_DISPLAY") == ""
	return gpg.Decrypt(ctx, f.Armour())
}

// keepPassword remembers the password of an account file, where issuer.config wants that.
func (s *Service) keepPassword(ctx context.Context, name string, pw secret.Text) error {
	if pw.Empty() {
		return nil
	}
	b, err := json.Marshal(pwEntry{Type: pwMemory | pwPrompt, Password: pw.Expose()})
	if err != nil {
		return fmt.Errorf("keep the password of %s: %w", name, err)
	}
	entry := secret.New(b)
	defer entry.Wipe()
	return s.passwords.remember(ctx, name, entry)
}
