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
