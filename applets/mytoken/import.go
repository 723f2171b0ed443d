package mytoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
)

// maxTokensFile bounds a tokens.json.
const maxTokensFile = 4 << 20

type importCmd struct {
	root           *Cmd
	File           string   `arg:"" optional:"" help:"The file; without it tokens.json beside config.yaml."`
	Names          []string `name:"name" sep:"none" placeholder:"NAME" help:"Only the mytokens of this name; may be repeated."`
	PasswordFile   string   `name:"pw-file" placeholder:"FILE" help:"File with the password of those that have one."`
	PassphraseFile string   `name:"passphrase-file" placeholder:"FILE" help:"File with the passphrase of the keystore."`
	Force          bool     `short:"f" help:"Replace stored mytokens of the same names."`
	DryRun         bool     `help:"Only say what would be stored."`
}

// oldFile is the store of versions up to 0.4.
type oldFile struct {
	Tokens map[string][]oldToken `json:"tokens"` // by issuer
}

type oldToken struct {
	Name   string `json:"name"`
	GPGKey string `json:"gpg_key"`
	Token  string `json:"token"`

	issuer string
}

// Run stores what an older version has kept. Its file stays as it is.
func (c *importCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		list, path, err := c.read(env)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return cli.Failf(cli.NotFound, "there are no mytokens in %s", path)
		}
		if !c.DryRun {
			if err := s.openStore(ctx, c.PassphraseFile); err != nil {
				return err
			}
		}
		o := opener{s: s, passwordFile: c.PasswordFile}
		defer o.wipe()
		failed := 0
		for _, t := range list {
			if err := c.one(ctx, s, &o, t); err != nil {
				if ctx.Err() != nil {
					return err
				}
				failed++
				env.Warn("%s: %v", oneLine(t.Name), err)
				continue
			}
			verb := "stored"
			if c.DryRun {
				verb = "could be stored"
			}
			env.Note("%s of %s: %s", oneLine(t.Name), oneLine(t.issuer), verb)
		}
		if failed > 0 {
			return cli.Failf(cli.No, "%d of %d mytokens were not imported", failed, len(list))
		}
		env.Note("the file is as it was; remove it when all is well: %s", path)
		return nil
	})
}

// read lists what is in the file, in the order of issuers and names.
func (c *importCmd) read(env *cli.Env) (list []oldToken, path string, err error) {
	places := []string{c.File}
	if c.File == "" {
		places = nil
		for _, p := range usualConfigs(env) {
			places = append(places, filepath.Join(filepath.Dir(p), "tokens.json"))
		}
	}
	var b []byte
	for _, path = range places {
		path = within(env, path)
		if b, err = config.ReadFile(path, maxTokensFile); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil || b == nil {
		return nil, path, cli.Fail(cli.NotFound, fmt.Errorf("read the old store: %w", err), "name the file")
	}
	var old oldFile
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, path, cli.Failf(cli.Usage, "%s is no tokens.json", path)
	}
	for issuer, tokens := range old.Tokens {
		for _, t := range tokens {
			if t.issuer = issuer; len(c.Names) == 0 || slices.Contains(c.Names, t.Name) {
				list = append(list, t)
			}
		}
	}
	sorted.By(list, func(a, b oldToken) int {
		return strings.Compare(a.issuer+"\x00"+a.Name, b.issuer+"\x00"+b.Name)
	})
	return list, path, nil
}

// one stores one mytoken.
func (c *importCmd) one(ctx context.Context, s *session, o *opener, t oldToken) error {
	if err := login.CheckName(t.Name); err != nil {
		return err
	}
	if !c.DryRun {
		if err := s.free(ctx, t.Name, c.Force); err != nil {
			return err
		}
	}
	mt, err := o.open(ctx, t)
	if err != nil {
		return err
	}
	defer mt.Wipe()
	cfg := login.Config{
		Name: t.Name, Issuer: t.issuer, MytokenURL: s.server(), ClientID: agentClient,
		ClientSecret: secret.FromString(agentClient), RefreshToken: mt.Clone(),
	}
	defer cfg.Wipe()
	if claims, err := mytoken.ReadClaims(mt); err == nil && claims.Issuer != "" {
		cfg.MytokenURL = claims.Issuer
	}
	if c.DryRun {
		return nil
	}
	return s.replace(ctx, cfg)
}

// opener opens the mytokens of an old store. A password is asked for once, and again when it does not fit.
type opener struct {
	s            *session
	passwordFile string
	password     secret.Text
}

func (o *opener) wipe() { o.password.Wipe() }

func (o *opener) open(ctx context.Context, t oldToken) (secret.Text, error) {
	if len(t.Token) > maxTokensFile {
		return secret.Text{}, errOldCipher
	}
	if message, ok := pgpMessage(t.Token); ok {
		gpg, err := login.FindGPG(o.s.env.Getenv)
		if err != nil {
			return secret.Text{}, err
		}
		mt, err := gpg.Decrypt(ctx, message)
		if err != nil {
			return secret.Text{}, err
		}
		return trimmed(mt)
	}
	if t.GPGKey != "" {
		return secret.Text{}, errOldCipher
	}
	return o.withPassword(ctx, t)
}

// maxAsked bounds how often a person is asked for the password of one mytoken.
const maxAsked = 3

func (o *opener) withPassword(ctx context.Context, t oldToken) (secret.Text, error) {
	if !o.password.Empty() {
		if mt, err := openOld(t.Token, o.password); !errors.Is(err, errOldPassword) {
			return mt, err
		}
	}
	if o.passwordFile != "" {
		if o.password.Empty() {
			var err error
			if o.password, err = login.PasswordFile(within(o.s.env, o.passwordFile)); err != nil {
				return secret.Text{}, err
			}
			return openOld(t.Token, o.password)
		}
		return secret.Text{}, errOldPassword
	}
	if !term.Usable() {
		return secret.Text{}, cli.Failf(cli.Usage, "it has a password: give it with --pw-file")
	}
	for range maxAsked {
		p, err := term.Hidden(ctx, "Password of the mytoken "+oneLine(t.Name)+": ")
		if err != nil {
			return secret.Text{}, err
		}
		mt, err := openOld(t.Token, p)
		if !errors.Is(err, errOldPassword) {
			o.password.Wipe()
			o.password = p
			return mt, err
		}
		p.Wipe()
		o.s.env.Warn("that is not the password")
	}
	return secret.Text{}, errOldPassword
}
