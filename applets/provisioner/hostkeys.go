package provisioner

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/config"
)

const (
	// maxHostKey is what a public key may have at most, in bytes.
	maxHostKey = 16 << 10
	// hostKeysLife is how long keys are told before they are read again: anybody may ask for them, as often as they like.
	hostKeysLife = 10 * time.Second
)

// hostKeys are the public keys of this host, which change without us.
type hostKeys struct {
	patterns []string
	now      func() time.Time

	mu    sync.Mutex
	at    time.Time
	known []string
}

// lines are the keys as authorized_keys has them, without the comment, which names who made them.
func (k *hostKeys) lines() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.at.IsZero() || now.Sub(k.at) >= hostKeysLife || now.Before(k.at) {
		k.known, k.at = readHostKeys(k.patterns), now
	}
	return k.known
}

// readHostKeys leaves out what cannot be read: a host without keys of a kind is usual.
func readHostKeys(patterns []string) (lines []string) {
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.Mode()&fs.ModeType != 0 {
				continue
			}
			b, err := config.ReadFile(name, maxHostKey)
			if words := bytes.Fields(b); err == nil && len(words) > 1 {
				lines = append(lines, string(words[0])+" "+string(words[1]))
			}
		}
	}
	return lines
}
