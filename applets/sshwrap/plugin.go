package sshwrap

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// pluginCmd is the plug-in of PuTTY.
type pluginCmd struct{ options }

// NewPlugin returns the role that PuTTY starts: Connection, SSH, Auth, "Authentication plug-in".
func NewPlugin() cli.Command { return &pluginCmd{} }

// Run speaks to PuTTY until it hangs up. What goes wrong at the beginning PuTTY shows itself.
func (c *pluginCmd) Run(ctx context.Context, env *cli.Env) error {
	w := wrapped{options: c.options}
	return w.within(env, func(s *session) error {
		if cli.IsTerminal(env.Stdin) {
			return cli.Fail(cli.Usage, errors.New("this is started by PuTTY"),
				"write it into the session: Connection, SSH, Auth, plug-in to provide authentication responses")
		}
		p := &plugin{s: s}
		defer p.close()
		return sshlogin.ServePlugin(ctx, env.Stdin, env.Stdout, p)
	})
}

// plugin is one connection of PuTTY.
type plugin struct {
	s *session
	v *visit
}

// Begin makes the account ready. PuTTY has looked the host up in its own configuration.
func (p *plugin) Begin(ctx context.Context, c sshlogin.Connection) (string, error) {
	if _, err := sshlogin.ParseHost(c.Host, "ssh"); err != nil || strings.Contains(c.Host, "@") {
		return "", errors.Join(err, sshlogin.ErrWords)
	}
	t := target{typed: c.Host, host: strings.ToLower(c.Host), port: strconv.FormatUint(uint64(c.Port), 10), batch: true}
	v, err := p.s.enter(ctx, t)
	if err != nil {
		return "", shown(explain(err))
	}
	p.v = v
	if err := p.s.wanted(v, c.User); err != nil {
		return "", shown(err)
	}
	return v.user, nil
}

// shown is an error with its hint, as PuTTY's window shows it.
func shown(err error) error {
	var coded *cli.Error
	if errors.As(err, &coded) && coded.Hint != "" {
		return cli.Failf(coded.Code, "%w (%s)", err, coded.Hint)
	}
	return err
}

// Password gets a one-time password.
func (p *plugin) Password(ctx context.Context) (secret.Text, error) { return p.v.password(ctx) }

func (p *plugin) close() {
	if p.v != nil {
		p.v.held.text.Wipe()
	}
}
