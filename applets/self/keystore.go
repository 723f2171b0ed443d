package self

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// KeystoreCmd takes care of a keystore file: "oidcbox self keystore ...".
type KeystoreCmd struct {
	Info    keystoreInfoCmd    `cmd:"" help:"Tell what a keystore file is, without unlocking it."`
	Create  keystoreCreateCmd  `cmd:"" help:"Make a keystore."`
	Unlock  keystoreUnlockCmd  `cmd:"" help:"Unlock the keystore in the running agent."`
	Lock    keystoreLockCmd    `cmd:"" help:"Lock the keystore in the running agent."`
	Check   keystoreCheckCmd   `cmd:"" help:"Read and open every record."`
	Backup  keystoreBackupCmd  `cmd:"" help:"Copy the keystore, also while it is in use."`
	Restore keystoreRestoreCmd `cmd:"" help:"Put a backup in the place of the keystore."`
	Import  keystoreImportCmd  `cmd:"" help:"Take the logins of oidc-agent's account files into the keystore."`
	Export  keystoreExportCmd  `cmd:"" help:"Write logins as account files for oidc-agent."`
	Rekey   keystoreRekeyCmd   `cmd:"" help:"Make a new data key and encrypt everything again."`
	Slot    keystoreSlotCmd    `cmd:"" help:"Add, remove and list the ways to unlock a keystore."`
}

// keystoreAt says which file is meant.
type keystoreAt struct {
	Keystore string `placeholder:"FILE" help:"Keystore file instead of the one in your home directory."`
}

// keystoreKey says how to unlock it without being asked.
type keystoreKey struct {
	PassphraseFile string `placeholder:"FILE" help:"Unlock with the first line of this file."`
	PassphraseCmd  string `placeholder:"COMMAND" help:"Unlock with the first line this prints; no shell."`
	KeyFile        string `placeholder:"FILE" help:"Unlock with the content of this file."`
}

// keeper is the part of the agent's control socket that these commands use.
type keeper interface {
	Status(ctx context.Context) (control.Status, error)
	Create(ctx context.Context, passphrase secret.Text) error
	Unlock(ctx context.Context, u control.Unlock) error
	Lock(ctx context.Context) error
	Backup(ctx context.Context, w io.Writer) error
	Slots(ctx context.Context) ([]control.Slot, error)
	AddSlot(ctx context.Context, n control.NewSlot) (control.Slot, error)
	RemoveSlot(ctx context.Context, id string) error
	Rekey(ctx context.Context, r control.RekeyRequest) error
}

var _ keeper = control.Client{}

// path is absolute.
func (a keystoreAt) path(env *cli.Env) (string, error) {
	if a.Keystore != "" {
		return absolute(env, a.Keystore), nil
	}
	path, err := keystore.DefaultPath(env.Getenv)
	if err != nil {
		return "", cli.Fail(cli.Usage, err, "name the file with --keystore")
	}
	return path, nil
}

// holder returns the agent that has the keystore at path, and in what state; nil when none has.
func holder(ctx context.Context, env *cli.Env, path string) (k keeper, state string, err error) {
	c := control.Client{Path: control.Place(env.Getenv)}
	st, err := c.Status(ctx)
	if errors.Is(err, control.ErrNoAgent) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("ask the agent: %w", err)
	}
	if !sameFile(st.KeystorePath, path) {
		return nil, "", nil
	}
	return c, st.Keystore, nil
}

// sameFile looks through links in the directories, as the agent may have been told the path in another way.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	resolve := func(p string) string {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
			return filepath.Join(dir, filepath.Base(p))
		}
		return p
	}
	return a != "" && resolve(a) == resolve(b)
}

