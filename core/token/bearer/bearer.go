// Package bearer finds the bearer token of this process where programs of the grid look for it, and writes it there:
// [Find], [Store], and [Watch], which keeps a file fresh for a running job.
//
// It looks at no claim and believes none: which token to use is decided by the place alone, never by what is in it.
// Where a token comes from (an agent, a provider) is the caller's business.
//
// Standards: WLCG Bearer Token Discovery 1.0; RFC 6750 section 2.1 for what a token may be made of.
//
// Not a public API.
package bearer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/oidcbox/oidcbox/core/secret"
)

// MaxToken bounds a token in bytes.
const MaxToken = 64 << 10

// maxFile leaves room for white space around it.
const maxFile = MaxToken + 1<<10

// Names of the variables of the discovery.
const (
	EnvToken = "BEARER_TOKEN"
	EnvFile  = "BEARER_TOKEN_FILE"

	envRuntime = "XDG_RUNTIME_DIR"
	sharedDir  = "/tmp" // whatever TMPDIR says
)

// white is what is taken off both ends.
const white = " \f\n\r\t\v"

// Find returns the bearer token of this process and where it was: BEARER_TOKEN, the file in BEARER_TOKEN_FILE,
// $XDG_RUNTIME_DIR/bt_u<uid>, /tmp/bt_u<uid>, in this order. uid is the effective one; where a system has none (-1),
// only the variables are looked at.
//
// A place that is absent or empty leads on to the next one, except a file that BEARER_TOKEN_FILE names and that cannot
// be read. What is no token is ErrNotToken, a file that cannot be trusted ErrUntrusted, both without a look at later
// places; nothing at any of them is ErrNone. No error shows what was read.
func Find(getenv func(string) string, uid int) (token secret.Text, where string, err error) {
	return places{shared: sharedDir}.find(getenv, uid)
}

// FindNamed is Find for tokens of another kind, which have files of their own beside bt_u<uid>: with the names mt and bt,
// each directory is searched for mt_u<uid> and then for bt_u<uid>.
func FindNamed(getenv func(string) string, uid int, names ...string) (token secret.Text, where string, err error) {
	return places{shared: sharedDir, names: names}.find(getenv, uid)
}

// places is where the discovery looks; shared is /tmp but in tests. No names are bt.
type places struct {
	shared string
	names  []string
}

func (p places) find(getenv func(string) string, uid int) (secret.Text, string, error) {
	if t, err := read([]byte(getenv(EnvToken))); err != nil || !t.Empty() {
		return named(t, EnvToken, err)
	}
	if path := getenv(EnvFile); path != "" {
		t, err := ReadFile(path)
		if err != nil || !t.Empty() {
			return named(t, path, err)
		}
	}
	if uid < 0 {
		return secret.Text{}, "", ErrNone
	}
	for _, path := range p.usual(getenv, uid) {
		t, err := readFile(path, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !t.Empty() {
			return named(t, path, err)
		}
	}
	return secret.Text{}, "", ErrNone
}

// usual are the files that need no variable of their own.
func (p places) usual(getenv func(string) string, uid int) []string {
	dirs := []string{p.shared}
	if dir := getenv(envRuntime); dir != "" {
		dirs = []string{dir, p.shared}
	}
	names := p.names
	if len(names) == 0 {
		names = []string{"bt"}
	}
	var paths []string
	for _, dir := range dirs {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name+"_u"+strconv.Itoa(uid)))
		}
	}
	return paths
}

// Path is the file where Find will look for a token: the one in BEARER_TOKEN_FILE, else bt_u<uid> in XDG_RUNTIME_DIR,
// or in /tmp where that is not set.
func Path(getenv func(string) string, uid int) string {
	if path := getenv(EnvFile); path != "" {
		return path
	}
	return places{shared: sharedDir}.usual(getenv, uid)[0]
}

func named(t secret.Text, where string, err error) (secret.Text, string, error) {
	if err != nil {
		return secret.Text{}, "", fmt.Errorf("bearer token of %s: %w", where, err)
	}
	return t, where, nil
}

// ReadFile reads a token from a file that was named by somebody who may know best: symbolic links are followed, and
// others may read it, because volumes of containers are made like that. It has to be a regular file of this user or of
// root that nobody else can write to. A file with nothing in it gives an empty token.
func ReadFile(path string) (secret.Text, error) { return readFile(path, false) }

// readFile reads a token. strict is for a place where a stranger may have put something.
func readFile(path string, strict bool) (secret.Text, error) {
	f, err := open(path, strict)
	if err != nil {
		return secret.Text{}, bare(err)
	}
	defer f.Close()
	if err := check(f, strict); err != nil {
		return secret.Text{}, err
	}
	// One byte more than allowed shows that there is more.
	b := make([]byte, 0, maxFile+1)
	defer clear(b[:cap(b)])
	for len(b) < cap(b) {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return secret.Text{}, bare(err)
		}
	}
	return read(b)
}

// bare takes the name of the file out of an error: the caller says it.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// read makes a token of what was found, empty for nothing.
func read(b []byte) (secret.Text, error) {
	b = bytes.Trim(b, white)
	switch {
	case len(b) == 0:
		return secret.Text{}, nil
	case len(b) > MaxToken:
		return secret.Text{}, ErrTooLarge
	case !Valid(b):
		return secret.Text{}, ErrNotToken
	}
	return secret.New(bytes.Clone(b)), nil
}

// Parse takes white space off both ends of b and returns the token in it, or ErrNotToken: also for nothing at all.
func Parse(b []byte) (secret.Text, error) {
	t, err := read(b)
	if err == nil && t.Empty() {
		err = ErrNotToken
	}
	return t, err
}

// Valid reports whether b can be sent as a bearer token: b64token of RFC 6750 section 2.1.
func Valid(b []byte) bool {
	end := bytes.TrimRight(b, "=")
	for _, c := range end {
		set := uint64(tokenLow)
		if c >= 64 {
			set = tokenHigh
		}
		if c >= 128 || set>>(c%64)&1 == 0 {
			return false
		}
	}
	return len(end) > 0
}

// The characters of a token as bits: those below 64 and those from there on. Letters come in any order, so a switch
// over ranges would be guessed wrong for most of them.
const (
	tokenLow  = 1<<'-' | 1<<'.' | 1<<'+' | 1<<'/' | (1<<10-1)<<'0'
	tokenHigh = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64) | 1<<('_'-64) | 1<<('~'-64)
)
