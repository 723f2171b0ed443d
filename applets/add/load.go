package add

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

// load makes a login usable: from the keystore when it is there, else from its account file.
func (c *Cmd) load(ctx context.Context, a *agent) error {
	a.start = true
	name, err := c.name(ctx, a)
	if err != nil {
		return err
	}
	loaded, err := a.loaded(ctx)
	if err != nil {
		return err
	}
	logins, st, err := a.stored(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(logins, func(l control.Login) bool { return l.Name == name })
	// With a lifetime there is something to change, and a login that the provider has refused is tried once more.
	ended := at >= 0 && logins[at].NeedsLogin
	isLoaded := slices.Contains(loaded, name)
	behind := isLoaded && c.keepsPassword() && a.behind(ctx, name)
	if isLoaded && !c.Force && c.Lifetime == nil && !ended && !behind {
		return c.say(a.env, fmt.Sprintf("Account '%s' already loaded", name), "")
	}
	if at >= 0 {
		info, err := a.control.LoadLogin(ctx, name, c.loadOptions())
		if err != nil {
			return err
		}
		return c.say(a.env, "success", info)
	}
	if isLoaded && c.Force {
		// The agent would keep the configuration it has.
		if _, err := a.call(ctx, proto.Request{Type: proto.TypeRemove, Account: name}); err != nil {
			return err
		}
	}
	return c.loadFile(ctx, a, name, st)
}

// keepsPassword reports whether the agent is told how to open the account file without asking.
func (c *Cmd) keepsPassword() bool {
	return c.PwStore != nil || c.PwKeyring || c.PwCmd != "" || c.PwFile != ""
}

func (c *Cmd) loadOptions() control.LoadOptions {
	return control.LoadOptions{
		Lifetime: c.Lifetime, Confirm: c.Confirm, AlwaysAllowIDToken: c.AlwaysAllowIdtoken,
		SkipCheck: c.SkipCheck, Force: c.Force,
	}
}

// loadFile decrypts an account file and sends it.
func (c *Cmd) loadFile(ctx context.Context, a *agent, name string, st control.Status) error {
	config, pw, err := c.openFile(ctx, a.env, name)
	if errors.Is(err, fs.ErrNotExist) && st.Keystore == control.KeystoreLocked {
		if term.Usable() {
			return c.unlockAndLoad(ctx, a, name)
		}
		return cli.Fail(cli.Human, fmt.Errorf("there is no account file %s, and the keystore is locked", name),
			"unlock it with: "+a.env.Name+" --unlock")
	}
	if err != nil {
		return fileError(err)
	}
	defer config.Wipe()
	defer pw.wipe()
	req := proto.Request{
		Type: proto.TypeAdd, Config: config, Confirm: c.Confirm, AlwaysAllowIDToken: c.AlwaysAllowIdtoken,
		PlainAdd: c.SkipCheck,
	}
	if c.Lifetime != nil {
		// The original sends it only together with --pw-store.
		req.Lifetime, req.HasLifetime = *c.Lifetime, true
	}
	if req.PWEntry, err = c.passwordEntry(a.env, name, pw, keepPassword(a.env, config)); err != nil {
		return err
	}
	defer req.PWEntry.Wipe()
	rep, err := a.call(ctx, req)
	if err != nil {
		return err
	}
	return c.say(a.env, "success", rep.Info.Text())
}

// unlockAndLoad has the person open the keystore first, as the login can only be there.
func (c *Cmd) unlockAndLoad(ctx context.Context, a *agent, name string) error {
	a.env.Note("There is no account file %s, and the keystore is locked.", name)
	pass, err := ask(a.env, "Enter passphrase of the keystore: ", "--unlock")
	if err != nil {
		return err
	}
	defer pass.Wipe()
	if err := a.control.Unlock(ctx, control.Unlock{Passphrase: pass}); err != nil {
		return err
	}
	return c.load(ctx, a) // the keystore is open, so this does not come back here
}

// openFile decrypts the account file of a name.
func (c *Cmd) openFile(ctx context.Context, env *cli.Env, name string) (secret.Text, *password, error) {
	f, err := accounts(env).Read(name)
	if err != nil {
		return secret.Text{}, nil, err
	}
	return c.decrypt(ctx, env, name, f)
}

// fileError gives the errors of account files their exit codes.
func fileError(err error) error {
	var coded *cli.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(cli.NotFound, &proto.AgentError{Text: proto.TextNotConfigured}, "see what there is with --list")
	case errors.Is(err, login.ErrName):
		return cli.Fail(cli.Usage, err, "")
	case errors.Is(err, exec.ErrNotFound):
		return cli.Fail(cli.NotFound, err, "install gnupg, or set the login up again with a password: oidc-gen NAME")
	case errors.Is(err, login.ErrPGP):
		return cli.Fail(cli.Denied, err, "the key has to be on this machine, and its passphrase known to gpg")
	}
	return err
}

