package mytoken

import (
	"cmp"
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// session is one command that is run.
type session struct {
	cmd   *Cmd
	env   *cli.Env
	set   settings
	http  *httpc.Client
	admin control.Client
	// unlock lets other commands use the file of the mytoken.
	unlock func()
}

// open prepares what every command needs. Nothing is sent.
func (c *Cmd) open(env *cli.Env) (*session, error) {
	set, err := c.load(env)
	if err != nil {
		return nil, err
	}
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	o := httpc.Options{UserAgent: "oidcbox-mytoken", Getenv: env.Getenv}
	if c.CAFile != "" {
		o.CAFile = within(env, c.CAFile)
	}
	hc, err := httpc.New(o)
	if err != nil {
		return nil, cli.Fail(cli.Usage, err, "")
	}
	return &session{
		cmd: c, env: env, set: set, http: hc, admin: control.Client{Path: control.Place(env.Getenv)}, unlock: func() {},
	}, nil
}

func (s *session) close() {
	s.unlock()
	s.http.CloseIdle()
}

// run opens a session, has work done in it, and gives what went wrong its exit code and hint.
func (c *Cmd) run(env *cli.Env, work func(*session) error) error {
	s, err := c.open(env)
	if err != nil {
		return err
	}
	defer s.close()
	return explain(work(s))
}

// server is the one to use where no mytoken says otherwise.
func (s *session) server() string {
	return cmp.Or(s.cmd.URL, s.env.Getenv("MYTOKEN_URL"), s.set.server, usualServer)
}

// clientOf is a client for a server, whose own description is at most a few hours old.
func (s *session) clientOf(ctx context.Context, issuer string) (*mytoken.Client, error) {
	srv, err := mytoken.Discover(ctx, cachedGetter{http: s.http, env: s.env}, issuer)
	if err != nil {
		return nil, err
	}
	return mytoken.New(s.http, srv, mytoken.Options{Now: s.env.Now, Application: application()}), nil
}

// explain gives an error its exit code and a hint.
func explain(err error) error {
	var coded *cli.Error
	var refused *mytoken.Error
	var clauses *rules.ClausesError
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, control.ErrNoAgent):
		return cli.Fail(cli.NotFound, err, "start one with: eval $(oidc-agent)")
	case errors.As(err, &clauses), errors.Is(err, mytoken.ErrRequest):
		return cli.Fail(cli.Usage, err, "")
	case errors.As(err, &refused) && refused.Status == 403:
		return cli.Fail(cli.Denied, err, denied(refused.Code))
	case errors.As(err, &refused) && refused.Code == "not_found":
		return cli.Fail(cli.NotFound, err, "")
	case errors.Is(err, mytoken.ErrDeclined), errors.Is(err, mytoken.ErrExpired):
		return cli.Fail(cli.Human, err, "")
	case errors.Is(err, mytoken.ErrToken):
		return cli.Fail(cli.Usage, err, "a mytoken is a JWT of a mytoken server, or a short text it gave in the place of one")
	case errors.Is(err, mytoken.ErrServer), errors.Is(err, mytoken.ErrNotOffered), errors.Is(err, mytoken.ErrOtherServer):
		return cli.Fail(cli.NotFound, err, "choose the mytoken server with --url")
	case mytoken.NeedsLogin(err):
		return cli.Fail(cli.Human, err,
			"it has ended: revoked, past its time, or replaced by a newer one; get another with: mytoken MT --oidc")
	case mytoken.Temporary(err), errors.Is(err, mytoken.ErrBusy):
		return cli.Fail(cli.Temporary, err, "try again later")
	}
	return err
}

func denied(code string) string {
	switch code {
	case "insufficient_capabilities":
		return "see what it may do with: mytoken info"
	case "access_denied":
		return "if it is about ssh keys: mytoken settings grants enable ssh"
	case "usage_restricted":
		return "see its restrictions, and how often it was used, with: mytoken info introspect"
	}
	return ""
}
