//go:build unix

package term

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Name is the path of the terminal that w is, for a program that is to ask there; "" where w is none or the system does
// not say.
func Name(w io.Writer) string {
	f, ok := w.(*os.File)
	if !ok || !cli.IsTerminal(f) {
		return ""
	}
	path, err := os.Readlink(filepath.Join("/proc/self/fd", fmt.Sprint(f.Fd())))
	if err != nil || !strings.HasPrefix(path, "/dev/") {
		return ""
	}
	return path
}
