package mytoken

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// source is how a command is told which mytoken to use.
type source struct {
	Prompt bool   `name:"MT-prompt" aliases:"mt-prompt" help:"Ask for the mytoken at the terminal."`
	Given  string `name:"MT" aliases:"mt" placeholder:"MYTOKEN" help:"This mytoken; - for standard input. Others see arguments."`
	Env    string `name:"MT-env" aliases:"mt-env" placeholder:"VAR" help:"The mytoken in an environment variable."`
	File   string `name:"MT-file" aliases:"mt-file" placeholder:"FILE" help:"The mytoken in a file, which is kept up to date."`
	Stored string `name:"stored" short:"t" placeholder:"NAME" help:"A stored mytoken, by its name (MYTOKEN_NAME)."`
}

// held is a mytoken at hand.
type held struct {
	text   secret.Text // empty for a stored one, which only use gets at
	path   string      // of the file it came from; "" for none
	name   string      // under which it is stored; "" for nowhere
	server string      // of a stored one
	issuer string      // of the provider, where it is known
	latest secret.Text
}

func (h *held) wipe() {
	h.text.Wipe()
	h.latest.Wipe()
}

// held finds the mytoken: the one that is named, else a stored one, else the one where programs of the grid look.
func (s *session) held(ctx context.Context, src source) (*held, error) {
	if s.cmd.SSH != "" {
		if src.count() > 0 {
			return nil, cli.Failf(cli.Usage, "with --ssh the key stands for a mytoken: name no other one")
		}
		return &held{}, nil
	}
	if n := src.count(); n > 1 {
		return nil, cli.Failf(cli.Usage, "choose one of --MT-prompt, --MT, --MT-env, --MT-file and -t")
	}
	switch {
	case src.Prompt:
		t, err := term.Password(s.env, "Mytoken: ")
		return &held{text: t}, err
	case src.Given == "-":
		b, err := io.ReadAll(io.LimitReader(s.env.Stdin, bearer.MaxToken+1))
		if err != nil {
			return nil, fmt.Errorf("read the mytoken: %w", err)
		}
		defer clear(b)
		return parsed(b, "standard input")
	case src.Given != "":
		s.env.Warn("others on this machine can read a mytoken that is an argument; --MT-file and --MT-env keep it to yourself")
		return parsed([]byte(src.Given), "--MT")
	case src.Env != "":
		if s.env.Getenv(src.Env) == "" {
			return nil, cli.Failf(cli.NotFound, "there is no mytoken in the variable %s", src.Env)
		}
		return parsed([]byte(s.env.Getenv(src.Env)), "the variable "+src.Env)
	case src.File != "":
		return s.fromFile(ctx, src.File)
	case src.Stored != "":
		return s.stored(ctx, src.Stored)
	}
	return s.usual(ctx)
}

func (src source) count() int {
	n := 0
	for _, set := range []bool{src.Prompt, src.Given != "", src.Env != "", src.File != "", src.Stored != ""} {
		if set {
			n++
		}
	}
	return n
}

func parsed(b []byte, where string) (*held, error) {
	t, err := bearer.Parse(b)
	if err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("mytoken of %s: %w", where, mytoken.ErrToken), "")
	}
	return &held{text: t}, nil
}

// fromFile reads the mytoken of a file, which is this command's alone until it ends.
func (s *session) fromFile(ctx context.Context, name string) (*held, error) {
	path := within(s.env, name)
	unlock, err := mytoken.LockFile(ctx, s.env.Getenv, path)
	if err != nil {
		return nil, err
	}
	s.unlock = unlock
	t, err := bearer.ReadFile(path)
	switch {
	case err != nil:
		var bare *os.PathError // the name is not repeated: people put the mytoken itself there
		if errors.As(err, &bare) {
			err = bare.Err
		}
		return nil, cli.Fail(cli.NotFound, fmt.Errorf("read the mytoken file: %w", err), "--MT-file takes the name of a file")
	case t.Empty():
		return nil, cli.Failf(cli.NotFound, "the mytoken file is empty")
	}
	return &held{text: t, path: path}, nil
}

// usual is the mytoken of a command that names none.
func (s *session) usual(ctx context.Context) (*held, error) {
	if name := s.env.Getenv("MYTOKEN_NAME"); name != "" {
		return s.stored(ctx, name)
	}
	h, err := s.onlyStored(ctx)
	if err != nil || h != nil {
		return h, err
	}
	if !s.set.discovery {
		return nil, errNoMytoken()
	}
	return s.discovered(ctx)
}

func errNoMytoken() error {
	return cli.Fail(cli.NotFound, errors.New("there is no mytoken"),
		"name one with --MT-file or -t, or store one with: mytoken MT store --oidc NAME")
}

// discovered is the token where programs of the grid look, if it is a mytoken: an access token has no business at a
// mytoken server.
func (s *session) discovered(ctx context.Context) (*held, error) {
	t, where, err := bearer.FindNamed(s.env.Getenv, os.Geteuid(), "mt", "bt")
	if errors.Is(err, bearer.ErrNone) {
		return nil, errNoMytoken()
	}
	if err != nil {
		return nil, cli.Fail(cli.Usage, err, "")
	}
	if _, err := mytoken.ReadClaims(t); err != nil {
		t.Wipe()
		return nil, cli.Fail(cli.NotFound, fmt.Errorf("the token of %s is no mytoken", where),
			"a short mytoken is used with --MT-file or --MT-env")
	}
	if where == bearer.EnvToken {
		return &held{text: t}, nil
	}
	t.Wipe()
	return s.fromFile(ctx, where)
}

// client is one of the server that the mytoken is of: it goes nowhere else.
func (s *session) client(ctx context.Context, h *held) (*mytoken.Client, error) {
	if s.cmd.SSH != "" {
		return s.sshClient(), nil
	}
	server := h.server
	if c, err := mytoken.ReadClaims(h.text); err == nil && c.Issuer != "" {
		if h.issuer == "" {
			h.issuer = c.OIDCIssuer
		}
		if named := s.cmd.URL; named != "" && !mytoken.SameIssuer(named, c.Issuer) {
			s.env.Warn("the mytoken is one of %s, which is asked instead of %s", c.Issuer, named)
		}
		server = c.Issuer
	}
	if server == "" {
		server = s.server()
	}
	return s.clientOf(ctx, server)
}

// keep puts the mytoken that has replaced the one at hand where that one was, before anything else is done. One that is
// stored is the agent's to keep.
func (s *session) keep(h *held, update *mytoken.Issued) error {
	if update == nil || update.Token.Empty() || update.Token.Equal(h.text) {
		return nil
	}
	next := update.Token.Clone()
	h.text.Wipe()
	h.text = next
	switch {
	case h.path != "":
		if err := bearer.Store(h.path, next); err != nil {
			s.rescue(next)
			return err
		}
	default:
		h.latest = next.Clone()
		if !s.cmd.JSON {
			s.rescue(next)
		}
	}
	return nil
}

// rescue tells the person the mytoken that would be lost otherwise.
func (s *session) rescue(t secret.Text) {
	s.env.Note("The mytoken was replaced by its use. From now on it is:")
	s.env.Note("%s", t.Expose())
}
