package vault

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

// The 64 MiB of a derivation must not stay with an agent that lives for days.
func TestArgon2GivesItsMemoryBack(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector keeps its shadow of the memory")
	}
	before := resident(t)
	for range 3 {
		if _, err := Argon2(t.Context(), secret.FromString("x"), make([]byte, 16), DefaultParams()); err != nil {
			t.Fatal(err)
		}
	}
	after := resident(t)
	t.Logf("resident %d KiB before, %d KiB after", before, after)
	if after > before+12<<10 {
		t.Errorf("resident memory grew from %d to %d KiB", before, after)
	}
}

// resident is what this process has in memory, in KiB.
func resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
