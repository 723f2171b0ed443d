package cli

import (
	"os"
	"runtime"
)

// OwnProgram is the file of this program, to start another role of it. The link of the kernel works also when the file
// has been replaced or removed; it means the same to a child, until that has become another program.
func OwnProgram() (string, error) {
	const link = "/proc/self/exe"
	if runtime.GOOS == "linux" {
		if _, err := os.Stat(link); err == nil {
			return link, nil
		}
	}
	return os.Executable()
}