// say prints the result, and what the agent adds for the person on standard error.
func (c *Cmd) say(env *cli.Env, result, info string) error {
	if c.JSON {
		return json.NewEncoder(env.Stdout).Encode(struct {
			Result string `json:"result"`
			Info   string `json:"info,omitempty"`
		}{result, strings.TrimSuffix(info, "\n")})
	}
	if info != "" {
		env.Note("%s", strings.TrimSuffix(info, "\n"))
	}
	if _, err := fmt.Fprintln(env.Stdout, result); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// remove unloads a login; it stays where it is kept.
func (c *Cmd) remove(ctx context.Context, a *agent) error {
	name, err := c.name(ctx, a)
	if err != nil {
		return err
	}
	if _, err := a.call(ctx, proto.Request{Type: proto.TypeRemove, Account: name}); err != nil {
		return err
	}
	return c.say(a.env, "success", "")
}

func (c *Cmd) removeAll(ctx context.Context, a *agent) error {
	if _, err := a.call(ctx, proto.Request{Type: proto.TypeRemoveAll}); err != nil {
		return err
	}
	return c.say(a.env, "success", "")
}

// print shows a login with its secrets, for those who move it elsewhere. The account file comes first, as it does in
// the original; a login that is only in the keystore comes from there.
func (c *Cmd) print(ctx context.Context, a *agent) error {
	name, err := c.name(ctx, a)
	if err != nil {
		return err
	}
	config, pw, err := c.openFile(ctx, a.env, name)
	if errors.Is(err, fs.ErrNotExist) {
		config, err = a.export(ctx, name, err)
	}
	if err != nil {
		return fileError(err)
	}
	defer config.Wipe()
	defer pw.wipe()
	return config.Use(func(b []byte) error {
		pretty := tabbed(b)
		defer clear(pretty)
		_, err := a.env.Stdout.Write(pretty)
		return err
	})
}

// export takes a login out of the keystore; without one there the error is missing.
func (a *agent) export(ctx context.Context, name string, missing error) (secret.Text, error) {
	logins, st, err := a.stored(ctx)
	switch {
	case err != nil:
		return secret.Text{}, err
	case slices.ContainsFunc(logins, func(l control.Login) bool { return l.Name == name }):
		return a.control.ExportLogin(ctx, name)
	case st.Keystore == control.KeystoreLocked:
		return secret.Text{}, cli.Fail(cli.Human, fmt.Errorf("there is no account file %s, and the keystore is locked", name),
			"unlock it with: "+a.env.Name+" --unlock")
	}
	return secret.Text{}, missing
}

// storeTime is how long the agent shall keep the password; 0 is for ever.
func (c *Cmd) storeTime() (seconds int64, wanted bool, err error) {
	switch {
	case c.PwStore == nil && !c.PwKeyring:
		return 0, false, nil
	case c.PwStore == nil, *c.PwStore == "-":
		if c.Lifetime != nil {
			return *c.Lifetime, true, nil
		}
		return 0, true, nil
	}
	seconds, err = strconv.ParseInt(*c.PwStore, 10, 64)
	if err != nil || seconds < 0 {
		return 0, false, cli.Failf(cli.Usage, "--pw-store: %q is no number of seconds", *c.PwStore)
	}
	return seconds, true, nil
}
