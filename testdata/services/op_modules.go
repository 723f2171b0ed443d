package services

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const opInstall = 3 * time.Minute

// opModules installs the npm packages of the provider and returns the directory they are below.
func opModules(tb testing.TB, source string) string {
	tb.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			tb.Fatal(err)
		}
		files[name] = b
	}
	return NPM(tb, os.Getenv("OP_MODULES"), "oidcbox-test-op", files)
}

// NPM installs npm packages once for each lock file and returns the directory that node_modules is in: dir, or where that
// is empty one of that name in the user's cache. files are package.json and package-lock.json. Tests of other processes
// wait for each other.
func NPM(tb testing.TB, dir, name string, files map[string][]byte) string {
	tb.Helper()
	dir = cacheDir(tb, dir, name)
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		tb.Fatal(err)
	}
	defer unlock()
	want := files["package-lock.json"]
	done := filepath.Join(dir, "installed.json") // written last: an install that was cut is done again
	if have, err := os.ReadFile(done); err == nil && bytes.Equal(have, want) {
		return dir
	}
	Need(tb, "npm")
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	npmInstall(tb, dir)
	if err := os.WriteFile(done, want, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func cacheDir(tb testing.TB, dir, name string) string {
	tb.Helper()
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			Missing(tb, "no cache directory: "+err.Error())
		}
		dir = filepath.Join(cache, name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func npmInstall(tb testing.TB, dir string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), opInstall)
	defer cancel()
	args := strings.Fields("ci --no-audit --no-fund --ignore-scripts --loglevel=error")
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		Missing(tb, "npm packages cannot be installed: "+err.Error()+": "+string(out))
	}
}
