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

// opModules installs the npm packages once for each lock file and returns the directory they are below. Tests of other
// processes wait for each other.
func opModules(tb testing.TB, source string) string {
	tb.Helper()
	dir := modulesDir(tb)
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		tb.Fatal(err)
	}
	defer unlock()
	want, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		tb.Fatal(err)
	}
	done := filepath.Join(dir, "installed.json") // written last: an install that was cut is done again
	if have, err := os.ReadFile(done); err == nil && bytes.Equal(have, want) {
		return dir
	}
	Need(tb, "npm")
	for _, name := range []string{"package.json", "package-lock.json"} {
		copyFile(tb, filepath.Join(source, name), filepath.Join(dir, name))
	}
	npmInstall(tb, dir)
	if err := os.WriteFile(done, want, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func modulesDir(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("OP_MODULES")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			Missing(tb, "no cache directory: "+err.Error())
		}
		dir = filepath.Join(cache, "oidcbox-test-op")
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
		Missing(tb, "npm packages of the provider cannot be installed: "+err.Error()+": "+string(out))
	}
}
