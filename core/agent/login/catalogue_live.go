package login

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// liveCheck is how often the files of a LiveCatalogue are looked at, at most.
const liveCheck = time.Second

// LiveOptions are those of NewLiveCatalogue.
type LiveOptions struct {
	// Dirs names the directories, the person's first, at each look: a directory may be made while we run.
	Dirs func() []string
	Now  func() time.Time
	// Fault is told what a file has wrong, once for each change of the files; nil: nobody.
	Fault func(error)
}

// LiveCatalogue is a Catalogue that follows its files: what a person edits is seen a second later, without a restart.
// It is safe for concurrent use.
type LiveCatalogue struct {
	opts LiveOptions

	mu      sync.Mutex
	current Catalogue
	seen    []stamp
	looked  time.Time
	ready   bool
}

// stamp is what tells one state of a file from another.
type stamp struct {
	path string
	size int64
	when time.Time
}

// NewLiveCatalogue returns one that reads nothing before the first Get.
func NewLiveCatalogue(o LiveOptions) *LiveCatalogue {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &LiveCatalogue{opts: o}
}

// Get returns the catalogue as the files are now. It looks at them at most once in a second, and reads them only when
// one has changed.
func (l *LiveCatalogue) Get() Catalogue {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.opts.Now()
	if since := now.Sub(l.looked); l.ready && since >= 0 && since < liveCheck {
		return l.current
	}
	l.looked = now
	dirs := l.opts.Dirs()
	stamps := stampsOf(dirs)
	if l.ready && slices.Equal(stamps, l.seen) {
		return l.current
	}
	c, err := LoadCatalogue(dirs...)
	if err != nil && l.opts.Fault != nil {
		l.opts.Fault(err)
	}
	l.current, l.seen, l.ready = c, stamps, true
	return c
}

// stampsOf looks at every file that LoadCatalogue reads.
func stampsOf(dirs []string) []stamp {
	var list []stamp
	add := func(path string, info fs.FileInfo, err error) {
		if err == nil {
			list = append(list, stamp{path, info.Size(), info.ModTime()})
		}
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		for _, name := range []string{issuerFile, pubclientFile, parameterFile, issuerFile + ".d"} {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			add(path, info, err)
		}
		paths, err := newestFirst(filepath.Join(dir, issuerFile+".d"))
		if err != nil {
			continue // LoadCatalogue says so
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			add(path, info, err)
		}
	}
	return list
}