// openEngine opens an existing file of any role.
func openEngine(ctx context.Context, env *cli.Env, path string, readOnly bool) (*boltstore.Engine, error) {
	eng, err := boltstore.Open(ctx, path, boltstore.Options{
		Holder: env.Name, ReadOnly: readOnly, MustExist: true, Now: env.Now, Log: env.Log,
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent(path)
	}
	return eng, explain(err)
}

// absent is the error for a keystore that is not there.
func absent(path string) error {
	return cli.Fail(cli.NotFound, fmt.Errorf("there is no keystore at %s", path),
		"make one with: oidcbox self keystore create")
}

// unlocked is an open keystore and what goes with it.
type unlocked struct {
	*keystore.Keystore
	eng   *boltstore.Engine
	vault *vault.Vault
	cred  keystore.Credential
}

func (u *unlocked) close() error {
	u.Drop()
	u.cred.Forget()
	u.vault.Close()
	return u.eng.Close()
}

// unlock opens the file and its keystore for the length of a command.
func (f keystoreKey) unlock(ctx context.Context, env *cli.Env, path string, readOnly bool) (*unlocked, error) {
	harden(env)
	eng, err := openEngine(ctx, env, path, readOnly)
	if err != nil {
		return nil, err
	}
	u := &unlocked{eng: eng}
	if u.vault, err = newVault(env); err == nil {
		err = f.open(ctx, env, u)
	}
	if err != nil {
		if u.vault != nil {
			u.vault.Close()
		}
		return nil, errors.Join(explain(err), eng.Close())
	}
	return u, nil
}

// harden comes before the first secret is in memory.
func harden(env *cli.Env) {
	if err := vault.HardenProcess(); err != nil {
		env.Warn("%v", err)
	}
}

func newVault(env *cli.Env) (*vault.Vault, error) {
	return vault.New(vault.Prefer, func(msg string) { env.Warn("%s", msg) })
}

func (f keystoreKey) open(ctx context.Context, env *cli.Env, u *unlocked) error {
	info, err := keystore.Inspect(ctx, u.eng)
	if err != nil {
		return err
	}
	cred, found, err := keystore.FindCredential(f.options(env, info.Slots))
	if err != nil {
		return err
	}
	if found {
		u.cred = cred
		u.Keystore, err = keystore.Open(ctx, u.eng, u.vault, cred)
		if err == nil || !f.mayAsk(env, info.Slots) {
			return err
		}
		env.Warn("%v", err)
	}
	if !hasKind(info.Slots, keystore.KindPassphrase) {
		return cli.Fail(cli.Human, fmt.Errorf("%s has no passphrase", u.eng.Path()), "unlock it with --key-file")
	}
	pass, err := askPassphrase(env, u.eng.Path())
	if err != nil {
		return err
	}
	defer pass.Wipe()
	// The credential may be used again (rekey), so it gets a copy of its own.
	u.cred = keystore.Passphrase(pass.Clone())
	u.Keystore, err = keystore.Open(ctx, u.eng, u.vault, u.cred)
	return err
}

// mayAsk reports whether a person may be asked after what was found did not open: only when that was the keyring, which
// nobody has named. A wrong key that somebody did name is an error.
func (f keystoreKey) mayAsk(env *cli.Env, slots []keystore.Slot) bool {
	_, named, err := keystore.FindCredential(f.options(env, nil))
	return err == nil && !named && hasKind(slots, keystore.KindPassphrase)
}

func (f keystoreKey) options(env *cli.Env, slots []keystore.Slot) keystore.CredentialOptions {
	o := keystore.CredentialOptions{PassphraseCmd: f.PassphraseCmd, Getenv: env.Getenv, Slots: slots, Stderr: env.Stderr}
	if f.PassphraseFile != "" {
		o.PassphraseFile = absolute(env, f.PassphraseFile)
	}
	if f.KeyFile != "" {
		o.KeyFile = absolute(env, f.KeyFile)
	}
	return o
}

func hasKind(slots []keystore.Slot, k keystore.Kind) bool {
	return slices.ContainsFunc(slots, func(s keystore.Slot) bool { return s.Kind == k })
}

// askNew asks for a new passphrase twice. The caller wipes it.
func askNew(env *cli.Env) (secret.Text, error) {
	first, err := term.Password(env, "new passphrase: ")
	if err != nil {
		return secret.Text{}, explain(err)
	}
	second, err := term.Password(env, "the same again: ")
	defer second.Wipe()
	if err != nil {
		first.Wipe()
		return secret.Text{}, explain(err)
	}
	if !first.Equal(second) {
		first.Wipe()
		return secret.Text{}, cli.Failf(cli.No, "the two passphrases differ")
	}
	return first, nil
}

// explain adds exit code and hint to what store, keystore and terminal say. A nil error stays nil.
func explain(err error) error {
	var (
		coded *cli.Error
		inUse *store.InUseError
	)
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.As(err, &inUse):
		return cli.Fail(cli.Temporary, err, "end that program, or try again when it is done")
	case errors.Is(err, keystore.ErrNoHeader):
		return cli.Fail(cli.NotFound, err, "make one with: oidcbox self keystore create")
	case errors.Is(err, keystore.ErrSlotsUncovered):
		return cli.Fail(cli.No, err, "give the keys of these slots as well, or remove the slots with --drop-others")
	case errors.Is(err, keystore.ErrBusy), errors.Is(err, keystore.ErrRekeyed), errors.Is(err, store.ErrConflict):
		return cli.Fail(cli.Temporary, err, "")
	case errors.Is(err, term.ErrNoTerminal):
		return cli.Fail(cli.Human, err, "give --passphrase-file, --passphrase-cmd or --key-file")
	}
	return keystore.Refusal(err)
}

// wantFile fails when the agent has the file, for commands that need it for themselves.
func wantFile(ctx context.Context, env *cli.Env, path string) error {
	agent, _, err := holder(ctx, env, path)
	if err == nil && agent != nil {
		err = cli.Fail(cli.Temporary, fmt.Errorf("the agent has %s", path), "end the agent first: oidc-agent -k")
	}
	return err
}

// askPassphrase asks for the passphrase of the keystore at path. The caller wipes it.
func askPassphrase(env *cli.Env, path string) (secret.Text, error) {
	return term.Password(env, fmt.Sprintf("passphrase of %s: ", path))
}
