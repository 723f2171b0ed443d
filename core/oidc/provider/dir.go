package provider

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Dir keeps key sets in a directory, so that a restart, or a command in a loop, does not need the issuers. Several
// processes may use one directory at the same time, on NFS too: nothing is locked, files are replaced as a whole, and
// the later result wins. What is damaged counts as absent. docs/formats/verifier-keys.md describes the files.
//
// The keys are public, but whoever can write here is believed as the issuers are: the directory has to be ours alone.
type Dir struct {
	path string
	now  func() time.Time
}

// Kinds of files of one issuer.
const (
	kindKeys    = ".keys"
	kindDropped = ".dropped"
	kindTries   = ".tries"
	kindTemp    = ".temp"

	dirMagic = "oidcbox-keys-1"
	maxNote  = 8 << 10 // first lines, and the small files
	maxFile  = jose.MaxKeySet + maxNote
	dirAhead = time.Minute // how far a time may lie ahead, for clocks of two machines
)

// OpenDir returns the directory at path, which it makes with mode 0700 if need be. One that belongs to somebody else
// or that others may enter is refused with sock.ErrForeign. Files that can be of no use any more are removed.
func OpenDir(path string, now func() time.Time) (*Dir, error) {
	d := &Dir{path: filepath.Clean(path), now: now}
	if d.now == nil {
		d.now = time.Now
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return nil, fmt.Errorf("make directory for keys: %w", err)
	}
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d.sweep(root)
	return d, nil
}

// Issuers returns the issuers of which the directory has keys.
func (d *Dir) Issuers() ([]string, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []string
	for _, e := range entriesOf(root) {
		if !strings.HasSuffix(e.Name(), kindKeys) {
			continue
		}
		b, err := readFile(root, e.Name(), maxFile)
		if err != nil {
			continue
		}
		if rec, err := parseRecord(b); err == nil && fileName(rec.Issuer, kindKeys) == e.Name() {
			list = append(list, rec.Issuer)
		}
	}
	return list, nil
}

func (d *Dir) open() (*os.Root, error) {
	root, err := sock.OpenPrivate(d.path)
	if err != nil {
		return nil, fmt.Errorf("directory for keys: %w", err)
	}
	return root, nil
}

func fileName(issuer, kind string) string {
	sum := sha256.Sum256([]byte(issuer))
	return hex.EncodeToString(sum[:]) + kind
}

func entriesOf(root *os.Root) []fs.DirEntry {
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil
	}
	return list
}

// sweep removes what no process will read again: sets, and notes about them, that are older than any set may become,
// and what a process that was killed left half written.
func (d *Dir) sweep(root *os.Root) {
	for _, e := range entriesOf(root) {
		var limit time.Duration
		switch filepath.Ext(e.Name()) {
		case kindKeys, kindDropped, kindTries:
			limit = MaxExpiry + time.Hour
		case kindTemp:
			limit = time.Hour
		default:
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && d.now().Sub(info.ModTime()) > limit {
			_ = root.Remove(e.Name())
		}
	}
}

// record is the line before the set in a file of keys.
type record struct {
	Issuer  string    `json:"issuer"`
	Fetched time.Time `json:"fetched"`
	MaxAge  int64     `json:"max_age"` // seconds

	raw []byte
}

var errDamaged = errors.New("file is damaged")

// parseRecord reads a file of keys: the magic word with the SHA-256 of all that follows, the record as one line of JSON,
// the set as it came.
func parseRecord(b []byte) (record, error) {
	head, rest, ok := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(rest)
	if !ok || string(head) != dirMagic+" "+hex.EncodeToString(sum[:]) {
		return record{}, errDamaged
	}
	line, raw, ok := bytes.Cut(rest, []byte("\n"))
	var r record
	if !ok || json.Unmarshal(line, &r) != nil || r.Issuer == "" || r.MaxAge < 0 {
		return record{}, errDamaged
	}
	r.MaxAge = min(r.MaxAge, int64(MaxExpiry/time.Second))
	r.raw = raw
	return r, nil
}

func (r record) bytes() ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	rest := append(append(line, '\n'), r.raw...)
	sum := sha256.Sum256(rest)
	return append([]byte(dirMagic+" "+hex.EncodeToString(sum[:])+"\n"), rest...), nil
}

