package sock

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// trustedPort fails unless somebody listens at a TCP port, and everybody who does is us or root. The kernel's table has
// the uid of each listener; a connection that nobody has accepted yet has none.
func trustedPort(port int) error {
	found := false
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		uids, err := listeners(table, port)
		if err != nil {
			return fmt.Errorf("see who listens: %w: %w", ErrForeign, err)
		}
		for _, uid := range uids {
			if uid != me() && uid != 0 {
				return fmt.Errorf("uid %d listens there: %w", uid, ErrForeign)
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("nothing tells who listens there: %w", ErrForeign)
	}
	return nil
}

// listeners returns the uids of those that listen at a port, whatever address they chose. There may be no table, where
// there is no IPv6.
func listeners(table string, port int) ([]uint32, error) {
	f, err := os.Open(table)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const (
		local, state, owner = 1, 3, 7 // columns
		listening           = "0A"
	)
	suffix := fmt.Sprintf(":%04X", port)
	var uids []uint32
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		col := strings.Fields(lines.Text())
		if len(col) <= owner || col[state] != listening || !strings.HasSuffix(col[local], suffix) {
			continue
		}
		uid, err := strconv.ParseUint(col[owner], 10, 32)
		if err != nil {
			return nil, err
		}
		uids = append(uids, uint32(uid))
	}
	return uids, lines.Err()
}
