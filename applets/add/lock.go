package add

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// lock puts the agent under a password.
func (c *Cmd) lock(ctx context.Context, a *agent) error {
	if err := a.there(ctx); err != nil {
		return err
	}
	pw, err := c.lockPassword(ctx, a.env, true)
	if err != nil {
		return err
	}
	defer pw.Wipe()
	rep, err := a.call(ctx, proto.Request{Type: proto.TypeLock, Password: pw})
	if err != nil {
		return err
	}
	return c.sayChanged(a.env, rep.Info.Text())
}

// sayChanged prints the result of locking and unlocking: what the agent says of itself, as version 5 does, or one word
// under the original's name, as version 4.
func (c *Cmd) sayChanged(env *cli.Env, state string) error {
	if env.Upstream {
		return c.say(env, "success", "")
	}
	return c.say(env, state, "")
}

// unlock takes the agent's password off, or opens its keystore: whichever is closed, the agent's password first.
func (c *Cmd) unlock(ctx context.Context, a *agent) error {
	a.start = true
	if err := a.there(ctx); err != nil {
		return err
	}
	st, ok, err := a.status(ctx)
	if err != nil {
		return err
	}
	switch {
	case !ok && c.keystoreFlag():
		return cli.Failf(cli.NotFound, "this agent has no keystore that could be unlocked from here")
	case !ok || st.Locked:
		return c.unlockAgent(ctx, a)
	case st.Keystore == control.KeystoreLocked:
		return c.unlockKeystore(ctx, a)
	case !c.keystoreFlag():
		return &proto.AgentError{Text: proto.TextNotLocked}
	case st.Keystore == control.KeystoreOpen:
		return c.say(a.env, "Keystore is unlocked already", "")
	}
	return cli.Failf(cli.NotFound, "the agent has no keystore")
}

func (c *Cmd) unlockAgent(ctx context.Context, a *agent) error {
	pw, err := c.lockPassword(ctx, a.env, false)
	if err != nil {
		return err
	}
	defer pw.Wipe()
	rep, err := a.call(ctx, proto.Request{Type: proto.TypeUnlock, Password: pw})
	if err != nil {
		return err
	}
	return c.sayChanged(a.env, rep.Info.Text())
}

func (c *Cmd) keystoreFlag() bool {
	return c.PassphraseFile != "" || c.PassphraseCmd != "" || c.KeyFile != ""
}

// credential is what the options or the environment give for the keystore, without asking.
func (c *Cmd) credential(env *cli.Env) (keystore.Credential, error) {
	cred, _, err := keystore.FindCredential(keystore.CredentialOptions{
		PassphraseFile: c.PassphraseFile, PassphraseCmd: c.PassphraseCmd, KeyFile: c.KeyFile,
		Getenv: env.Getenv, Stderr: env.Stderr,
	})
	return cred, keystore.Refusal(err)
}

func (c *Cmd) unlockKeystore(ctx context.Context, a *agent) error {
	cred, err := c.credential(a.env)
	if err != nil {
		return err
	}
	defer cred.Forget()
	u, err := c.unlocking(ctx, a.env, cred)
	if err != nil {
		return err
	}
	defer u.Passphrase.Wipe()
	if err := a.control.Unlock(ctx, u); err != nil {
		return err
	}
	return c.say(a.env, "Keystore unlocked", "")
}

// unlocking is the credential as the control socket takes it. Without one a person is asked.
func (c *Cmd) unlocking(ctx context.Context, env *cli.Env, cred keystore.Credential) (control.Unlock, error) {
	if cred.None() {
		p, err := ask(env, "Enter passphrase of the keystore: ", "--passphrase-file or --passphrase-cmd")
		return control.Unlock{Passphrase: p}, err
	}
	slot, err := cred.NewSlot(ctx)
	if err != nil {
		return control.Unlock{}, keystore.Refusal(err)
	}
	switch slot.Kind {
	case keystore.KindPassphrase:
		return control.Unlock{Passphrase: slot.Passphrase}, nil
	case keystore.KindKeyFile:
		return control.Unlock{KeyFile: absolute(env, slot.Path)}, nil
	case keystore.KindKeyring:
		return control.Unlock{Keyring: true}, nil
	case keystore.KindSSHAgent:
		return control.Unlock{SSHAgent: slot.Path}, nil
	}
	return control.Unlock{}, cli.Failf(cli.Usage, "a credential of kind %s is for the agent's own start", slot.Kind)
}

func absolute(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}

// notTheSame is the original's sentence.
const notTheSame = "Passwords do not match."

// lockPassword is the agent's password, from the first place that was given or from the terminal; a new one is asked
// for twice.
func (c *Cmd) lockPassword(ctx context.Context, env *cli.Env, twice bool) (secret.Text, error) {
	const where = "--pw-file, --pw-cmd or --pw-env"
	if given := c.sources(env); len(given) > 0 {
		pw, err := given[0].get(ctx)
		if err != nil {
			return secret.Text{}, fmt.Errorf("%s: %w", given[0].name, err)
		}
		return notEmpty(pw)
	}
	if !twice {
		return ask(env, "Enter lock password: ", where)
	}
	pw, err := ask(env, "Enter lock password: ", where)
	if err != nil {
		return secret.Text{}, err
	}
	again, err := ask(env, "Confirm lock password: ", where)
	if err != nil {
		pw.Wipe()
		return secret.Text{}, err
	}
	defer again.Wipe()
	if !pw.Equal(again) {
		pw.Wipe()
		//lint:ignore ST1005 the words are the original's
		return secret.Text{}, errors.New(notTheSame)
	}
	return pw, nil
}

func ask(env *cli.Env, prompt, instead string) (secret.Text, error) {
	pw, err := term.Password(env, prompt)
	if errors.Is(err, term.ErrNoTerminal) {
		return secret.Text{}, cli.Fail(cli.Human, err, "give it with "+instead)
	}
	if err != nil {
		return secret.Text{}, err
	}
	return notEmpty(pw)
}

func notEmpty(pw secret.Text) (secret.Text, error) {
	if pw.Empty() {
		return secret.Text{}, cli.Failf(cli.Usage, "the password is empty")
	}
	return pw, nil
}
