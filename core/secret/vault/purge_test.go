package vault

import (
	"errors"
	"testing"

	"github.com/awnumar/memguard"

	"github.com/oidcbox/oidcbox/core/secret"
)

// memguard wipes every buffer of the process when one lock fails anywhere. A vault must then be closed, not crash.
func TestVaultAfterPurge(t *testing.T) {
	v, err := New(Require, nil)
	if errors.Is(err, ErrNoLockedMemory) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.Seal(secret.FromString("hello"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := v.NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	memguard.Purge()
	if _, err := v.Open(s); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	if _, err := v.Seal(secret.FromString("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := k.Seal(nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Keys.Seal: %v", err)
	}
	v.Close()
}
