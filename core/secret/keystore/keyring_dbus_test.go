//go:build unix && !darwin

package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/store/memstore"
)

// Without a session bus nothing may be started, and the error has to say so at once.
func TestNoKeyring(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if checkKeyring() == nil {
		t.Skip("there is a bus at the usual place")
	}
	bin := t.TempDir()
	started := filepath.Join(bin, "started")
	script := "#!/bin/sh\ntouch " + started + "\n"
	if err := os.WriteFile(filepath.Join(bin, "dbus-launch"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	_, err := Create(t.Context(), memstore.New(), newVault(t), NewSlot{Kind: KindKeyring})
	if !errors.Is(err, errNoBus) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("a bus was started")
	}
}
