package vault

import (
	"fmt"
	"os"
	"sync"

	"github.com/awnumar/memguard"
)

const (
	workers = 4 // work areas: this many secrets are open for use at one time
	// preflightPages is what the kernel must grant before memguard is asked for 1+workers pages: the rest is room for
	// other users of locked memory in this process.
	preflightPages = 8
)

// area is a few bytes that do not move and, where that is possible, are never written to disk.
type area interface {
	bytes() []byte // nil when it is gone
	free()
}

type lockedArea struct{ buf *memguard.LockedBuffer }

func (a lockedArea) bytes() []byte { return a.buf.Bytes() }
func (a lockedArea) free()         { a.buf.Destroy() }

// locking keeps two New from passing the preflight with the same pages.
var locking sync.Mutex

// newAreas returns 1+workers areas of size bytes, locked by memguard. It never panics: any doubt whether memguard would
// succeed is an error.
func newAreas(size int) (areas []area, err error) {
	locking.Lock()
	defer locking.Unlock()
	if err := preflight(); err != nil {
		return nil, err
	}
	defer func() {
		// Between the preflight and here somebody else may have taken the pages. memguard has then purged itself.
		if r := recover(); r != nil {
			areas, err = nil, limitError(fmt.Errorf("%v", r))
		}
	}()
	for range 1 + workers {
		areas = append(areas, lockedArea{memguard.NewBuffer(size)})
	}
	return areas, nil
}

// plainAreas is the fallback: not locked, but left out of core files where the system can do that.
func plainAreas(size int) []area {
	areas := make([]area, 0, 1+workers)
	for range 1 + workers {
		areas = append(areas, newPlainArea(size))
	}
	return areas
}

func limitError(err error) error {
	return &LimitError{
		LimitKiB: lockLimit(),
		NeedKiB:  int64(preflightPages * os.Getpagesize() / 1024),
		Err:      err,
	}
}
