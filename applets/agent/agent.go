package agent

import (
	"context"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the command line.
type Cmd struct {
	Kill   bool `short:"k" help:"End the agent named by OIDCD_PID, else the one at the control socket."`
	Status bool `help:"Ask a running agent what it does."`

	Lifetime           *int64 `short:"t" placeholder:"SECONDS" help:"Unload logins after this time; 0 for ever."`
	Confirm            bool   `short:"c" help:"Ask before each access token."`
	AlwaysAllowIdtoken bool   `help:"Give out id tokens without asking."`
	NoAutoload         bool   `help:"Do not load logins when they are asked for."`
	NoAutoreauth       bool   `name:"no-autoreauthenticate" aliases:"no-auto-reauthenticate" help:"Do not begin a new login when one has ended."`
	NoWebserver        bool   `help:"Do not listen for redirects of the browser."`
	NoScheme           bool   `help:"Do not use the redirect URI scheme of desktops."`
	WithGroup          string `optvalue:"oidc-agent" placeholder:"GROUP" help:"Let the members of a group use the agent."`

	SocketPath      string `short:"a" aliases:"bind-address,bind_address" placeholder:"PATH" help:"Where to listen; DIR/ and XXXXXX as in mktemp are understood."`
	JSON            bool   `name:"json" help:"Print JSON instead of shell lines."`
	Quiet           bool   `help:"Leave out the echo line."`
	PIDFile         string `name:"pid-file" placeholder:"PATH" help:"Write the pid there."`
	RestartOnUpdate bool   `help:"Go on as the new program when this one is replaced; the keystore stays open, logins in memory delay it."`
	Console         bool   `short:"d" help:"Stay in the foreground."`
	Debug           bool   `short:"g" help:"Log what happens; never secrets."`
	LogStderr       bool   `help:"Log to standard error instead of the system log."`

	Keystore       string `placeholder:"PATH" help:"Keystore file instead of the usual one." xor:"keystore"`
	NoKeystore     bool   `help:"Use no keystore: logins live in memory." xor:"keystore"`
	PassphraseFile string `placeholder:"FILE" help:"Unlock the keystore with the first line of this file."`
	PassphraseCmd  string `placeholder:"COMMAND" help:"Unlock the keystore with the first line this prints; no shell."`
	KeyFile        string `placeholder:"FILE" help:"Unlock the keystore with the content of this file."`

	// Switches of version 4 that are taken and do nothing.
	PwStore string `optvalue:"0" hidden:"" name:"pw-store"`
	Seccomp bool   `hidden:""`

	// Set by the process that detaches for the one that stays.
	Background bool `hidden:""`
	ForShell   int  `hidden:""` // pid of the shell, for the name of the socket
	Until      int  `hidden:""` // end when this process has ended
	Handover   int  `hidden:""` // descriptor of what the program before this one has left
	WellKnown  bool `hidden:""` // serve the well-known socket as well, with --socket-path

	settings login.AgentSettings
	newLogin login.GenSettings // where new logins are set up

	Command []string `arg:"" optional:"" passthrough:"partial" help:"Run this with the agent; the agent ends with it."`
}

// New returns the command.
func New() cli.Command { return &Cmd{} }

// Run starts an agent, or asks or ends one that runs.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	switch {
	case c.Kill:
		return c.kill(ctx, env)
	case c.Status:
		return c.status(ctx, env)
	case c.Lifetime != nil && *c.Lifetime < 0:
		return cli.Failf(cli.Usage, "--lifetime must not be negative")
	case c.Console, c.Background:
		return c.serve(ctx, env)
	}
	return c.detach(ctx, env)
}

// configure takes what no option says from the settings. An option wins: --lifetime=0 is for ever whatever they say.
func (c *Cmd) configure(all login.Settings) {
	s := all.Agent
	c.settings, c.newLogin = s, all.Gen
	if c.Lifetime == nil {
		seconds := int64(s.Lifetime / time.Second)
		c.Lifetime = &seconds
	}
	if c.SocketPath == "" {
		c.SocketPath = s.SocketPath
	}
	if c.WithGroup == "" {
		c.WithGroup = s.Group
	}
	c.Confirm = c.Confirm || s.Confirm
	c.AlwaysAllowIdtoken = c.AlwaysAllowIdtoken || s.AlwaysAllowIDToken
	c.NoAutoload = c.NoAutoload || !s.Autoload
	c.NoAutoreauth = c.NoAutoreauth || !s.Reauthenticate
	c.NoWebserver = c.NoWebserver || !s.Webserver
	c.NoScheme = c.NoScheme || !s.CustomScheme
	c.Debug = c.Debug || s.Debug
}

// mytoken is the server that the settings prefer for new logins.
func (c *Cmd) mytoken() service.MytokenChoice {
	if !c.newLogin.PreferMytoken {
		return service.MytokenChoice{}
	}
	return service.MytokenChoice{Server: c.newLogin.MytokenServer, Profile: c.newLogin.MytokenProfile}
}

// switches are those of the service.
func (c *Cmd) switches(env *cli.Env) service.Switches {
	return service.Switches{
		Lifetime: time.Duration(*c.Lifetime) * time.Second, Confirm: c.Confirm, AlwaysAllowIDToken: c.AlwaysAllowIdtoken,
		NoAutoload: c.NoAutoload, NoReauthenticate: c.NoAutoreauth, NoScheme: c.NoScheme, NoWebserver: c.NoWebserver,
		NoAutogen: !c.settings.Autogen, AutogenExact: c.settings.AutogenScopes == "exact",
		Group: c.WithGroup, Console: c.Console, Debug: c.Debug, LogStderr: c.LogStderr,
		CommandLine: withoutInternal(env.Args),
	}
}
