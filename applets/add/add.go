// Package add is the role that loads and unloads logins, locks and unlocks the agent, and lists: oidc-add.
//
// A login comes from the agent's keystore when it is there (asked for over the control socket), else from an account
// file in oidc-agent's directory, which is decrypted here and sent to the agent. It sets up no logins (gen does) and
// opens no keystore itself.
//
// Not a public API.
package add

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Cmd is the grammar: that of oidc-add, and what unlocking a keystore needs.
type Cmd struct {
	Remove    bool `short:"r" help:"Unload the login instead of loading it."`
	RemoveAll bool `short:"R" help:"Unload all logins."`
	List      bool `short:"l" help:"List the logins that could be loaded."`
	Loaded    bool `short:"a" help:"List the logins that are loaded."`
	Print     bool `short:"p" help:"Print the login's configuration, secrets included."`
	Lock      bool `short:"x" help:"Lock the agent with a password."`
	Unlock    bool `short:"X" help:"Unlock the agent, or its keystore."`

	Lifetime           *int64 `short:"t" placeholder:"SECONDS" help:"Unload the login after this time; 0 for never."`
	Confirm            bool   `short:"c" help:"Ask a person whenever an access token is asked for."`
	AlwaysAllowIdtoken bool   `name:"always-allow-idtoken" help:"Hand out ID tokens without asking."`
	SkipCheck          bool   `help:"Do not test the login with a refresh."`
	Force              bool   `short:"f" help:"Load it although it is loaded."`

	PwStore  *string `optvalue:"-" placeholder:"SECONDS" help:"Let the agent keep the password of the account file, for ever or for a time."`
	PwEnv    string  `optvalue:"OIDC_ENCRYPTION_PW" placeholder:"VAR" help:"Take the password from an environment variable (OIDC_ENCRYPTION_PW)."`
	PwCmd    string  `placeholder:"CMD" help:"Take the password from the first line a program prints; no shell."`
	PwFile   string  `placeholder:"FILE" help:"Take the password from the first line of a file."`
	PwPrompt string  `enum:"cli,gui," default:"" placeholder:"cli|gui" help:"How to ask for a password: at the terminal (cli), or in a window where there is a program for it (gui)."`
	PwGpg    string  `name:"pw-gpg" aliases:"pw-pgp,gpg,pgp" placeholder:"KEY" help:"Say that the account file is encrypted with this OpenPGP key. An agent of ours reads that from the file."`
	// PwKeyring is of version 4. We have no entry in a keyring; its effect, that nobody is asked again, is that of PwStore.
	PwKeyring bool `help:"As --pw-store. Version 4 of oidc-agent used the system's keyring."`

	Remote bool `help:"Use the agent that OIDC_REMOTE_SOCK names, instead of one on this machine."`

	PassphraseFile string `placeholder:"FILE" help:"With --unlock: passphrase of the keystore, first line of a file."`
	PassphraseCmd  string `placeholder:"CMD" help:"With --unlock: passphrase of the keystore, first line a program prints."`
	KeyFile        string `placeholder:"FILE" help:"With --unlock: key file of the keystore."`
	JSON           bool   `name:"json" help:"Print JSON (not as oidc-add)."`

	// Of version 4, without meaning here.
	Seccomp bool `hidden:"" help:"Accepted and ignored."`
	Debug   bool `short:"g" hidden:"" help:"Accepted and ignored."`
	Verbose bool `short:"v" hidden:"" help:"Accepted and ignored."`

	settings login.AddSettings

	Account string `arg:"" optional:"" complete:"logins" help:"Short name of a login, or an issuer (https://...)."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run does the one thing that was asked for.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	job, err := c.choose(env)
	if err != nil {
		return err
	}
	// Passwords and refresh tokens pass through here, and a prompt can stand open for hours.
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	settings, err := login.FindSettings(env.Getenv)
	if err != nil {
		env.Warn("going on with the usual settings: %v", err)
	}
	c.settings = settings.Add
	c.SkipCheck = c.SkipCheck || c.settings.SkipCheck
	a := newAgent(env)
	a.remote = c.Remote
	return job(ctx, a)
}

var errNothing = errors.New("name a login, or one of --list, --loaded, --remove-all, --lock and --unlock")

// choose finds what to do; the options are tried in the original's order.
func (c *Cmd) choose(env *cli.Env) (func(context.Context, *agent) error, error) {
	if c.JSON && env.Upstream {
		return nil, cli.Failf(cli.Usage, "unrecognized option '--json'")
	}
	if c.Lifetime != nil && *c.Lifetime < 0 {
		return nil, cli.Failf(cli.Usage, "a lifetime of %d seconds is none", *c.Lifetime)
	}
	if _, _, err := c.storeTime(); err != nil {
		return nil, err
	}
	switch {
	case c.List:
		return c.listUsable, nil
	case c.Loaded:
		return c.listLoaded, nil
	case c.Lock:
		return c.lock, nil
	case c.Unlock:
		return c.unlock, nil
	case c.RemoveAll:
		return c.removeAll, nil
	case c.Account == "":
		return nil, cli.Fail(cli.Usage, errNothing, "try '"+env.Name+" --help'")
	case c.Print:
		return c.print, nil
	case c.Remove:
		return c.remove, nil
	}
	return c.load, nil
}
