package service

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// newGPGWorld is newFileWorld with the account file of "a" encrypted for a key with this passphrase.
func newGPGWorld(t *testing.T, passphrase string) (w *world, g login.GPG, plain secret.Text) {
	t.Helper()
	services.Need(t, "gpg", "gpgconf")
	dir, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", dir)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(dir)
	})
	cmd := exec.Command("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase,
		"--quick-gen-key", "alice@example.org", "rsa2048", "encr", "never")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v\n%s", err, out)
	}
	if g, err = login.FindGPG(os.Getenv); err != nil {
		t.Fatal(err)
	}
	w, _ = newFileWorld(t)
	plain = w.openFile("a")
	armoured, err := g.Encrypt(t.Context(), plain, "alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := login.WriteAccount(w.dir, "a", login.PGPFile(armoured)); err != nil {
		t.Fatal(err)
	}
	return w, g, plain
}

// waitWritten waits until the file is another one than before.
func (w *world) waitWritten(before []byte) {
	w.t.Helper()
	for end := time.Now().Add(60 * time.Second); bytes.Equal(before, w.rawFile("a")); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("the account file was not written")
		}
	}
}

// TestWriteBackGPG: a file for a key is written again for that key, and with everything in it, whether gpg could open it
// by itself or not.
func TestWriteBackGPG(t *testing.T) {
	for name, passphrase := range map[string]string{"key_without_passphrase": "", "passphrase_not_at_hand": "sesame"} {
		t.Run(name, func(t *testing.T) {
			w, g, plain := newGPGWorld(t, passphrase)
			open := func() ([]byte, error) { // after this gpg's agent remembers the passphrase
				f, err := login.ReadAccount(w.dir, "a")
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(g.Path, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase, "-d")
				cmd.Stdin = bytes.NewReader(f.Armour())
				return cmd.Output()
			}
			if _, err := open(); err != nil {
				t.Fatal(err)
			}
			before := w.rawFile("a")
			w.must(proto.Request{
				Type: proto.TypeAdd, Config: plain.Clone(), PlainAdd: true,
				PWEntry: secret.FromString(`{"type":40,"gpg_key":"other"}`),
			})
			_ = exec.Command("gpgconf", "--kill", "gpg-agent").Run() // and now it has forgotten it
			w.force("a")
			w.waitWritten(before)
			w.end(w.Service)
			f, err := login.ReadAccount(w.dir, "a")
			if err != nil || f.Format != login.PGP {
				t.Fatalf("%+v, %v", f, err)
			}
			b, err := open()
			if err != nil {
				t.Fatal(err)
			}
			m := map[string]any{}
			if err := json.Unmarshal(b, &m); err != nil || m["unknown_to_us"] == nil || m["client_secret"] != "web-secret" {
				t.Errorf("%v, %v", m, err)
			}
			w.restart(Switches{})
			w.must(proto.Request{Type: proto.TypeAdd, Config: secret.New(b)})
			w.force("a")
		})
	}
}

// TestOtherLoginGPG: a client that loads something else by the name of a file for a key cannot make us write over it.
func TestOtherLoginGPG(t *testing.T) {
	w, _, _ := newGPGWorld(t, "sesame")
	_ = exec.Command("gpgconf", "--kill", "gpg-agent").Run()
	before := w.rawFile("a")
	w.add("a", nil)
	w.force("a")
	w.end(w.Service)
	if !bytes.Equal(before, w.rawFile("a")) {
		t.Error("the file was changed")
	}
}

// TestAutoloadGPG: a login in a file for a key is loaded without a question of ours.
func TestAutoloadGPG(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	w, _, _ := newGPGWorld(t, "")
	w.force("a")
	locked, _, _ := newGPGWorld(t, "sesame")
	_ = exec.Command("gpgconf", "--kill", "gpg-agent").Run()
	locked.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextNotLoaded)
}
