package gen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// lock is what an account file is encrypted with.
type lock struct {
	password secret.Text
	gpgKey   string // a key for gpg
	armour   []byte // a message whose keys are used again
}

func (l lock) wipe() { l.password.Wipe() }

// seal encrypts an account for a file that both versions of the original read.
func (s *session) seal(ctx context.Context, plain secret.Text, l lock) ([]byte, error) {
	if l.gpgKey == "" && l.armour == nil {
		return login.EncryptFile(ctx, plain, l.password)
	}
	gpg, err := login.FindGPG(s.env.Getenv)
	if err != nil {
		return nil, cli.Fail(cli.NotFound, err, "")
	}
	var message []byte
	if l.gpgKey != "" {
		message, err = gpg.Encrypt(ctx, plain, l.gpgKey)
	} else {
		message, err = gpg.EncryptAgain(ctx, plain, l.armour)
	}
	if err != nil {
		return nil, err
	}
	return login.PGPFile(message), nil
}

// lockFor is the one that the options name. ok is false when they name none.
func (s *session) lockFor(ctx context.Context) (l lock, ok bool, err error) {
	switch c := s.cmd; {
	case c.PwGPG != "":
		return lock{gpgKey: c.PwGPG}, true, nil
	case c.PwFile != "" || c.PwEnv != "":
		l.password, err = s.secretFrom(c.PwFile, c.PwEnv, "", "")
	case c.PwCmd != "":
		l.password, err = s.commandLine(ctx, c.PwCmd)
	default:
		return lock{}, false, nil
	}
	return l, true, err
}

// open decrypts an account file: by gpg, with the password that the options name, or with one that is typed, in three
// tries. The lock is the one to seal it with again.
func (s *session) open(ctx context.Context, name string, f login.File) (secret.Text, lock, error) {
	if f.Format == login.PGP {
		gpg, err := login.FindGPG(s.env.Getenv)
		if err != nil {
			return secret.Text{}, lock{}, cli.Fail(cli.NotFound, err, "")
		}
		plain, err := gpg.Decrypt(ctx, f.Armour())
		return plain, lock{armour: f.Armour()}, err
	}
	given := s.cmd.PwFile != "" || s.cmd.PwEnv != "" || s.cmd.PwCmd != ""
	if given {
		l, err := s.passwordGiven(ctx)
		if err != nil {
			return secret.Text{}, lock{}, err
		}
		plain, err := f.Open(ctx, l.password)
		if err == nil || !errors.Is(err, login.ErrWrongPassword) || s.asksPw == nil {
			return plain, l, s.denied(err)
		}
		l.wipe()
	}
	for range maxWrong {
		pw, err := s.password(ctx, "Enter decryption password for account config '"+name+"'")
		if errors.Is(err, errNobody) && given {
			return secret.Text{}, lock{}, s.denied(login.ErrWrongPassword)
		}
		if errors.Is(err, errNobody) {
			err = cli.Fail(cli.Usage, fmt.Errorf("the password of account file %s is missing", name),
				"give it with --pw-file, --pw-cmd or --pw-env")
		}
		if err != nil {
			return secret.Text{}, lock{}, err
		}
		plain, err := f.Open(ctx, pw)
		if err == nil {
			return plain, lock{password: pw}, nil
		}
		pw.Wipe()
		if !errors.Is(err, login.ErrWrongPassword) {
			return secret.Text{}, lock{}, err
		}
		s.env.Note("wrong password")
	}
	return secret.Text{}, lock{}, cli.Fail(cli.Denied, errors.New(proto.TextMaxTries), "")
}

// passwordGiven is lockFor without the key of gpg, which is of no use for a file with a password.
func (s *session) passwordGiven(ctx context.Context) (lock, error) {
	c := *s.cmd
	c.PwGPG = ""
	given := *s
	given.cmd = &c
	l, _, err := given.lockFor(ctx)
	return l, err
}

// denied is the refusal of a password that was given; the original counts it as the last of its tries.
func (s *session) denied(err error) error {
	switch {
	case !errors.Is(err, login.ErrWrongPassword):
		return err
	case s.env.Upstream:
		return errors.New(proto.TextMaxTries)
	}
	return cli.Fail(cli.Denied, err, "")
}

// passwordEntry tells the agent how it may get at the account file's password when a provider replaces the refresh
// token (oidc-agent's pw_entry). A password that was typed for this one file stays here.
func (s *session) passwordEntry(name string, p *place) (secret.Text, error) {
	const memory, command, file, gpg = 1, 4, 16, 32
	if p.dir == "" {
		return secret.Text{}, nil
	}
	entry := struct {
		Account  string `json:"account"`
		Type     int    `json:"type"`
		Password string `json:"password,omitempty"`
		Command  string `json:"command,omitempty"`
		File     string `json:"pw_file,omitempty"`
		Key      string `json:"gpg_key,omitempty"`
	}{Account: name, Command: s.cmd.PwCmd, File: s.abs(s.cmd.PwFile), Key: p.lock.gpgKey}
	switch {
	case p.lock.gpgKey != "":
		entry.Type = gpg
	case s.cmd.PwFile != "":
		entry.Type = file
	case s.cmd.PwEnv != "":
		entry.Type, entry.Password = memory, p.lock.password.Expose()
	case s.cmd.PwCmd != "":
		entry.Type = command
	default:
		return secret.Text{}, nil
	}
	b, err := json.Marshal(entry)
	if err != nil {
		return secret.Text{}, fmt.Errorf("describe the password: %w", err)
	}
	return secret.New(b), nil
}

// resolve says where a name or path of the command line leads: a name in oidc-agent's directory, or a path.
func (s *session) resolve(arg string) (dir, name string, isPath bool) {
	path := arg
	if rest, ok := strings.CutPrefix(arg, "~/"); ok {
		path = filepath.Join(s.env.Getenv("HOME"), rest)
	}
	if filepath.IsAbs(path) {
		return filepath.Dir(path), filepath.Base(path), true
	}
	return "", arg, false
}

// readSmall reads a file of the size that account files and clients have.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, login.MaxFile+1))
	if err == nil && len(b) > login.MaxFile {
		err = fmt.Errorf("%s: %w", path, login.ErrTooLarge)
	}
	return b, err
}