// load returns the kept set of issuer; nil when there is none, when it was dropped, or when it is damaged. A nil Dir
// has nothing.
func (d *Dir) load(issuer string, log *slog.Logger) *fetched {
	if d == nil {
		return nil
	}
	got, err := d.read(issuer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("kept key set cannot be used", "iss", issuer, "err", err)
	}
	return got
}

func (d *Dir) read(issuer string) (*fetched, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := readFile(root, fileName(issuer, kindKeys), maxFile)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, err
	}
	if r.Issuer != issuer || r.Fetched.After(d.now().Add(dirAhead)) {
		return nil, errDamaged
	}
	dropped, err := readMark(root, fileName(issuer, kindDropped))
	if err != nil {
		return nil, err
	}
	if dropped.At.After(r.Fetched) {
		return nil, fs.ErrNotExist
	}
	set, _, err := jose.ParseKeySet(r.raw)
	if err != nil {
		return nil, err
	}
	return &fetched{
		set: set, raw: r.raw, at: r.Fetched, maxAge: time.Duration(r.MaxAge) * time.Second, fromDisk: true,
	}, nil
}

// save keeps a set, unless a later one is there.
func (d *Dir) save(issuer string, got *fetched) error {
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	name := fileName(issuer, kindKeys)
	if b, err := readFile(root, name, maxFile); err == nil {
		there, err := parseRecord(b)
		if err == nil && there.Fetched.After(got.at) && !there.Fetched.After(d.now().Add(dirAhead)) {
			return nil
		}
	}
	r := record{Issuer: issuer, Fetched: got.at.UTC(), MaxAge: int64(got.maxAge / time.Second), raw: got.raw}
	b, err := r.bytes()
	if err != nil {
		return err
	}
	return d.replaceFile(root, name, b)
}

// drop makes sure that no set fetched before at is read again, whoever writes it: the mark counts, not the file's
// absence.
func (d *Dir) drop(issuer string, at time.Time) error {
	if d == nil {
		return nil
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	err = d.writeMark(root, fileName(issuer, kindDropped), mark{Issuer: issuer, At: at.UTC()})
	for _, kind := range []string{kindKeys, kindTries} {
		if e := root.Remove(fileName(issuer, kind)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// mark is a small file with a time.
type mark struct {
	Issuer string    `json:"issuer"`
	At     time.Time `json:"at"`
}

// readMark returns the zero mark when there is none. A mark that cannot be read is an error: what it marks must not be
// taken for unmarked.
func readMark(root *os.Root, name string) (mark, error) {
	var m mark
	b, err := readFile(root, name, maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if json.Unmarshal(b, &m) != nil {
		return m, errDamaged
	}
	return m, nil
}

func (d *Dir) writeMark(root *os.Root, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.replaceFile(root, name, append(b, '\n'))
}

// tries are what processes tell each other about attempts.
type tries struct {
	Forced time.Time `json:"forced"` // last fetch for an unknown kid
	Failed time.Time `json:"failed"`
	Reason string    `json:"reason,omitempty"`
}

func (d *Dir) tries(issuer string) (t tries) {
	root, err := d.open()
	if err != nil {
		return t
	}
	defer root.Close()
	if b, err := readFile(root, fileName(issuer, kindTries), maxNote); err == nil && json.Unmarshal(b, &t) != nil {
		return tries{}
	}
	return t
}

func (d *Dir) changeTries(issuer string, change func(*tries)) error {
	t := d.tries(issuer)
	change(&t)
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	return d.writeMark(root, fileName(issuer, kindTries), t)
}

func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, errDamaged
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errDamaged
	}
	return b, err
}

// replaceFile writes a file beside the old one, syncs it and renames it, so that readers see the old or the new one. Its
// time is ours, whatever a file server thinks: sweep looks at it.
func (d *Dir) replaceFile(root *os.Root, name string, b []byte) (err error) {
	temp := name + "." + rand.Text() + kindTemp
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	_, werr := f.Write(b)
	serr := f.Sync()
	at := d.now()
	if err := errors.Join(werr, serr, f.Close(), root.Chtimes(temp, at, at)); err != nil {
		return err
	}
	return root.Rename(temp, name)
}
