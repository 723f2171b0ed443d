package service

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/secret"
)

// opened is an account file with what it takes to write it again.
type opened struct {
	file     login.File
	plain    secret.Text
	cfg      login.Config
	password secret.Text // of a file with one
	gpg      login.GPG   // of an OpenPGP message
	given    bool        // not from the file, but what a client said is in it
	heard    int         // fileRow.heard from before we looked at what our refresh token is
}

func (o opened) wipe() {
	o.plain.Wipe()
	o.cfg.Wipe()
	o.password.Wipe()
}

// open reads and opens the account file of a name without asking anybody.
func (w *fileWriter) open(ctx context.Context, name string) (opened, error) {
	f, err := w.s.opts.Accounts.Read(name)
	if err != nil {
		return opened{}, err
	}
	o := opened{file: f}
	if f.Format == login.PGP {
		o.gpg, err = login.FindGPG(w.s.passwords.getenv)
		if err == nil {
			o.gpg.Quiet = true
			o.plain, err = o.gpg.Decrypt(ctx, f.Armour())
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", errNoPassword, err)
		}
	} else {
		o.plain, o.password, err = w.s.passwords.unlock(ctx, name, f)
	}
	if err != nil {
		return opened{}, err
	}
	err = o.plain.Use(func(b []byte) (err error) { o.cfg, err = login.ParseConfig(b); return err })
	if err != nil {
		o.wipe()
		return opened{}, fmt.Errorf("read account %s: %w", name, err)
	}
	return o, nil
}

// asGiven stands in for the content of an OpenPGP message that cannot be opened without asking: what the client handed
// over when it had opened it, as long as the file is the same. Writing it needs no passphrase. cause is the error when
// it is not.
func (w *fileWriter) asGiven(ctx context.Context, sh *shelf, name string, cause error) (opened, error) {
	f, err := w.s.opts.Accounts.Read(name)
	r := w.row(name)
	if err != nil || f.Format != login.PGP || f.Sum() != r.sum || !r.proven {
		return opened{}, cause
	}
	gpg, err := login.FindGPG(w.s.passwords.getenv)
	if err != nil {
		return opened{}, cause
	}
	cfg, err := sh.full(ctx, name)
	if err != nil {
		return opened{}, err
	}
	b, err := cfg.Compatible().Encode()
	cfg.Wipe()
	if err != nil {
		return opened{}, err
	}
	o := opened{file: f, plain: secret.New(b), gpg: gpg}
	if o.cfg, err = login.ParseConfig(b); err != nil {
		o.wipe()
		return opened{}, err
	}
	o.given = true
	return o, nil
}

// with is the file with another refresh token in it.
func (o opened) with(ctx context.Context, rt secret.Text) ([]byte, error) {
	var next secret.Text
	err := o.plain.Use(func(b []byte) error {
		b, err := login.WithRefreshToken(b, rt)
		next = secret.New(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer next.Wipe()
	if o.file.Format == login.PGP {
		armoured, err := o.gpg.EncryptAgain(ctx, next, o.file.Armour())
		return login.PGPFile(armoured), err
	}
	return login.EncryptFile(ctx, next, o.password)
}
