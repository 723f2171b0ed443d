//go:build linux

package unixdir

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// Trust implements backend.System. Users write GECOS fields by chfn(1) as far as login.defs lets them: room and numbers
// (r, w, h) come after the first comma and do not matter, the full name (f) is where the identity is. Unless
// CHFN_RESTRICT allows it, nobody but root changes that.
func (s *System) Trust(_ context.Context) error {
	etc := filepath.Join("/", s.Users.Root, "etc")
	for _, name := range []string{"passwd", "shadow", "group"} {
		info, err := os.Stat(filepath.Join(etc, name))
		if err != nil {
			return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
		}
		if info.Mode().Perm()&0o022 != 0 || !ownedByRoot(info) {
			return fmt.Errorf("%w: others than root can write %s", backend.ErrEditable, name)
		}
	}
	fields, err := chfnRestrict(filepath.Join(etc, "login.defs"))
	if err != nil {
		return err
	}
	if strings.Contains(fields, "f") {
		return fmt.Errorf("%w: CHFN_RESTRICT in login.defs lets them change their full name", backend.ErrEditable)
	}
	return nil
}

// chfnRestrict returns the letters of what users may change.
func chfnRestrict(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	defer f.Close()
	letters := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] != "CHFN_RESTRICT" {
			continue
		}
		switch letters = ""; {
		case len(words) < 2:
		case words[1] == "yes":
			letters = "rwh"
		case words[1] == "no":
			letters = "frwh"
		default:
			letters = strings.Trim(words[1], `"`)
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read %s: %w: %w", path, backend.ErrUnavailable, err)
	}
	return letters, nil
}

func ownedByRoot(info fs.FileInfo) bool {
	uid, ok := owner(info)
	return ok && uid == 0
}
