package self

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// desktopName is the file that tells a desktop who takes redirects to the scheme of oidc-agent's logins.
const (
	desktopName = "oidcbox-gen.desktop"
	loginScheme = "x-scheme-handler/edu.kit.data.oidc-agent"
)

// desktopDir is where a person's own desktop files lie (XDG Base Directory, Desktop Menu).
func desktopDir(env *cli.Env) (string, error) {
	if dir := env.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "applications"), nil
	}
	if home := env.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "applications"), nil
	}
	return "", errors.New("no home directory is known for the desktop file")
}

// desktopEntry has a terminal run "gen --codeExchange" with the address of the redirect. It gets the address as one
// argument; no shell is between.
func desktopEntry(binary string) string {
	return "[Desktop Entry]\nType=Application\nName=oidcbox gen\nComment=Finishes a login that was begun in a terminal\n" +
		"Exec=" + execArgument(binary) + " gen --codeExchange %u\nTerminal=true\nNoDisplay=true\n" +
		"MimeType=" + loginScheme + ";\n"
}

// execArgument quotes an argument of an Exec line: first for the line, then for the file.
func execArgument(arg string) string {
	quoted := strings.NewReplacer(`"`, `\"`, "`", "\\`", "$", `\$`, `\`, `\\`, "%", "%%").Replace(arg)
	return `"` + strings.ReplaceAll(quoted, `\`, `\\`) + `"`
}

// installDesktop writes the file and says how it becomes the one that is used.
func installDesktop(env *cli.Env, binary string) error {
	dir, err := desktopDir(env)
	if err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	if strings.ContainsAny(binary, "\n\r") {
		return errors.New("the path of this program has a line break: no desktop file can name it")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of desktop files: %w", err)
	}
	path := filepath.Join(dir, desktopName)
	if err := writeWhole(path, []byte(desktopEntry(binary))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fmt.Fprintf(env.Stdout, "%s\n", path)
	env.Note("to have it used: xdg-mime default %s %s", desktopName, loginScheme)
	return nil
}

// removeDesktop removes the file. None is fine.
func removeDesktop(env *cli.Env) error {
	dir, err := desktopDir(env)
	if err != nil {
		return nil // then there is none of ours
	}
	path := filepath.Join(dir, desktopName)
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("remove the desktop file: %w", err)
	}
	fmt.Fprintf(env.Stdout, "removed %s\n", path)
	return nil
}
