package gen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

const seeAccounts = "see what there is with: oidc-gen --accounts"

// rename gives a login another short name, in the account file, in issuer.config, in the keystore and in the agent. The
// new place is written before the old one goes.
func (s *session) rename(ctx context.Context) error {
	from, to := s.cmd.Name, s.cmd.Rename
	if from == "" {
		return s.refuseOr(cli.Usage, "You have to specify a shortname to rename it", "oidc-gen --rename=NEW NAME")
	}
	for _, name := range []string{from, to} {
		if err := login.CheckName(name); err != nil {
			return cli.Fail(cli.Usage, err, "")
		}
	}
	if s.exists(ctx, to) {
		return s.refuseOr(cli.No, "An account with that shortname is already configured",
			"delete it first, or choose another name")
	}
	dir, inFile := s.accountFile(from)
	stored := s.inKeystore(ctx, from)
	if !inFile && !stored {
		return s.refuseOr(cli.NotFound, "No account configuration found with that shortname", seeAccounts)
	}
	if inFile {
		if err := s.renameFile(ctx, dir, stored); err != nil {
			return err
		}
	}
	if stored {
		if err := s.renameStored(ctx); err != nil {
			return err
		}
	}
	if inFile {
		return s.forgetOldName(dir)
	}
	return nil
}

// renameFile writes the account under its new name. What the agent knows of it is newer than what the file says.
func (s *session) renameFile(ctx context.Context, dir string, stored bool) error {
	f, err := login.ReadAccount(dir, s.cmd.Name)
	if err != nil {
		return err
	}
	config, key, err := s.open(ctx, s.cmd.Name, f)
	if err != nil {
		return err
	}
	defer key.wipe()
	defer func() { config.Wipe() }()
	if now, err := s.admin.ExportLogin(ctx, s.cmd.Name); err == nil {
		config.Wipe()
		config = now
	}
	renamed, err := withName(config, s.cmd.Rename)
	if err != nil {
		return err
	}
	defer renamed.Wipe()
	b, err := s.seal(ctx, renamed, key)
	if err != nil {
		return err
	}
	if err := login.WriteAccount(dir, s.cmd.Rename, b); err != nil {
		return err
	}
	if stored {
		return nil
	}
	return s.reload(ctx, renamed, &place{name: s.cmd.Rename, dir: dir, lock: key})
}

// reload has the agent serve a login of an account file under its new name, if it served it under the old one.
func (s *session) reload(ctx context.Context, renamed secret.Text, where *place) error {
	entry, err := s.passwordEntry(where.name, where)
	if err != nil {
		return err
	}
	defer entry.Wipe()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeRemove, Account: s.cmd.Name})
	rep.Wipe()
	if err != nil {
		return nil // it was not loaded, or there is no agent
	}
	rep, err = s.call(ctx, proto.Request{Type: proto.TypeAdd, Config: renamed, PWEntry: entry, PlainAdd: true})
	rep.Wipe()
	if err != nil {
		return fmt.Errorf("load %s: %w", s.cmd.Rename, err)
	}
	return nil
}

// renameStored moves the login of the keystore.
func (s *session) renameStored(ctx context.Context) error {
	config, err := s.admin.ExportLogin(ctx, s.cmd.Name)
	if err != nil {
		return err
	}
	defer config.Wipe()
	renamed, err := withName(config, s.cmd.Rename)
	if err != nil {
		return err
	}
	defer renamed.Wipe()
	if err := s.admin.SaveLogin(ctx, renamed); err != nil {
		return fmt.Errorf("save %s in the keystore: %w", s.cmd.Rename, err)
	}
	if err := s.admin.RemoveLogin(ctx, s.cmd.Name); err != nil {
		return fmt.Errorf("remove %s from the keystore: %w", s.cmd.Name, err)
	}
	return nil
}

func (s *session) forgetOldName(dir string) error {
	if err := login.RemoveAccount(dir, s.cmd.Name); err != nil {
		return err
	}
	return login.RenameAccount(dir, s.cmd.Name, s.cmd.Rename)
}

// withName is the configuration under another name, in the form that both versions of the original read.
func withName(config secret.Text, name string) (secret.Text, error) {
	cfg, err := decode(config)
	if err != nil {
		return secret.Text{}, err
	}
	defer cfg.Wipe()
	cfg.Name = name
	return encode(cfg)
}

// update encrypts an account file anew: an old format becomes today's, and a file that is not encrypted is.
func (s *session) update(ctx context.Context) error {
	dir, name, isPath := s.resolve(s.cmd.Update)
	if !isPath {
		var found bool
		if dir, found = s.accountFile(name); !found {
			return cli.Fail(cli.NotFound, errors.New("could not open file"), seeAccounts)
		}
	}
	b, err := readSmall(filepath.Join(dir, name))
	if err != nil {
		return cli.Fail(cli.NotFound, fmt.Errorf("could not open file: %w", err), "")
	}
	defer clear(b)
	plain, key, err := s.contentOf(ctx, name, b)
	if err != nil {
		return err
	}
	defer key.wipe()
	defer plain.Wipe()
	out, err := s.seal(ctx, plain, key)
	if err != nil {
		return err
	}
	if err := login.WriteAccount(dir, name, out); err != nil {
		return err
	}
	s.say("Updated config file format")
	return nil
}

// contentOf is what an account file says, encrypted or not, and what to encrypt it with from now on.
func (s *session) contentOf(ctx context.Context, name string, b []byte) (secret.Text, lock, error) {
	f, err := login.ParseFile(b)
	if err == nil {
		plain, key, err := s.open(ctx, name, f)
		if err == nil && s.cmd.PwGPG != "" {
			key.wipe()
			key = lock{gpgKey: s.cmd.PwGPG}
		}
		return plain, key, err
	}
	cfg, notPlain := login.ParseConfig(b)
	if notPlain != nil {
		return secret.Text{}, lock{}, fmt.Errorf("read %s: %w", name, err)
	}
	defer cfg.Wipe()
	key, ok, err := s.lockFor(ctx)
	if err == nil && !ok {
		key.password, err = s.newEncryptionPassword(ctx, name)
	}
	if errors.Is(err, errNobody) {
		err = cli.Fail(cli.Usage, errors.New("a password for the account file is missing"),
			"give one with --pw-file, or a key with --pw-gpg")
	}
	if err != nil {
		return secret.Text{}, key, err
	}
	plain, err := encode(cfg)
	return plain, key, err
}

// newEncryptionPassword asks for the password of an account file.
func (s *session) newEncryptionPassword(ctx context.Context, name string) (secret.Text, error) {
	return s.newPassword(ctx, "Enter encryption password for account configuration '"+name+"'",
		"Confirm encryption Password")
}

// accountFile reports whether there is an account file of this name, and in which directory.
func (s *session) accountFile(name string) (dir string, ok bool) {
	dir, found, err := login.FindDir(s.env.Getenv, isDir)
	if err != nil || !found || login.CheckName(name) != nil {
		return "", false
	}
	fi, err := os.Lstat(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.IsDir() {
		return dir, false
	}
	return dir, err == nil
}

// refuseOr is a line of the original under its name, and an error with a hint under ours.
func (s *session) refuseOr(code int, line, hint string) error {
	if s.env.Upstream {
		return s.refuse(cli.No, line)
	}
	return cli.Fail(code, asPrinted(line), hint)
}
