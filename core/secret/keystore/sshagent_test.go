//go:build unix

package keystore

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// realAgent starts OpenSSH's ssh-agent with keys of these types and returns its socket.
func realAgent(t *testing.T, types ...string) (socket string) {
	t.Helper()
	services.Need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	dir, err := os.MkdirTemp("", "ssh") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("ssh-agent does not listen")
		}
	}
	for i, kind := range types {
		key := filepath.Join(dir, kind+string(rune('0'+i)))
		run(t, nil, "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", filepath.Base(key), "-f", key)
		run(t, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", key)
	}
	return socket
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func sshVault(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// TestSSHAgent: a slot of a real ssh-agent opens the keystore, also after a rekey, and only with its key.
func TestSSHAgent(t *testing.T) {
	socket := realAgent(t, "ecdsa", "ed25519", "rsa")
	v, eng := sshVault(t), memstore.New()
	k, err := Create(t.Context(), eng, v, NewSlot{
		Kind: KindPassphrase, Passphrase: secret.FromString("pass"), Cost: vault.Params{Time: 1, Memory: 64, Threads: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.AddSlot(t.Context(), NewSlot{Kind: KindSSHAgent, Path: socket, Label: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	if listed := run(t, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-l"); !strings.Contains(listed, s.Key) {
		t.Errorf("the slot says %s, ssh-add\n%s", s.Key, listed)
	}
	open := func(c Credential) error {
		k, err := Open(t.Context(), eng, v, c)
		if err == nil {
			k.Drop()
		}
		return err
	}
	found := func(getenv map[string]string) Credential {
		info, err := Inspect(t.Context(), eng)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := FindCredential(CredentialOptions{Slots: info.Slots, Getenv: func(n string) string { return getenv[n] }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := open(found(map[string]string{EnvSSHAgent: socket})); err != nil {
		t.Error(err)
	}
	if !found(nil).None() {
		t.Error("a credential without an ssh-agent")
	}
	if err := k.Rekey(t.Context(), RekeyOptions{Keep: []Credential{SSHAgent(socket)}, DropOthers: true}); err != nil {
		t.Fatal(err)
	}
	if err := open(SSHAgent(socket)); err != nil {
		t.Errorf("after a rekey: %v", err)
	}
	other := realAgent(t, "ed25519")
	if err := open(SSHAgent(other)); !errors.Is(err, errSSHRefused) {
		t.Errorf("another ssh-agent: %v", err)
	}
	run(t, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", "-D")
	if err := open(SSHAgent(socket)); !errors.Is(err, errSSHRefused) {
		t.Errorf("an empty ssh-agent: %v", err)
	}
	if err := open(SSHAgent(socket + "x")); !errors.Is(err, sock.ErrNobody) {
		t.Errorf("no ssh-agent: %v", err)
	}
}

// TestSSHAgentKeys: only what signs the same each time will do, and which one is never guessed.
func TestSSHAgentKeys(t *testing.T) {
	two := realAgent(t, "ed25519", "ed25519")
	for name, c := range map[string]struct {
		socket, key string
		fits        bool
	}{
		"none":             {realAgent(t), "", false},
		"ecdsa_and_rsa":    {realAgent(t, "ecdsa", "rsa"), "", false},
		"two":              {two, "", false},
		"two_one_named":    {two, "ed255191", true},
		"two_other_named":  {two, "nobody", false},
		"one_among_others": {realAgent(t, "rsa", "ed25519", "ecdsa"), "", true},
		"not_set":          {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Create(t.Context(), memstore.New(), sshVault(t), NewSlot{Kind: KindSSHAgent, Path: c.socket, Name: c.key})
			if (err == nil) != c.fits || !c.fits && !errors.Is(err, ErrUnfit) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// falseAgent is an ssh-agent that a test has written.
func falseAgent(t *testing.T, answer func(body []byte) []byte) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ssh")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			var size [4]byte
			_, _ = io.ReadFull(c, size[:])
			body := make([]byte, binary.BigEndian.Uint32(size[:])&0xffff)
			_, _ = io.ReadFull(c, body)
			if a := answer(body); a != nil {
				_, _ = c.Write(a)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done; _ = os.RemoveAll(dir) })
	return socket
}

// TestFalseSSHAgent: whatever an ssh-agent says, no slot is made of a signature that will not come again.
func TestFalseSSHAgent(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := binary.BigEndian.AppendUint32([]byte{sshAnswerKeys}, 1)
	keys = appendSSH(appendSSH(keys, keyBlob(public)), []byte("comment"))
	signed := func(kind string, sig []byte) []byte {
		return appendSSH(nil, append([]byte{sshAnswerSign}, appendSSH(nil, appendSSH(appendSSH(nil, []byte(kind)), sig))...))
	}
	sign := func(body []byte) []byte {
		r := &sshReader{b: body[1:]}
		r.text()
		return ed25519.Sign(private, r.text())
	}
	for name, c := range map[string]struct {
		answer func(body []byte) []byte
		fits   bool
	}{
		"good":             {func(b []byte) []byte { return signed(sshKeyType, sign(b)) }, true},
		"wrong_signature":  {func([]byte) []byte { return signed(sshKeyType, make([]byte, 64)) }, false},
		"short_signature":  {func([]byte) []byte { return signed(sshKeyType, []byte("x")) }, false},
		"other_type":       {func(b []byte) []byte { return signed("sk-ssh-ed25519@openssh.com", sign(b)) }, false},
		"refuses":          {func([]byte) []byte { return []byte{0, 0, 0, 1, 5} }, false},
		"hangs_up":         {func([]byte) []byte { return nil }, false},
		"claims_gigabytes": {func([]byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, sshAnswerSign} }, false},
		"cut":              {func([]byte) []byte { return []byte{0, 0, 0, 9, sshAnswerSign, 0, 0, 0, 200, 1} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			socket := falseAgent(t, func(body []byte) []byte {
				if body[0] == sshRequestKeys {
					return appendSSH(nil, keys)
				}
				return c.answer(body)
			})
			_, err := Create(t.Context(), memstore.New(), sshVault(t), NewSlot{Kind: KindSSHAgent, Path: socket})
			if (err == nil) != c.fits {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSameTwice(t *testing.T) {
	n := 0
	counting := func() (secret.Text, error) { n++; return secret.New([]byte{byte(n)}), nil }
	if got, err := sameTwice(counting); !errors.Is(err, ErrUnfit) || !got.Empty() {
		t.Errorf("another signature each time: %v", err)
	}
	if got, err := sameTwice(func() (secret.Text, error) { return secret.FromString("x"), nil }); err != nil || got.Expose() != "x" {
		t.Errorf("the same: %v", err)
	}
}

func TestSSHAgentThatSaysNothing(t *testing.T) {
	hold := make(chan struct{})
	socket := falseAgent(t, func([]byte) []byte { <-hold; return nil })
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := sshKeys(ctx, socket); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestSignedData: the text is that of OpenSSH's ssh-keygen -Y sign, which is never that of a login.
func TestSignedData(t *testing.T) {
	b := signedData([challengeSize]byte{1})
	if !strings.HasPrefix(string(b), "SSHSIG\x00\x00\x00\x10keystore@oidcbox\x00\x00\x00\x00\x00\x00\x00\x06sha512\x00\x00\x00\x40") ||
		len(b) != 6+20+4+10+4+64 {
		t.Errorf("%q", b)
	}
}
