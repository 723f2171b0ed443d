package mytoken

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// documentLife is how long a server's description of itself is used again, so that an access token is one request.
const documentLife = 6 * time.Hour

// cachedGetter keeps descriptions of servers in the person's cache directory.
type cachedGetter struct {
	http *httpc.Client
	env  *cli.Env
}

// Get fetches a document, or takes the one that was fetched a short while ago.
func (g cachedGetter) Get(ctx context.Context, url string) (*httpc.Response, error) {
	path := g.path(url)
	if b, ok := g.kept(path); ok {
		return &httpc.Response{Status: http.StatusOK, Header: http.Header{}, Body: b}, nil
	}
	r, err := g.http.Get(ctx, url)
	if err == nil && r.Status == http.StatusOK {
		if _, broken := mytoken.ParseServer(r.Body); broken == nil {
			g.keep(path, r.Body)
		}
	}
	return r, err
}

func (g cachedGetter) path(url string) string {
	dir := g.env.Getenv("XDG_CACHE_HOME")
	if home := g.env.Getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(dir) {
		return ""
	}
	sum := sha256.Sum256([]byte(url))
	return filepath.Join(dir, "oidcbox", "mytoken", hex.EncodeToString(sum[:16])+".json")
}

func (g cachedGetter) kept(path string) ([]byte, bool) {
	if path == "" {
		return nil, false
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return nil, false
	}
	if age := g.env.Now().Sub(info.ModTime()); age < -time.Minute || age > documentLife {
		return nil, false
	}
	b, err := config.ReadFile(path, httpc.DefaultMaxBody)
	if err == nil {
		_, err = mytoken.ParseServer(b)
	}
	return b, err == nil
}

// keep stores a document, whole or not at all. That it cannot be kept costs a request, nothing else.
func (g cachedGetter) keep(path string, b []byte) {
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	if info, err := os.Lstat(filepath.Dir(path)); err != nil || info.Mode()&fs.ModeSymlink != 0 || info.Mode().Perm()&0o022 != 0 {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*") // 0600
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}
