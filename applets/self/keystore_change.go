package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

type keystoreCreateCmd struct {
	At      keystoreAt  `embed:""`
	Key     keystoreKey `embed:""`
	Keyring bool        `help:"Unlock with a key that is kept in the keyring of the desktop."`
	Label   string      `placeholder:"TEXT" help:"What to call the first key slot."`
	Role    string      `hidden:"" default:"person" help:"Role the file is for."`
}

// Run makes the file with one slot. Without a flag it asks for a passphrase.
func (c *keystoreCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	harden(env)
	n, err := c.slot(ctx, env)
	if err != nil {
		return explain(err)
	}
	defer n.Passphrase.Wipe()
	agent, _, err := holder(ctx, env, path)
	if err != nil {
		return err
	}
	if agent != nil && n.Kind == keystore.KindPassphrase && c.Label == "" {
		err = agent.Create(ctx, n.Passphrase)
	} else {
		err = c.create(ctx, env, path, n)
	}
	if errors.Is(err, keystore.ErrExists) {
		return cli.Fail(cli.No, fmt.Errorf("%s: %w", path, err), "")
	}
	if err != nil {
		return explain(err)
	}
	env.Note("made %s; nobody can open it without its key, so make a backup of both", path)
	return nil
}

func (c *keystoreCreateCmd) slot(ctx context.Context, env *cli.Env) (keystore.NewSlot, error) {
	if c.Keyring {
		return keystore.NewSlot{Kind: keystore.KindKeyring, Label: c.Label}, nil
	}
	if c.Key.KeyFile != "" && c.Key.PassphraseFile+c.Key.PassphraseCmd == "" {
		// It may not be there yet, which FindCredential does not mind, but reading it would.
		return keystore.NewSlot{Kind: keystore.KindKeyFile, Path: absolute(env, c.Key.KeyFile), Label: c.Label}, nil
	}
	n, err := c.Key.given(ctx, env)
	n.Label = c.Label
	return n, err
}

// given is what the flags and the environment offer, as a slot; else a new passphrase from the terminal.
func (f keystoreKey) given(ctx context.Context, env *cli.Env) (keystore.NewSlot, error) {
	cred, found, err := keystore.FindCredential(f.options(env, nil))
	if err != nil {
		return keystore.NewSlot{}, err
	}
	if found {
		defer cred.Forget()
		return cred.NewSlot(ctx)
	}
	pass, err := askNew(env)
	return keystore.NewSlot{Kind: keystore.KindPassphrase, Passphrase: pass}, err
}

func (c *keystoreCreateCmd) create(ctx context.Context, env *cli.Env, path string, n keystore.NewSlot) error {
	v, err := newVault(env)
	if err != nil {
		return err
	}
	defer v.Close()
	_, statErr := os.Lstat(path)
	eng, err := boltstore.Open(ctx, path, boltstore.Options{Role: c.Role, Holder: env.Name, Now: env.Now, Log: env.Log})
	if err != nil {
		return err
	}
	k, err := keystore.Create(ctx, eng, v, n)
	if err != nil && errors.Is(statErr, fs.ErrNotExist) {
		err = errors.Join(err, os.Remove(path)) // while it is still ours
	}
	if err != nil {
		return errors.Join(err, eng.Close())
	}
	k.Drop()
	return eng.Close()
}

type keystoreUnlockCmd struct {
	Key     keystoreKey `embed:""`
	Keyring bool        `help:"Unlock with the key in the keyring of the desktop."`

	SSHAgent bool `name:"ssh-agent" help:"Unlock with a signature of the ssh-agent at SSH_AUTH_SOCK."`
}

