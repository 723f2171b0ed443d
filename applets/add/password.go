package add

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

const maxTries = 3

// Where a password came from, as the protocol counts it (oidc-agent's pw_entry).
const (
	fromMemory  = 1
	fromKeyring = 2
	fromCommand = 4
	fromPrompt  = 8
	fromFile    = 16
	fromGPG     = 32
)

// password is one that fitted, and where it came from.
type password struct {
	text secret.Text
	from int
	key  string // of OpenPGP, instead of a password
}

func (p *password) wipe() {
	if p != nil {
		p.text.Wipe()
	}
}

// source is one place to get a password from.
type source struct {
	from int
	name string // of the option, for messages
	get  func(context.Context) (secret.Text, error)
}

// sources lists the places that were given, in the original's order, without the prompt.
func (c *Cmd) sources(env *cli.Env) []source {
	var list []source
	if c.PwEnv != "" {
		list = append(list, source{fromMemory, "--pw-env", func(context.Context) (secret.Text, error) {
			return secret.FromString(env.Getenv(c.PwEnv)), nil
		}})
	}
	if c.PwCmd != "" {
		list = append(list, source{fromCommand, "--pw-cmd", func(ctx context.Context) (secret.Text, error) {
			return runForLine(ctx, env, c.PwCmd)
		}})
	}
	if c.PwFile != "" {
		list = append(list, source{fromFile, "--pw-file", func(context.Context) (secret.Text, error) {
			return readLine(c.PwFile)
		}})
	}
	return list
}

// decrypt tries the places that were given once each, and then asks; three tries in all.
func (c *Cmd) decrypt(ctx context.Context, env *cli.Env, name string, f login.File) (secret.Text, *password, error) {
	if f.Format == login.PGP {
		return c.decryptPGP(ctx, env, name, f)
	}
	given := c.sources(env)
	for try := range max(maxTries, len(given)) {
		s := source{fromPrompt, "", func(context.Context) (secret.Text, error) {
			return c.askPassword(ctx, env, name)
		}}
		if try < len(given) {
			s = given[try]
		}
		config, text, err := open(ctx, f, s)
		switch {
		case err == nil:
			return config, &password{text: text, from: s.from}, nil
		case errors.Is(err, term.ErrNoTerminal):
			return secret.Text{}, nil, nobody(env, err)
		case s.from != fromPrompt:
			env.Warn("%s: %v", s.name, err)
		case errors.Is(err, login.ErrWrongPassword):
			env.Note("wrong password")
		default:
			return secret.Text{}, nil, err
		}
	}
	return secret.Text{}, nil, cli.Fail(cli.Denied, errors.New(proto.TextMaxTries), "")
}

// open decrypts f with the password of one place.
func open(ctx context.Context, f login.File, s source) (config, pw secret.Text, err error) {
	pw, err = s.get(ctx)
	if err != nil {
		return secret.Text{}, secret.Text{}, err
	}
	config, err = f.Open(ctx, pw)
	if err != nil {
		pw.Wipe()
		return secret.Text{}, secret.Text{}, err
	}
	return config, pw, nil
}

// nobody is the error where there is nobody to ask: under the original's name its own, which counts that as tries.
func nobody(env *cli.Env, err error) error {
	const instead = "give the password with --pw-file, --pw-cmd or --pw-env"
	if env.Upstream {
		return cli.Fail(cli.No, errors.New(proto.TextMaxTries), instead)
	}
	return cli.Fail(cli.Human, err, instead)
}

// askPassword asks at the terminal, or in a window where that is wanted and can be had.
func (c *Cmd) askPassword(ctx context.Context, env *cli.Env, name string) (secret.Text, error) {
	text := fmt.Sprintf("Enter decryption password for account config '%s'", name)
	if cmp.Or(c.PwPrompt, c.settings.PwPrompt) != "gui" {
		return term.Password(env, text+": ")
	}
	asker := prompt.Best(prompt.Env{Getenv: env.Getenv})
	if !prompt.Can(asker, prompt.Password) {
		return term.Password(env, text+": ")
	}
	a, err := asker.Ask(ctx, prompt.Question{
		Kind: prompt.Password, Title: "oidc-add prompt", Text: text, Label: "Password",
	})
	if errors.Is(err, prompt.ErrCancelled) {
		return secret.Text{}, cli.Fail(cli.Human, errors.New(proto.TextCancelled), "")
	}
	return a.Text, err
}

