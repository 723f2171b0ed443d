//go:build linux

package unixdir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// shadowEntry is what shadow(5) has of a user.
type shadowEntry struct {
	there  bool
	expire int64 // days since 1970, -1 for never
}

func (e shadowEntry) expired(now time.Time) bool {
	return e.there && e.expire >= 0 && e.expire <= now.Unix()/86400
}

// shadowOf reads shadow. Hashes are not kept.
func (s *System) shadowOf(name string) (shadowEntry, error) {
	f, err := os.Open(filepath.Join("/", s.Users.Root, "etc/shadow"))
	if errors.Is(err, fs.ErrNotExist) {
		return shadowEntry{}, nil
	}
	if err != nil {
		return shadowEntry{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		field := strings.Split(lines.Text(), ":")
		if len(field) != 9 || field[0] != name {
			continue
		}
		e := shadowEntry{there: true, expire: -1}
		if n, err := strconv.ParseInt(field[7], 10, 64); err == nil {
			e.expire = n
		}
		return e, nil
	}
	if err := lines.Err(); err != nil {
		return shadowEntry{}, fmt.Errorf("read shadow: %w: %w", backend.ErrUnavailable, err)
	}
	return shadowEntry{}, nil
}

// shadowGroups are the groups that gshadow has; nil where there is no such file. Hashes are not kept.
func (s *System) shadowGroups() (map[string]bool, error) {
	f, err := os.Open(filepath.Join("/", s.Users.Root, "etc/gshadow"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	defer f.Close()
	all := map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxGroupLine)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ":")
		all[name] = true
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read gshadow: %w: %w", backend.ErrUnavailable, err)
	}
	return all, nil
}

// maxGroupLine bounds a line of gshadow, in bytes: a group's members stand in one.
const maxGroupLine = 4 << 20
