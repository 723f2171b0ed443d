//go:build unix

package keystore

import (
	"errors"
	"os"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// A file that another user owns can be changed by that user at any time.
func TestFilesOfAnotherUser(t *testing.T) {
	services.NeedRoot(t)
	path := write(t, "k", "a passphrase and more than 32 bytes", 0o600)
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := offers(t, PassphraseFile(path)); !errors.Is(err, ErrUnfit) {
		t.Errorf("passphrase file: %v", err)
	}
	if _, err := readKeyFile(path); !errors.Is(err, ErrUnfit) {
		t.Errorf("key file: %v", err)
	}
}
