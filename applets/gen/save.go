package gen

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// place is where a login goes.
type place struct {
	env      *cli.Env
	name     string
	keystore bool
	dir      string // of account files; "" for none
	lock     lock   // of the account file
}

func (p *place) wipe() { p.lock.wipe() }

// plan decides where to save, before anybody logs in: in the keystore when the agent has one that is or can be opened,
// in an account file when a password for it is given, or when that is all there is.
func (s *session) plan(ctx context.Context, name string) (*place, error) {
	p := &place{env: s.env, name: name}
	if s.cmd.NoSave || s.cmd.OnlyAT || s.endsElsewhere() {
		return p, nil
	}
	if err := s.planFile(ctx, p); err != nil {
		return p, err
	}
	err := s.openKeystore(ctx, p.dir == "")
	if err == nil {
		p.keystore = true
		return p, nil
	}
	if p.dir != "" {
		if !errors.Is(err, errNoKeystore) && !errors.Is(err, errNobody) {
			s.env.Warn("the login goes to an account file only: %v", err)
		}
		return p, nil
	}
	if s.env.Upstream && errors.Is(err, errNoKeystore) {
		if p.lock.password, err = s.newEncryptionPassword(ctx, name); err == nil {
			p.dir, err = s.accountDir()
		}
	}
	if errors.Is(err, errNobody) || errors.Is(err, errNoKeystore) {
		return p, cli.Fail(cli.Usage, errors.New("there is no place to save the login in"),
			"give a passphrase with --passphrase-file, a password for an account file with --pw-file, or --no-save")
	}
	return p, err
}

// endsElsewhere reports whether another run of this program will save the login.
func (s *session) endsElsewhere() bool {
	later := s.cmd.Exchange != "" || s.cmd.State != ""
	return s.cmd.NoWebserver && !later && len(s.cmd.Flow) == 1 && s.cmd.Flow[0] == flowCode
}

// planFile prepares for an account file if a password or a key for one is given.
func (s *session) planFile(ctx context.Context, p *place) error {
	l, ok, err := s.lockFor(ctx)
	if err != nil || !ok {
		return err
	}
	p.lock = l
	if l.gpgKey != "" {
		if _, err := s.seal(ctx, secret.FromString("{}"), l); err != nil {
			return err // before anybody logs in
		}
	}
	p.dir, err = s.accountDir()
	return err
}

// errNoKeystore says that this agent has no keystore we could save in.
var errNoKeystore = errors.New("the agent has no keystore")

// openKeystore makes sure that the agent we talk to has an open keystore: it is unlocked or made with a passphrase that
// is given, or else, when may is set, typed.
func (s *session) openKeystore(ctx context.Context, may bool) error {
	st, err := s.admin.Status(ctx)
	if err == nil && st.Locked {
		// A locked agent does not say whether it is the same one; but then this is its answer.
		if _, err := s.call(ctx, proto.Request{Type: proto.TypeStatusJSON}); isText(err, proto.TextLocked) {
			return err
		}
	}
	if errors.Is(err, control.ErrNoAgent) || err == nil && !s.sameAgent(ctx, st) {
		return errNoKeystore
	}
	switch {
	case err != nil:
		return err
	case st.Keystore == control.KeystoreOpen:
		return nil
	case st.KeystorePath == "":
		return errNoKeystore
	}
	file := s.abs(s.cmd.PassphraseFile)
	if file == "" {
		file = s.env.Getenv(keystore.EnvPassphraseFile)
	}
	var pass secret.Text
	switch exists := st.Keystore == control.KeystoreLocked; {
	case file != "":
		pass, err = s.passphrase(ctx, file)
	case !may:
		return errNobody
	case exists:
		pass, err = s.password(ctx, "Passphrase of the keystore")
	default:
		pass, err = s.newPassword(ctx, "New passphrase for the keystore that will be made at "+st.KeystorePath,
			"The same again")
	}
	if err != nil {
		return err
	}
	defer pass.Wipe()
	if st.Keystore == control.KeystoreLocked {
		return s.admin.Unlock(ctx, control.Unlock{Passphrase: pass})
	}
	return s.admin.Create(ctx, pass)
}

// passphrase is the first line of a file that nobody else can read, "-" for standard input.
func (s *session) passphrase(ctx context.Context, file string) (secret.Text, error) {
	if s.cmd.PassphraseFile == "-" {
		return s.firstLine("-")
	}
	cred := keystore.PassphraseFile(file)
	defer cred.Forget()
	slot, err := cred.NewSlot(ctx)
	return slot.Passphrase, keystore.Refusal(err)
}

// sameAgent reports whether the control socket belongs to the agent that answers at OIDC_SOCK: that may be another one,
// or forwarded from another machine.
func (s *session) sameAgent(ctx context.Context, st control.Status) bool {
	rep, err := s.agent.Call(ctx, proto.Request{Type: proto.TypeStatusJSON})
	if err != nil || rep.Err() != nil {
		return false
	}
	var info struct {
		PID     int    `json:"pid"`
		Version string `json:"version"`
	}
	return rep.Info.Into(&info) == nil && info.PID == st.PID && info.Version == st.Version
}

// accountDir is the directory of account files, made if need be.
func (s *session) accountDir() (string, error) {
	dir, found, err := login.FindDir(s.env.Getenv, isDir)
	if err != nil {
		return "", cli.Fail(cli.NotFound, err, "name one with OIDC_CONFIG_DIR")
	}
	if !found {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("make the directory of account files: %w", err)
	}
	return dir, nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// keep saves the login and says the last lines.
func (s *session) keep(ctx context.Context, p *place, config secret.Text) error {
	if p.keystore {
		if err := s.admin.SaveLogin(ctx, config); err != nil {
			return fmt.Errorf("the login works but was not saved in the keystore: %w", err)
		}
	}
	if p.dir != "" {
		if err := s.write(ctx, p, config); err != nil {
			return fmt.Errorf("the login works but was not saved in an account file: %w", err)
		}
	}
	s.say("Everything setup correctly!")
	return nil
}

// write makes the account file, so that both versions of the original read it, and notes it in issuer.config.
func (s *session) write(ctx context.Context, p *place, config secret.Text) error {
	cfg, err := decode(config)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	plain, err := encode(cfg)
	if err != nil {
		return err
	}
	defer plain.Wipe()
	b, err := s.seal(ctx, plain, p.lock)
	if err != nil {
		return err
	}
	if err := login.WriteAccount(p.dir, p.name, b); err != nil {
		return err
	}
	if err := login.NoteAccount(p.dir, cfg.Issuer, p.name); err != nil {
		s.env.Warn("%v", err) // the account works without
	}
	return nil
}
