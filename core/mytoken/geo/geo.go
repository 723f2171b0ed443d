// Package geo says in which country an address is, by a database in MaxMind's format that the operator provides
// (GeoLite2, DB-IP, IP2Location, IPinfo and others are published so).
//
// The file is opened with the first question, read whole, and read again when it was replaced; one that cannot be read
// leaves the old one in use. It is not mapped: a file that is overwritten in place while it is mapped ends the process. The
// package downloads nothing, and what it does not know is "", which no list of countries contains.
//
// Standards: MaxMind DB file format 2.0, ISO 3166-1 alpha-2.
//
// Not a public API.
package geo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// MaxSize is the largest file that is read, in bytes.
	MaxSize = 512 << 20
	// defaultEvery is how often the file is looked at, at most.
	defaultEvery = 30 * time.Second
)

var (
	// ErrFormat is returned for a file that is no database of countries.
	ErrFormat = errors.New("not a database of countries in MaxMind's format (.mmdb)")
	// ErrTooLarge is returned for a file of more than MaxSize.
	ErrTooLarge = errors.New("database of countries is too large")
)

// Options of a DB. The zero value is what a server wants, but for the log.
type Options struct {
	// Every is how long the file counts as unchanged after it was looked at. 0 = 30 s.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// DB answers from one file. Use New. It may be used by many goroutines.
type DB struct {
	path string
	o    Options

	now    atomic.Pointer[loaded]
	looked atomic.Int64 // nanoseconds since 1970 of the last look at the file

	mu     sync.Mutex // held while the file is read
	failed stamp      // the version of the file that could not be read, which is said once
}

// stamp tells one version of a file from another.
type stamp struct {
	size     int64
	modified time.Time
	gone     bool
}

type loaded struct {
	stamp
	file *maxminddb.Reader
}

// New returns a DB of the file at path, which is not looked at yet.
func New(path string, o Options) *DB {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	return &DB{path: path, o: o}
}

// Country returns the country of an address in capital letters, "" when it is not known. The first call reads the file.
func (d *DB) Country(a netip.Addr) string {
	l := d.current()
	if l == nil || !a.IsValid() {
		return ""
	}
	return country(l.file, a.Unmap().WithZone(""))
}

// country looks in the places where the publishers have it.
func country(r *maxminddb.Reader, a netip.Addr) string {
	result := r.Lookup(a)
	for _, path := range [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}} {
		var code string
		if err := result.DecodePath(&code, path...); err == nil && len(code) == 2 {
			return strings.ToUpper(code)
		}
	}
	return ""
}

// Info describes a file.
type Info struct {
	Type  string    // as its publisher calls it
	Built time.Time // by its publisher
	Size  int64     // in bytes
}

// Inspect reads the file at path and says what it is. Errors: those of the system, ErrFormat, ErrTooLarge.
func Inspect(path string) (Info, error) {
	l, err := load(path)
	if err != nil {
		return Info{}, err
	}
	m := l.file.Metadata
	return Info{Type: m.DatabaseType, Built: time.Unix(int64(m.BuildEpoch), 0).UTC(), Size: l.size}, nil
}

// current is what to answer from: the file as it was when it was looked at last, nil when it could never be read.
func (d *DB) current() *loaded {
	now := d.o.Now().UnixNano()
	l, last := d.now.Load(), d.looked.Load()
	if last != 0 && now-last < int64(d.o.Every) && now >= last {
		return l
	}
	if l == nil { // nothing to answer from: wait for who reads it
		d.mu.Lock()
	} else if !d.mu.TryLock() {
		return l
	}
	defer d.mu.Unlock()
	if d.looked.Load() != last { // somebody else has just looked
		return d.now.Load()
	}
	d.refresh(l)
	d.looked.Store(now)
	return d.now.Load()
}

// refresh reads the file where it is another one than before.
func (d *DB) refresh(old *loaded) {
	is := stampOf(d.path)
	if old != nil && is == old.stamp || is == d.failed {
		return
	}
	next, err := load(d.path)
	if err != nil {
		d.failed = is
		d.o.Log.Error("the database of countries cannot be read", "op", "geo", "file", d.path, "old", old != nil, "err", err)
		return
	}
	d.failed = stamp{}
	d.now.Store(next)
	d.o.Log.Info("database of countries read", "op", "geo", "file", d.path, "type", next.file.Metadata.DatabaseType)
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{gone: true}
	}
	return stamp{size: info.Size(), modified: info.ModTime()}
}

// load reads a file whole. Its stamp is that of what was opened.
func load(path string) (*loaded, error) {
	info, err := os.Stat(path) // a pipe would keep the opening of it waiting
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, fmt.Errorf("read database of countries: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read database of countries: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("read database of countries: %w", err)
	}
	if info.Size() > MaxSize {
		return nil, fmt.Errorf("%s: %w", path, ErrTooLarge)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read database of countries: %w", err)
	}
	r, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(ErrFormat, err))
	}
	return &loaded{stamp{size: info.Size(), modified: info.ModTime()}, r}, nil
}
