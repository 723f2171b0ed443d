package issuer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/cli"
)

// checkURLFile refuses to put a file in the place of something else: a rename onto a device would replace it.
func (c *Cmd) checkURLFile(env *cli.Env) error {
	if c.URLFile == "" {
		return nil
	}
	fi, err := os.Lstat(inDir(env, c.URLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("it is there and is no regular file")
	}
	if err != nil {
		return cli.Failf(cli.Usage, "--url-file %s: %w", c.URLFile, err)
	}
	return nil
}

// writeURLFile writes beside the file and renames: a script sees nothing or all of it.
func (c *Cmd) writeURLFile(env *cli.Env, url string) error {
	if c.URLFile == "" {
		return nil
	}
	if err := writeWhole(inDir(env, c.URLFile), url+"\n"); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("write --url-file: %w", err), "")
	}
	return nil
}

// removeURLFile takes the file away at the end, unless another run has written its own URL there.
func (c *Cmd) removeURLFile(env *cli.Env, url string) {
	if c.URLFile == "" {
		return
	}
	path := inDir(env, c.URLFile)
	if b, err := readBounded(path, int64(len(url))+1); err == nil && string(b) == url+"\n" {
		_ = os.Remove(path)
	}
}

func writeWhole(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
