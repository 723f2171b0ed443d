package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	// EnvPassphraseFile names a file whose first line is the passphrase.
	EnvPassphraseFile = "OIDCBOX_PASSPHRASE_FILE"
	// CredentialName is the systemd credential that is looked for without being told.
	CredentialName = "oidcbox-keystore"

	envCredentials = "CREDENTIALS_DIRECTORY"
	// commandLimit is how long a passphrase command may take; it may ask a person.
	commandLimit = 30 * time.Second
)

// CredentialOptions are the places where a credential may be, as a command line or a configuration gives them.
type CredentialOptions struct {
	PassphraseFile string
	PassphraseCmd  string
	KeyFile        string
	Getenv         func(string) string
	// Slots, when known, let the keyring be used if there is a slot for it.
	Slots []Slot
	// Quiet makes a keyring that is locked an error, ErrKeyringLocked: else it asks the person on the screen.
	Quiet bool
	// Stderr gets what a passphrase command writes there; nil for nowhere.
	Stderr io.Writer
}

// FindCredential chooses how to unlock without asking a person: the one of the three flags that is set, else
// $OIDCBOX_PASSPHRASE_FILE, else the systemd credential oidcbox-keystore if it is there, else the keyring and the
// ssh-agent at $SSH_AUTH_SOCK, as far as the file has slots for them. false when there is none. Nothing is read yet: that happens in Open.
func FindCredential(o CredentialOptions) (Credential, bool, error) {
	flags := 0
	for _, v := range []string{o.PassphraseFile, o.PassphraseCmd, o.KeyFile} {
		if v != "" {
			flags++
		}
	}
	switch {
	case flags > 1:
		return Credential{}, false, ErrChoice
	case o.PassphraseFile != "":
		return PassphraseFile(o.PassphraseFile), true, nil
	case o.PassphraseCmd != "":
		c, err := PassphraseCmd(o.PassphraseCmd, o.Getenv, o.Stderr)
		return c, err == nil, err
	case o.KeyFile != "":
		return KeyFile(o.KeyFile), true, nil
	}
	if path := o.Getenv(EnvPassphraseFile); path != "" {
		return PassphraseFile(path), true, nil
	}
	if dir := o.Getenv(envCredentials); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, CredentialName)); err == nil {
			return SystemdCredential(dir, CredentialName), true, nil
		}
	}
	c := o.bySlot()
	return c, !c.None(), nil
}

// bySlot is what the slots of the file call for by themselves: the keyring, and an ssh-agent that is there. Nobody has
// such a slot without having asked for it.
func (o CredentialOptions) bySlot() (c Credential) {
	has := func(k Kind) bool { return slices.ContainsFunc(o.Slots, func(s Slot) bool { return s.Kind == k }) }
	if has(KindKeyring) {
		c = Keyring("", "")
		if o.Quiet {
			c.key = quietly(c.key)
		}
	}
	if socket := o.Getenv(EnvSSHAgent); socket != "" && has(KindSSHAgent) {
		c = either(c, SSHAgent(socket))
	}
	return c
}

// either opens what one of two credentials opens. A new slot is made of the first.
func either(a, b Credential) Credential {
	if a.None() {
		return b
	}
	return Credential{
		kinds: slices.Concat(a.kinds, b.kinds), slot: a.slot,
		key: func(ctx context.Context, s Slot) (secret.Text, error) {
			if slices.Contains(a.kinds, s.Kind) {
				return a.key(ctx, s)
			}
			return b.key(ctx, s)
		},
		forget: func() { a.Forget(); b.Forget() },
	}
}

// PassphraseFile opens passphrase slots with the first line of a file, which others must not be able to read. A pipe
// or /dev/stdin will do; it is read once.
func PassphraseFile(path string) Credential {
	return once(func(context.Context) (secret.Text, error) { return readPassphraseFile(path) })
}

// PassphraseCmd opens passphrase slots with the first line that a program prints.
//
// The line is split into words without a shell: blanks separate; '...' is taken as it is; in "..." and outside, a
// backslash takes the next character as it is. Nothing is expanded. The program is looked up in PATH unless it has a
// path; it gets no input, 30 seconds, and an environment without anything but what such programs need (see
// commandEnv).
func PassphraseCmd(line string, getenv func(string) string, stderr io.Writer) (Credential, error) {
	argv, err := splitWords(line)
	if err == nil && len(argv) == 0 {
		err = errors.New("it is empty")
	}
	if err == nil {
		argv[0], err = findProgram(argv[0], getenv)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("passphrase command: %w", err)
	}
	return once(func(ctx context.Context) (secret.Text, error) {
		return runForLine(ctx, argv, commandEnv(getenv), stderr)
	}), nil
}

// once makes a passphrase credential that reads its source one time, however many slots are tried.
func once(read func(context.Context) (secret.Text, error)) Credential {
	turn := make(chan struct{}, 1)
	var (
		have secret.Text
		got  bool
	)
	return Credential{
		kinds: []Kind{KindPassphrase},
		key: func(ctx context.Context, _ Slot) (secret.Text, error) {
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			case <-ctx.Done():
				return secret.Text{}, ctx.Err()
			}
			if !got {
				p, err := read(ctx)
				if err != nil {
					return secret.Text{}, err
				}
				have, got = p, true
			}
			return have.Clone(), checkPassphrase(have)
		},
		forget: func() { have.Wipe() },
	}
}

func runForLine(ctx context.Context, argv, env []string, stderr io.Writer) (secret.Text, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	out := &bounded{limit: maxPassphrase + 2} // a line may end with two characters
	defer func() { clear(out.b) }()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, stderr
	cmd.WaitDelay = 2 * time.Second // a child of the program may hold the pipe open
	if err := cmd.Run(); err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			err = ctxErr
		}
		return secret.Text{}, fmt.Errorf("passphrase command %s: %w", argv[0], err)
	}
	line, _, ended := bytes.Cut(out.b, []byte("\n"))
	if !ended && len(out.b) > maxPassphrase {
		return secret.Text{}, fmt.Errorf("passphrase command %s: line is too long: %w", argv[0], ErrUnfit)
	}
	return firstLine(bytes.Clone(line)), nil
}

// bounded keeps the first limit bytes and takes the rest without keeping it.
type bounded struct {
	b     []byte
	limit int
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.b == nil {
		w.b = make([]byte, 0, w.limit) // never grows, so there is one copy
	}
	w.b = append(w.b, p[:min(len(p), w.limit-len(w.b))]...)
	return len(p), nil
}

// commandEnv is what password managers need to find their store, their agent and the person.
func commandEnv(getenv func(string) string) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
		"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "GNUPGHOME", "GPG_TTY",
		"SSH_AUTH_SOCK", "PASSWORD_STORE_DIR", "SystemRoot", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
	} {
		if v := getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// findProgram looks in the absolute directories of PATH, never in the working directory.
func findProgram(name string, getenv func(string) string) (string, error) {
	if filepath.IsAbs(name) {
		return exec.LookPath(name)
	}
	if strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%s is a relative path", name)
	}
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// splitWords splits a command line by the rules of PassphraseCmd.
func splitWords(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune
		escape bool
	)
	for _, r := range line {
		switch {
		case escape:
			word.WriteRune(r)
			escape = false
		case r == '\\' && quote != '\'':
			escape, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escape {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