// Run hands a credential to the agent. Files are read by the agent, passphrases here.
func (c *keystoreUnlockCmd) Run(ctx context.Context, env *cli.Env) error {
	agent := control.Client{Path: control.Place(env.Getenv)}
	st, err := agent.Status(ctx)
	if err != nil {
		return agentFailure(err)
	}
	if st.Keystore == control.KeystoreOpen {
		env.Note("the keystore is unlocked already")
		return nil
	}
	if st.Keystore == control.KeystoreAbsent {
		return cli.Fail(cli.NotFound, errors.New("the agent has no keystore"), "make one with: oidcbox self keystore create")
	}
	harden(env)
	u, err := c.credential(ctx, env, st.KeystorePath)
	if err != nil {
		return explain(err)
	}
	defer u.Passphrase.Wipe()
	return agentFailure(agent.Unlock(ctx, u))
}

func (c *keystoreUnlockCmd) credential(ctx context.Context, env *cli.Env, path string) (control.Unlock, error) {
	switch {
	case c.Keyring && c.SSHAgent:
		return control.Unlock{}, cli.Failf(cli.Usage, "choose one of --keyring and --ssh-agent")
	case c.Keyring:
		return control.Unlock{Keyring: true}, nil
	case c.SSHAgent:
		socket, err := sshAgent(env)
		return control.Unlock{SSHAgent: socket}, err
	}
	cred, found, err := keystore.FindCredential(c.Key.options(env, nil))
	if err != nil {
		return control.Unlock{}, err
	}
	if !found {
		pass, err := askPassphrase(env, path)
		return control.Unlock{Passphrase: pass}, err
	}
	defer cred.Forget()
	n, err := cred.NewSlot(ctx)
	switch n.Kind {
	case keystore.KindKeyFile:
		return control.Unlock{KeyFile: n.Path}, err
	case keystore.KindCredential:
		return control.Unlock{}, cli.Failf(cli.Usage, "the agent reads systemd credentials at its own start only")
	}
	return control.Unlock{Passphrase: n.Passphrase}, err
}

type keystoreLockCmd struct{}

// Run makes the agent forget the keys of the keystore.
func (c *keystoreLockCmd) Run(ctx context.Context, env *cli.Env) error {
	return agentFailure(control.Client{Path: control.Place(env.Getenv)}.Lock(ctx))
}

func agentFailure(err error) error {
	if errors.Is(err, control.ErrNoAgent) {
		return cli.Fail(cli.NotFound, err, "start one with: eval $(oidc-agent)")
	}
	return err
}

type keystoreRekeyCmd struct {
	At                 keystoreAt  `embed:""`
	Key                keystoreKey `embed:""`
	KeepPassphraseFile []string    `placeholder:"FILE" help:"Keep the slot of this passphrase as well."`
	KeepKeyFile        []string    `placeholder:"FILE" help:"Keep the slot of this key file as well."`
	DropOthers         bool        `help:"Remove the slots whose keys were not given."`
}

// Run encrypts everything again. A slot is kept when its key is at hand: the one that unlocked, the keyring, and what
// the --keep flags name.
func (c *keystoreRekeyCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	agent, state, err := holder(ctx, env, path)
	if err != nil {
		return err
	}
	if agent != nil && state == control.KeystoreOpen {
		err = c.byAgent(ctx, env, agent, path)
	} else {
		err = c.inFile(ctx, env, path)
	}
	if err != nil {
		return err
	}
	env.Note("%s has a new data key; older copies and backups still open with the old keys", path)
	return nil
}

// byAgent hands the keys to the agent that has the keystore. It reads key files itself.
func (c *keystoreRekeyCmd) byAgent(ctx context.Context, env *cli.Env, agent keeper, path string) error {
	harden(env)
	r := control.RekeyRequest{DropOthers: c.DropOthers}
	if socket := env.Getenv(keystore.EnvSSHAgent); socket != "" {
		r.SSHAgent = absolute(env, socket)
	}
	defer func() {
		for _, p := range r.Passphrases {
			p.Wipe()
		}
	}()
	creds, err := c.keys(env, path)
	if err != nil {
		return explain(err)
	}
	for _, cred := range creds {
		defer cred.Forget()
		n, err := cred.NewSlot(ctx)
		switch {
		case err != nil:
			return explain(err)
		case n.Kind == keystore.KindKeyFile:
			r.KeyFiles = append(r.KeyFiles, n.Path)
		case n.Kind == keystore.KindPassphrase:
			r.Passphrases = append(r.Passphrases, n.Passphrase)
		}
	}
	return agent.Rekey(ctx, r)
}

