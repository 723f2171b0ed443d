package mytokenserver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// A directory of keys has one file for each: KEY-TIME.jwk, a JWK with its private part. The one with the latest time signs,
// the others check what they have signed. The time is in the name so that a copy of the directory is the same.
const (
	keyPrefix  = "key-"
	keySuffix  = ".jwk"
	keyTime    = "20060102T150405Z"
	maxKeyFile = 64 << 10
	// maxKeys bounds how many keys may check: year-long mytokens and a rotation each month stay far below.
	maxKeys = 64
)

var (
	// errNoKeys is told when a directory has no key at all.
	errNoKeys = errors.New("there is no signing key")
	// errKeyMode is told of a key that others could read or replace.
	errKeyMode = errors.New("others may read or change it")
	// errKeyName is told of a file that is no key by its name.
	errKeyName = errors.New("file does not belong there")
)

// signingKey is one key with where it is from.
type signingKey struct {
	*jose.PrivateKey
	file    string
	created time.Time
}

// loadKeys reads a directory, the newest key first.
func loadKeys(dir string) ([]signingKey, error) {
	names, err := keyFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	var list []signingKey
	for _, name := range names {
		k, err := loadKey(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", filepath.Join(dir, name), err)
		}
		list = append(list, k)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, errNoKeys)
	}
	sorted.By(list, func(a, b signingKey) int { return cmp.Compare(b.file, a.file) })
	return list, nil
}

// keyFiles lists the keys of a directory that is ours alone. What begins with a dot is passed over: an unfinished file.
func keyFiles(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if err := private(info); err != nil {
		return nil, &fs.PathError{Op: "use", Path: dir, Err: err}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if !strings.HasPrefix(name, keyPrefix) || !strings.HasSuffix(name, keySuffix) {
			return nil, &fs.PathError{Op: "use", Path: filepath.Join(dir, name), Err: errKeyName}
		}
		names = append(names, name)
	}
	if len(names) > maxKeys {
		return nil, fmt.Errorf("%s: more than %d keys", dir, maxKeys)
	}
	return names, nil
}

func loadKey(path string) (signingKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return signingKey{}, err
	}
	if err := private(info); err != nil {
		return signingKey{}, err
	}
	b, err := config.ReadFile(path, maxKeyFile)
	if err != nil {
		return signingKey{}, err
	}
	defer clear(b)
	key, err := jose.ParsePrivateKey(bytes.TrimSpace(b))
	if err != nil {
		return signingKey{}, err
	}
	stamp := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), keyPrefix), keySuffix)
	created, err := time.Parse(keyTime, stamp)
	if err != nil {
		return signingKey{}, fmt.Errorf("%w: its name has to be %s%s%s", errKeyName, keyPrefix, keyTime, keySuffix)
	}
	return signingKey{key, path, created}, nil
}

// makeKey makes a key and writes it into dir, which is made when it is not there. It becomes the newest: where the clock is
// behind the newest there is, a second after that.
func makeKey(dir string, alg jose.Alg, now time.Time) (signingKey, error) {
	if err := sock.MakePrivate(dir); err != nil {
		return signingKey{}, fmt.Errorf("directory of signing keys: %w", err)
	}
	old, err := loadKeys(dir)
	if err != nil && !errors.Is(err, errNoKeys) {
		return signingKey{}, err
	}
	at := now.UTC().Truncate(time.Second)
	if len(old) > 0 && !at.After(old[0].created) {
		at = old[0].created.Add(time.Second)
	}
	key, err := jose.GenerateKey(alg, "")
	if err != nil {
		return signingKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	path := filepath.Join(dir, keyPrefix+at.Format(keyTime)+keySuffix)
	text, err := key.MarshalPrivate()
	if err != nil {
		return signingKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	defer text.Wipe()
	err = text.Use(func(b []byte) error {
		line := append(bytes.Clone(b), '\n')
		defer clear(line)
		return setup.WriteNew(path, line, 0o600)
	})
	if err != nil {
		return signingKey{}, fmt.Errorf("write a signing key: %w", err)
	}
	return signingKey{key, path, at}, nil
}

// signer makes and checks mytokens by the keys of a server, which may change while it runs.
type signer struct {
	issuer string
	now    atomic.Pointer[signing]
}

type signing struct {
	minter  *mint.Minter
	checker *mint.Checker
	set     *jose.KeySet
	alg     jose.Alg
}

func newSigner(issuer string, keys []signingKey) (*signer, error) {
	s := &signer{issuer: issuer}
	return s, s.use(keys)
}

// use signs with the first of keys from now on, and checks with all of them.
func (s *signer) use(keys []signingKey) error {
	minter, err := mint.New(s.issuer, keys[0].PrivateKey)
	if err != nil {
		return fmt.Errorf("signing key %s: %w", keys[0].file, err)
	}
	public := make([]*jose.PublicKey, len(keys))
	for i, k := range keys {
		public[i] = k.Public()
	}
	set := jose.NewKeySet(public...)
	s.now.Store(&signing{minter, mint.NewChecker(s.issuer, set), set, keys[0].Alg()})
	return nil
}

// Issue is part of desk.Minter.
func (s *signer) Issue(o mint.Order) (secret.Text, mytoken.Claims, error) {
	return s.now.Load().minter.Issue(o)
}

// Rotate is part of ledger.Minter.
func (s *signer) Rotate(c mytoken.Claims, now time.Time) (secret.Text, mytoken.Claims, error) {
	return s.now.Load().minter.Rotate(c, now)
}

// Genuine checks with all keys there are.
func (s *signer) Genuine(raw []byte) (mytoken.Claims, error) {
	return s.now.Load().checker.Genuine(raw)
}

// alg is that of the key that signs.
func (s *signer) alg() jose.Alg { return s.now.Load().alg }

// Keys are the public ones, that which signs first.
func (s *signer) Keys() *jose.KeySet { return s.now.Load().set }
