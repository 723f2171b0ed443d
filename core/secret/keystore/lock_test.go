package keystore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// TestLock: behind the lock nothing can be done with the keystore by any of its methods, and the password alone brings
// everything back, lease names included.
func TestLock(t *testing.T) {
	eng := memstore.New()
	k := create(t, eng)
	e := k.Engine()
	put(t, e, hidden, "cern", "token")
	if _, err := e.Lease(t.Context(), "refresh cern", time.Minute); err != nil {
		t.Fatal(err)
	}
	pw := secret.FromString("swordfish")
	if err := k.Lock(t.Context(), pw); err != nil {
		t.Fatal(err)
	}
	if !k.data.Empty() || !k.nameKey.Empty() {
		t.Error("a key is still in the vault")
	}
	for name, call := range map[string]func() error{
		"read":   func() error { _, err := get(t, e, hidden, "cern"); return err },
		"lease":  func() error { _, err := e.Lease(t.Context(), "refresh other", time.Minute); return err },
		"slot":   func() error { _, err := k.AddSlot(t.Context(), phrase("second")); return err },
		"rekey":  func() error { return k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{byPhrase("first")}}) },
		"relock": func() error { return k.Lock(t.Context(), secret.FromString("other")) },
	} {
		if err := call(); !errors.Is(err, vault.ErrLocked) {
			t.Errorf("%s behind the lock: %v", name, err)
		}
	}
	if err := k.Unlock(t.Context(), secret.FromString("wrong")); !errors.Is(err, vault.ErrWrongPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := get(t, e, hidden, "cern"); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("read after a wrong password: %v", err)
	}
	for range 2 { // the second does nothing
		if err := k.Unlock(t.Context(), pw); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := get(t, e, hidden, "cern"); got != "token" || err != nil {
		t.Errorf("read again: %q, %v", got, err)
	}
	put(t, e, hidden, "cern", "newer")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Lease(short, "refresh cern", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lease from before the lock does not exclude one from after it: %v", err)
	}
	if got, err := get(t, reopen(t, eng, byPhrase("first")).Engine(), hidden, "cern"); got != "newer" || err != nil {
		t.Errorf("opened anew: %q, %v", got, err)
	}
}

// TestDropOfALocked: what was dropped cannot be fetched back by the lock's password.
func TestDropOfALocked(t *testing.T) {
	k := create(t, memstore.New())
	pw := secret.FromString("swordfish")
	if err := k.Lock(t.Context(), pw); err != nil {
		t.Fatal(err)
	}
	k.Drop()
	if err := k.Unlock(t.Context(), pw); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("got %v", err)
	}
}