// keys are those that were named; the passphrase is asked for where no key was.
func (c *keystoreRekeyCmd) keys(env *cli.Env, path string) ([]keystore.Credential, error) {
	cred, found, err := keystore.FindCredential(c.Key.options(env, nil))
	if err != nil {
		return nil, err
	}
	if !found {
		pass, err := askPassphrase(env, path)
		if err != nil {
			return nil, err
		}
		cred = keystore.Passphrase(pass)
	}
	return append(c.kept(env), cred), nil
}

// kept are the keys of the --keep options.
func (c *keystoreRekeyCmd) kept(env *cli.Env) []keystore.Credential {
	var list []keystore.Credential
	for _, f := range c.KeepPassphraseFile {
		list = append(list, keystore.PassphraseFile(absolute(env, f)))
	}
	for _, f := range c.KeepKeyFile {
		list = append(list, keystore.KeyFile(absolute(env, f)))
	}
	return list
}

func (c *keystoreRekeyCmd) inFile(ctx context.Context, env *cli.Env, path string) error {
	u, err := c.Key.unlock(ctx, env, path, false)
	if err != nil {
		return err
	}
	o := keystore.RekeyOptions{Keep: []keystore.Credential{u.cred, keystore.Keyring("", "")}, DropOthers: c.DropOthers}
	if socket := env.Getenv(keystore.EnvSSHAgent); socket != "" {
		o.Keep = append(o.Keep, keystore.SSHAgent(absolute(env, socket)))
	}
	o.Keep = append(o.Keep, c.kept(env)...)
	err = u.Rekey(ctx, o)
	for _, cred := range o.Keep {
		cred.Forget()
	}
	return errors.Join(explain(err), u.close())
}

type keystoreSlotAddCmd struct {
	At                keystoreAt  `embed:""`
	Key               keystoreKey `embed:""`
	Kind              string      `arg:"" enum:"passphrase,keyfile,systemd,keyring,ssh-agent" help:"One of ${enum}."`
	File              string      `arg:"" optional:"" help:"The key file. It is made when it is not there."`
	Label             string      `placeholder:"TEXT" help:"What to call the slot."`
	NewPassphraseFile string      `placeholder:"FILE" help:"Take the new passphrase from this file instead of asking."`
	Dir               string      `placeholder:"DIR" help:"Directory of the credential instead of $CREDENTIALS_DIRECTORY."`
	Name              string      `default:"oidcbox-keystore" help:"Name of the systemd credential."`
	SSHKey            string      `name:"ssh-key" placeholder:"KEY" help:"Fingerprint or comment of the ssh-agent's key, when it has several."`
}

// Run adds the slot in the agent when it has the keystore, else in the file.
func (c *keystoreSlotAddCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	if (c.Kind == keystore.KindKeyFile.String()) != (c.File != "") {
		return cli.Failf(cli.Usage, "a file is named for a slot of kind keyfile, and for no other")
	}
	if c.SSHKey != "" && c.Kind != keystore.KindSSHAgent.String() {
		return cli.Failf(cli.Usage, "--ssh-key is for a slot of kind ssh-agent")
	}
	agent, state, err := holder(ctx, env, path)
	if err != nil {
		return err
	}
	harden(env)
	if c.Kind == keystore.KindSSHAgent.String() {
		env.Warn("every host that this ssh-agent is forwarded to, and who is root there, can unlock the keystore too")
	}
	// The old key first: a person should not think up a passphrase for a keystore that does not open.
	if agent != nil && state == control.KeystoreOpen {
		return c.addByAgent(ctx, env, agent)
	}
	u, err := c.Key.unlock(ctx, env, path, false)
	if err != nil {
		return err
	}
	n, err := c.slot(ctx, env)
	if err != nil {
		return errors.Join(explain(err), u.close())
	}
	defer n.Passphrase.Wipe()
	s, err := u.AddSlot(ctx, n)
	if err := errors.Join(explain(err), u.close()); err != nil {
		return err
	}
	return printSlots(env.Stdout, []slotInfo{ownSlot(s)})
}

