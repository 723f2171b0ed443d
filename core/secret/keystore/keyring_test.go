package keystore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const keyringEnv = "OIDCBOX_TEST_KEYRING"

// TestKeyring runs TestKeyringScene against a real Secret Service on a bus of its own.
func TestKeyring(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the Secret Service is on Linux")
	}
	services.Need(t, "dbus-run-session", "dbus-send", "gnome-keyring-daemon", "sh")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	run := filepath.Join(home, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c",
		`printf pw | gnome-keyring-daemon --unlock --foreground --components=secrets >/dev/null 2>&1 &
		 daemon=$!
		 for i in 1 2 3 4 5 6 7 8 9 10; do
		   dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
		     string:org.freedesktop.secrets | grep -q true && break
		   sleep 0.5
		 done
		 "$1" -test.run '^TestKeyringScene$' -test.v; code=$?
		 kill $daemon; wait $daemon; exit $code`, "sh", self)
	cmd.Env = []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + home, "PATH=" + os.Getenv("PATH"), keyringEnv + "=1",
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestKeyringScene") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestKeyringScene(t *testing.T) {
	if os.Getenv(keyringEnv) == "" {
		t.Skip("run by TestKeyring")
	}
	eng := memstore.New()
	k, err := Create(t.Context(), eng, newVault(t), NewSlot{Kind: KindKeyring})
	if err != nil {
		t.Fatal(err)
	}
	put(t, k.Engine(), hidden, "cern", "token")
	slots, err := k.Slots(t.Context())
	if err != nil || len(slots) != 1 || slots[0].Service != "oidcbox" || slots[0].User == "" {
		t.Fatalf("%+v, %v", slots, err)
	}

	again := reopen(t, eng, Keyring("", ""))
	if got, err := get(t, again.Engine(), hidden, "cern"); got != "token" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	found, ok, err := FindCredential(CredentialOptions{Getenv: func(string) string { return "" }, Slots: slots})
	if !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	reopen(t, eng, found)
	quiet, ok, err := FindCredential(CredentialOptions{
		Getenv: func(string) string { return "" }, Slots: slots, Quiet: true,
	})
	if !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	reopen(t, eng, quiet)

	t.Run("an_entry_is_not_replaced", func(t *testing.T) {
		n := NewSlot{Kind: KindKeyring, Service: slots[0].Service, User: slots[0].User}
		if _, err := k.AddSlot(t.Context(), n); !errors.Is(err, ErrUnfit) {
			t.Errorf("got %v", err)
		}
		reopen(t, eng, Keyring("", ""))
	})
	t.Run("entry_of_another_keystore", func(t *testing.T) {
		other := memstore.New()
		if _, err := Create(t.Context(), other, newVault(t), NewSlot{Kind: KindKeyring}); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), other, newVault(t), Keyring(slots[0].Service, slots[0].User))
		if !errors.Is(err, ErrWrongKey) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an_entry_that_is_none_of_ours", func(t *testing.T) {
		if err := keyring.Set("oidcbox", "foreign", "not base64!"); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), eng, newVault(t), Keyring("oidcbox", "foreign")); !errors.Is(err, ErrUnfit) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("rekey_keeps_the_slot", func(t *testing.T) {
		if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{Keyring("", "")}}); err != nil {
			t.Fatal(err)
		}
		reopen(t, eng, Keyring("", ""))
	})
	t.Run("removed_slot_takes_its_entry_along", func(t *testing.T) {
		if _, err := k.AddSlot(t.Context(), phrase("p")); err != nil {
			t.Fatal(err)
		}
		if err := k.RemoveSlot(t.Context(), slots[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Get(slots[0].Service, slots[0].User); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("entry: %v", err)
		}
	})
	t.Run("a_locked_keyring_asks_nobody", func(t *testing.T) {
		other := memstore.New()
		if _, err := Create(t.Context(), other, newVault(t), NewSlot{Kind: KindKeyring}); err != nil {
			t.Fatal(err)
		}
		lock := exec.CommandContext(t.Context(), "dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets",
			"/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock",
			"array:objpath:/org/freedesktop/secrets/collection/login")
		if out, err := lock.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		start := time.Now()
		_, err := Open(t.Context(), other, newVault(t), quiet)
		if !errors.Is(err, ErrKeyringLocked) || time.Since(start) > keyringLimit/10 {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}
