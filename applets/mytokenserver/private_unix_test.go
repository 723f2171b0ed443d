//go:build unix

package mytokenserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigurationOfEverybody: that everybody can change the configuration is said.
func TestConfigurationOfEverybody(t *testing.T) {
	file := filepath.Join(exampleDir(t), "c.yaml")
	if err := os.WriteFile(file, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	for mode, told := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o664: false, 0o666: true, 0o602: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		s, err := readSettings(file)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, n := range s.notes {
			found = found || strings.Contains(n.String(), "can be changed by everybody")
		}
		if found != told {
			t.Errorf("mode %04o: told %v: %v", mode, found, s.notes)
		}
	}
}