func (c *keystoreSlotAddCmd) addByAgent(ctx context.Context, env *cli.Env, agent keeper) error {
	if c.Kind == keystore.KindCredential.String() {
		return cli.Fail(cli.Temporary, errors.New("the agent cannot add a slot for a systemd credential"),
			"end the agent first: oidc-agent -k")
	}
	n, err := c.slot(ctx, env)
	if err != nil {
		return explain(err)
	}
	defer n.Passphrase.Wipe()
	fresh := control.NewSlot{Kind: c.Kind, Label: c.Label, Passphrase: n.Passphrase, KeyFile: n.Path}
	if n.Kind == keystore.KindSSHAgent {
		fresh.KeyFile, fresh.SSHAgent, fresh.SSHKey = "", n.Path, n.Name
	}
	s, err := agent.AddSlot(ctx, fresh)
	if err != nil {
		return err
	}
	return printSlots(env.Stdout, []slotInfo{agentSlot(s)})
}

func (c *keystoreSlotAddCmd) slot(ctx context.Context, env *cli.Env) (n keystore.NewSlot, err error) {
	n = keystore.NewSlot{Label: c.Label}
	n.Kind, _ = keystore.ParseKind(c.Kind)
	switch n.Kind {
	case keystore.KindKeyFile:
		n.Path = absolute(env, c.File)
	case keystore.KindCredential:
		n.Dir, n.Name = c.Dir, c.Name
		if n.Dir == "" {
			n.Dir = env.Getenv("CREDENTIALS_DIRECTORY")
		}
	case keystore.KindSSHAgent:
		n.Name = c.SSHKey
		n.Path, err = sshAgent(env)
	case keystore.KindPassphrase:
		n.Passphrase, err = c.newPassphrase(ctx, env)
	}
	return n, err
}

// sshAgent is the socket of the person's ssh-agent.
func sshAgent(env *cli.Env) (string, error) {
	socket := env.Getenv(keystore.EnvSSHAgent)
	if socket == "" {
		return "", cli.Fail(cli.NotFound, errors.New("there is no ssh-agent: SSH_AUTH_SOCK is not set"), "")
	}
	return absolute(env, socket), nil
}

func (c *keystoreSlotAddCmd) newPassphrase(ctx context.Context, env *cli.Env) (secret.Text, error) {
	if c.NewPassphraseFile == "" {
		return askNew(env)
	}
	cred := keystore.PassphraseFile(absolute(env, c.NewPassphraseFile))
	defer cred.Forget()
	n, err := cred.NewSlot(ctx)
	return n.Passphrase, err
}

type keystoreSlotRmCmd struct {
	At  keystoreAt  `embed:""`
	Key keystoreKey `embed:""`
	ID  string      `arg:"" help:"Slot to remove, as listed."`
}

// Run removes the slot in the agent when it has the keystore, else in the file.
func (c *keystoreSlotRmCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	agent, state, err := holder(ctx, env, path)
	if err != nil {
		return err
	}
	if agent != nil && state == control.KeystoreOpen {
		err = agent.RemoveSlot(ctx, c.ID)
	} else {
		var u *unlocked
		if u, err = c.Key.unlock(ctx, env, path, false); err != nil {
			return err
		}
		err = errors.Join(explain(u.RemoveSlot(ctx, c.ID)), u.close())
	}
	if err != nil {
		return err
	}
	env.Note("removed; an older copy of the file still opens with it, rekey if that matters")
	return nil
}
