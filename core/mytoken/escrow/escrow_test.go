package escrow

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const rt = "the refresh token of alice"

func pair(t *testing.T) (*Key, *Recipient) {
	t.Helper()
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	return k, r
}

func deposit(login string) Deposit {
	return Deposit{
		Login: login, Issuer: "https://op.example", Subject: "alice", At: time.Unix(1_800_000_000, 0),
		Refresh: secret.FromString(rt),
	}
}

func TestEscrow(t *testing.T) {
	k, r := pair(t)
	if k.ID() != r.ID() || len(k.ID()) != 16 {
		t.Fatalf("IDs %s, %s", k.ID(), r.ID())
	}
	box, err := r.Seal(deposit("login-1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("opens_with_the_private_half", func(t *testing.T) {
		d, err := k.Open("login-1", box)
		if err != nil || d.Refresh.Expose() != rt || d.Issuer != "https://op.example" || d.Subject != "alice" ||
			!d.At.Equal(time.Unix(1_800_000_000, 0)) {
			t.Fatalf("%+v %v", d, err)
		}
	})
	t.Run("and_with_nothing_else", func(t *testing.T) {
		other, _ := pair(t)
		changed := bytes.Clone(box)
		changed[len(changed)-1] ^= 1
		for name, open := range map[string]func() (Deposit, error){
			"another key":   func() (Deposit, error) { return other.Open("login-1", box) },
			"another login": func() (Deposit, error) { return k.Open("login-2", box) },
			"changed":       func() (Deposit, error) { return k.Open("login-1", changed) },
			"cut":           func() (Deposit, error) { return k.Open("login-1", box[:20]) },
			"nothing":       func() (Deposit, error) { return k.Open("login-1", nil) },
			"endless":       func() (Deposit, error) { return k.Open("login-1", make([]byte, 1<<20)) },
		} {
			if d, err := open(); !errors.Is(err, ErrSealed) || !d.Refresh.Empty() {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("twice_the_same_looks_different", func(t *testing.T) {
		again, err := r.Seal(deposit("login-1"))
		if err != nil || bytes.Equal(again, box) || bytes.Contains(box, []byte("alice")) {
			t.Fatal(err)
		}
	})
	t.Run("prints_as_nothing", func(t *testing.T) {
		if s := fmt.Sprintf("%v %+v %#v", k, deposit("a"), deposit("a")); strings.Contains(s, rt) {
			t.Fatal(s)
		}
	})
}

// TestKeys is files that are no escrow key, and those that openssl makes.
func TestKeys(t *testing.T) {
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"private for public": private.Expose(), "empty": "", "text": "hello",
		"broken": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"ed25519": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n" +
			"-----END PUBLIC KEY-----\n",
	} {
		if _, err := ParseRecipient([]byte(file)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string]string{"public for private": string(public), "empty": "", "text": "hello"} {
		if _, err := ParseKey(secret.FromString(file)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("openssl", func(t *testing.T) {
		services.Need(t, "openssl")
		dir := t.TempDir()
		key, pub := filepath.Join(dir, "key.pem"), filepath.Join(dir, "pub.pem")
		for _, args := range [][]string{
			{"genpkey", "-algorithm", "X25519", "-out", key}, {"pkey", "-in", key, "-pubout", "-out", pub},
		} {
			if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		a, _ := os.ReadFile(key)
		b, _ := os.ReadFile(pub)
		k, err := ParseKey(secret.New(a))
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRecipient(b)
		if err != nil {
			t.Fatal(err)
		}
		box, err := r.Seal(deposit("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open("x", box); err != nil {
			t.Fatal(err)
		}
	})
}
