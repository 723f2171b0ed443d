package add

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

const (
	maxTries = 3
	// maxLine bounds a password in a file.
	maxLine = 4 << 10
)

// Where a password came from, as the protocol counts it (oidc-agent's pw_entry).
const (
	fromMemory  = 1
	fromCommand = 4
	fromPrompt  = 8
	fromFile    = 16
)

// password is one that fitted, and where it came from.
type password struct {
	text secret.Text
	from int
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
		return secret.Text{}, nil, fmt.Errorf("open account %s: %w", name, login.ErrPGP)
	}
	given := c.sources(env)
	for try := range max(maxTries, len(given)) {
		s := source{fromPrompt, "", func(context.Context) (secret.Text, error) {
			return term.Password(env, fmt.Sprintf("Enter decryption password for account config '%s': ", name))
		}}
		if try < len(given) {
			s = given[try]
		}
		config, text, err := open(ctx, f, s)
		switch {
		case err == nil:
			return config, &password{text: text, from: s.from}, nil
		case errors.Is(err, term.ErrNoTerminal):
			return secret.Text{}, nil, cli.Fail(cli.Human, err, "give the password with --pw-file, --pw-cmd or --pw-env")
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

// passwordEntry tells the agent how it may get at the account file's password when it has to write the file.
func (c *Cmd) passwordEntry(name string, pw *password) (secret.Text, error) {
	entry := struct {
		Account string `json:"account"`
		Type    int    `json:"type"`
		// Bytes of a password in a string cannot be wiped; it lives as long as this command.
		Password     string `json:"password,omitempty"`
		Command      string `json:"command,omitempty"`
		File         string `json:"pw_file,omitempty"`
		ExpiresAfter int64  `json:"expires_after,omitempty"`
	}{Account: name, Type: fromPrompt, Command: c.PwCmd, File: c.PwFile}
	if c.PwCmd != "" {
		entry.Type |= fromCommand
	}
	if c.PwFile != "" {
		entry.Type |= fromFile
	}
	seconds, store, err := c.storeTime()
	if err != nil {
		return secret.Text{}, err
	}
	if store || pw.from == fromMemory {
		entry.Type |= fromMemory
		entry.Password, entry.ExpiresAfter = pw.text.Expose(), seconds
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

// readLine returns the first line of a file. The original takes a file that others can read, so it is taken here too.
func readLine(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	buf := make([]byte, maxLine+1)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(buf)
		return secret.Text{}, err
	}
	line, _, ended := bytes.Cut(buf[:n], []byte{'\n'})
	if !ended && n > maxLine {
		clear(buf)
		return secret.Text{}, fmt.Errorf("the first line of %s has more than %d bytes", path, maxLine)
	}
	clear(buf[len(line):])
	return secret.New(bytes.TrimSuffix(line, []byte{'\r'})), nil
}
