package userinfo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// held is a token and what is known about where it came from.
type held struct {
	text   secret.Text
	where  string
	issuer string // as the agent says, else ""
}

// envAccount names a login of the agent.
const envAccount = "OIDC_AGENT_ACCOUNT"

// variables are those the original takes a token from, in its order.
func variables() []string {
	return []string{"ACCESS_TOKEN", "OIDC", "OS_ACCESS_TOKEN", "OIDC_ACCESS_TOKEN", "WATTS_TOKEN", "WATTSON_TOKEN"}
}

// token finds the token: the argument or the file, the login of -o, that of $OIDC_AGENT_ACCOUNT, the variables; under
// our own name at last the place where programs of the grid look.
func (c *Cmd) token(ctx context.Context, env *cli.Env) (held, error) {
	switch {
	case len(c.Token) > 0 && c.Token[0] != "-":
		env.Warn("everybody on the machine can read a token on a command line: use standard input (-) or --token-file")
		return parsed([]byte(c.Token[0]), "commandline")
	case len(c.Token) > 0, c.TokenFile == "-":
		return readStdin(env)
	case c.TokenFile != "":
		return readFile(env, c.TokenFile)
	case c.Account != "":
		t, err := c.fromAgent(ctx, env, c.Account)
		t.where = "oidc-agent (account specified via commandline)"
		return t, err
	}
	if account := env.Getenv(envAccount); account != "" {
		t, err := c.fromAgent(ctx, env, account)
		if err == nil {
			t.where = "oidc-agent (from environment variable '" + envAccount + "')"
			return t, nil
		}
		env.Warn("%v", err)
	}
	for _, name := range variables() {
		if v := env.Getenv(name); v != "" {
			return parsed([]byte(v), "environment variable '"+name+"'")
		}
	}
	if env.Command == upstream {
		return held{}, errNoToken
	}
	t, where, err := bearer.Find(env.Getenv, os.Geteuid())
	if errors.Is(err, bearer.ErrNone) {
		return held{}, errNoToken
	}
	return held{text: t, where: where}, err
}

func readStdin(env *cli.Env) (held, error) {
	if cli.IsTerminal(env.Stdin) {
		return held{}, cli.Fail(cli.Usage, errors.New("no token is given"), "pipe it in")
	}
	b, err := io.ReadAll(io.LimitReader(env.Stdin, bearer.MaxToken+2))
	if err != nil {
		return held{}, fmt.Errorf("read token: %w", err)
	}
	return parsed(b, "standard input")
}

func readFile(env *cli.Env, name string) (held, error) {
	t, err := bearer.ReadFile(within(env, name))
	switch {
	case err != nil:
		// The name is not repeated: people put the token itself there.
		var bare *os.PathError
		if errors.As(err, &bare) {
			err = bare.Err
		}
		return held{}, cli.Fail(cli.Usage, fmt.Errorf("read token file: %w", err), "--token-file takes the name of a file")
	case t.Empty():
		return held{}, errNoToken
	}
	return held{text: t, where: "file"}, nil
}

func parsed(b []byte, where string) (held, error) {
	defer clear(b)
	if len(b) > bearer.MaxToken {
		return held{}, bearer.ErrTooLarge
	}
	t, err := bearer.Parse(b)
	if err != nil {
		return held{}, fmt.Errorf("token of the %s: %w", where, err)
	}
	return held{text: t, where: where}, nil
}

// fromAgent asks the agent for a token that is good for a request now.
func (c *Cmd) fromAgent(ctx context.Context, env *cli.Env, account string) (held, error) {
	caller := relay.For(env)
	caller.Agent = caller.Agent.OrRemote(env.Getenv)
	req := proto.Request{
		Type: proto.TypeAccessToken, Account: account, Audience: c.Audience, Hint: upstream, MinValid: minValid,
	}
	if proto.IsIssuer(account, false) {
		req.Account, req.Issuer = "", account
	}
	rep, err := caller.Call(ctx, req)
	if err == nil {
		defer rep.Wipe()
		err = rep.Err()
	}
	if err != nil {
		return held{}, fmt.Errorf("could not use oidc-agent account '%s': %w", account, proto.Explain(err, false))
	}
	if rep.AccessToken.Empty() {
		return held{}, errors.New("access token from oidc-agent is none")
	}
	return held{text: rep.AccessToken.Clone(), issuer: rep.Issuer}, nil
}

// minValid is how many seconds the token should live: long enough for the questions about it.
const minValid = 60
