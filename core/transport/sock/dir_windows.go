package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// tempDir is below the user's profile on Windows.
func tempDir(getenv func(string) string) string {
	if dir := getenv("LOCALAPPDATA"); dir != "" {
		return dir
	}
	return os.TempDir()
}

// privateDir: below the profile the access list is inherited from it; there is no mode to look at.
func privateDir(dir string, fi fs.FileInfo) error {
	if !fi.IsDir() {
		return fmt.Errorf("%s is no directory: %w", dir, ErrForeign)
	}
	return nil
}

func safeDir(dir string) error {
	_, err := os.Stat(dir)
	return err
}

func checkSocket(path string, _ func(uint32) bool) error {
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("socket %s: %w", path, ErrNobody)
		}
		return fmt.Errorf("look at socket: %w", err)
	}
	return nil
}
