package keychain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// maxScript bounds what is read of a script; it has two lines.
const maxScript = 16 << 10

// scriptPath is the file that a person's other start-up files and cron jobs source, one for each host that shares the
// home directory.
func (k *keychain) scriptPath() (string, error) {
	dir, _, err := login.FindDir(k.env.Getenv, func(path string) bool {
		fi, err := os.Stat(path)
		return err == nil && fi.IsDir()
	})
	if err != nil {
		return "", err
	}
	host, err := os.Hostname()
	if err == nil && (host == "" || strings.ContainsAny(host, "/\x00")) {
		err = errors.New("the name of this host is no name of a file")
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, ".keychain", host+".sh"), nil
}

// remember writes the script.
func (k *keychain) remember(r start.Running) error {
	path, err := k.scriptPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := replace(path, variables(r)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// replace writes a small file whole: a shell may source it at any time. What a power cut loses is written again by the
// next shell.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// recall reads the socket out of the script, "" when there is none. No shell: the line says it or it does not.
func (k *keychain) recall() string {
	path, err := k.scriptPath()
	if err != nil {
		return ""
	}
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		assignment := strings.TrimSuffix(strings.TrimSpace(line), " export OIDC_SOCK;")
		name, value, ok, err := cli.ParseAssignment(assignment)
		if err == nil && ok && name == "OIDC_SOCK" && filepath.IsAbs(value) {
			return value
		}
	}
	return ""
}

func (k *keychain) forget() {
	path, err := k.scriptPath()
	if err != nil {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.env.Warn("%v", err)
	}
}
