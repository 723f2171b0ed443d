package applets

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// pathVariable keeps the PATH of before testscript put the test binary on it under every name that it plays, those of
// the original's programs among them.
const pathVariable = "OIDCBOX_TEST_PATH"

// original returns the path of an installed program of the original.
func original(tb testing.TB, name string) string {
	tb.Helper()
	for _, dir := range filepath.SplitList(os.Getenv(pathVariable)) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	services.Missing(tb, "the original's "+name)
	return ""
}