// decryptPGP lets gpg open the file; if a passphrase is needed, gpg's own agent asks for it.
func (c *Cmd) decryptPGP(ctx context.Context, env *cli.Env, name string, f login.File) (secret.Text, *password, error) {
	gpg, err := login.FindGPG(env.Getenv)
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("open account %s: %w", name, err)
	}
	// A pinentry at the terminal needs to know which one it is.
	if tty := term.Name(env.Stderr); tty != "" && env.Getenv("GPG_TTY") == "" {
		gpg.Environ = append(gpg.Environ, "GPG_TTY="+tty)
	}
	config, err := gpg.Decrypt(ctx, f.Armour())
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("open account %s: %w", name, err)
	}
	key := c.PwGpg
	if keys, err := login.Recipients(f.Armour()); err == nil && key == "" {
		key = keys[0]
	}
	return config, &password{from: fromGPG, key: key}, nil
}

// pwEntry is what the agent is told about the password of an account file.
type pwEntry struct {
	Account string `json:"account"`
	Type    int    `json:"type"`
	// Bytes of a password in a string cannot be wiped; it lives as long as this command.
	Password     string `json:"password,omitempty"`
	Command      string `json:"command,omitempty"`
	File         string `json:"pw_file,omitempty"`
	GPGKey       string `json:"gpg_key,omitempty"`
	ExpiresAt    int64  `json:"expires_at,omitempty"`
	ExpiresAfter int64  `json:"expires_after,omitempty"`
}

// passwordEntry tells the agent how it may get at the account file's password when it has to write the file. keep is
// that a list of issuers, or the settings, want it to be kept in the agent.
func (c *Cmd) passwordEntry(env *cli.Env, name string, pw *password, keep bool) (secret.Text, error) {
	entry := pwEntry{Account: name, Type: fromPrompt, Command: c.PwCmd, GPGKey: cmp.Or(c.PwGpg, pw.key)}
	if c.PwCmd != "" {
		entry.Type |= fromCommand
	}
	if c.PwFile != "" {
		entry.Type |= fromFile
		entry.File = absolute(env, c.PwFile) // the agent has another working directory
	}
	if entry.GPGKey != "" {
		entry.Type |= fromGPG
	}
	seconds, store, err := c.storeTime()
	if err != nil {
		return secret.Text{}, err
	}
	if c.PwKeyring {
		entry.Type |= fromKeyring // an original of version 4 looks for this one
	}
	if !pw.text.Empty() && (store || keep || c.settings.StorePassword || pw.from == fromMemory) {
		entry.Type |= fromMemory
		entry.Password, entry.ExpiresAfter = pw.text.Expose(), seconds
		if seconds > 0 {
			entry.ExpiresAt = env.Now().Unix() + seconds
		}
	}
	b, err := json.Marshal(entry)
	if err != nil {
		return secret.Text{}, fmt.Errorf("describe the password: %w", err)
	}
	return secret.New(b), nil
}

// runForLine returns the first line that a program prints. The rules for the line are those of the keystore's
// passphrase command.
func runForLine(ctx context.Context, env *cli.Env, line string) (secret.Text, error) {
	cred, err := keystore.PassphraseCmd(line, env.Getenv, env.Stderr)
	if err != nil {
		return secret.Text{}, err
	}
	defer cred.Forget()
	slot, err := cred.NewSlot(ctx)
	return slot.Passphrase, err
}

// readLine returns the first line of a file, which may be a pipe. The original takes a file that others can read, so it
// is taken here too.
func readLine(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, err
	}
	defer func() { _ = f.Close() }() // only read
	return login.FirstLine(f)
}
