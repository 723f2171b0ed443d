package issuer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/cli"
)

// dropURLFile takes away the URL of an earlier run, so that a script does not read it before ours is there. Only a regular
// file is removed.
func (c *Cmd) dropURLFile(env *cli.Env) error {
	if c.URLFile == "" {
		return nil
	}
	path := inDir(env, c.URLFile)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("it is there and is no regular file")
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return cli.Failf(cli.Usage, "prepare --url-file %s: %w", c.URLFile, err)
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
