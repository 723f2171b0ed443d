package sshapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

func ledgerUser(subject string) string { return ledger.UserID(provIssuer, subject) }

func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var no *desk.Error
	if !errors.As(err, &no) || no.Status != status || no.Code != code {
		t.Errorf("%v, not %d %s", err, status, code)
	}
}

func TestGrant(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	who, key := b.login(), newSigner(t)
	t.Run("switched_off", func(t *testing.T) {
		_, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line(key)})
		refused(t, err, http.StatusForbidden, desk.CodeDenied)
	})
	user := b.add(who, key, mytoken.SSHKeyRequest{Name: "my laptop"})
	t.Run("known", func(t *testing.T) {
		_, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line(key)})
		refused(t, err, http.StatusConflict, desk.CodeRequest)
	})
	t.Run("user_name", func(t *testing.T) {
		if len(user) < 22 || strings.ContainsFunc(user, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			t.Errorf("%q", user)
		}
	})
	t.Run("mytoken", func(t *testing.T) {
		mt, err := b.ledger.Find(ctx, b.tokenOf())
		must(t, err)
		if mt.Name != "mytoken for ssh-grant: my laptop" || len(mt.Capabilities) != 1 || mt.Capabilities[0] != "AT" {
			t.Errorf("%+v", mt)
		}
	})
	t.Run("last_use", func(t *testing.T) {
		list, _, err := b.keys.List(ctx, who)
		must(t, err)
		if len(list) != 1 || !list[0].LastUsed.IsZero() || list[0].Name != "my laptop" ||
			list[0].Fingerprint != ssh.FingerprintSHA256(key.PublicKey()) {
			t.Errorf("%+v", list)
		}
		if o := b.run(user, key, "AT"); o.status != 0 {
			t.Errorf("%+v", o)
		}
		if list, _, err = b.keys.List(ctx, who); err != nil || list[0].LastUsed.IsZero() {
			t.Errorf("%v %+v", err, list)
		}
	})
	t.Run("removed", func(t *testing.T) {
		momID := b.tokenOf()
		_, err := b.keys.RemoveLine(ctx, who, line(key))
		must(t, err)
		mt, err := b.ledger.Find(ctx, momID)
		must(t, err)
		if mt.Condition != ledger.Ended {
			t.Errorf("the mytoken is %s", mt.Condition)
		}
		if c, err := b.dial(user, key); err == nil {
			s, err := c.NewSession()
			must(t, err)
			if out, err := s.CombinedOutput("AT"); err == nil {
				t.Errorf("still served: %s", out)
			}
		}
		_, err = b.keys.Remove(ctx, who, ssh.FingerprintSHA256(key.PublicKey()))
		refused(t, err, http.StatusNotFound, desk.CodeNotFound)
	})
	t.Run("added_again", func(t *testing.T) {
		again := b.add(who, key, mytoken.SSHKeyRequest{})
		if o := b.run(again, key, "AT"); o.status != 0 || again == user {
			t.Errorf("%+v", o)
		}
	})
	t.Run("revoked_elsewhere", func(t *testing.T) {
		other := newSigner(t)
		user := b.add(who, other, mytoken.SSHKeyRequest{Name: "gone", Capabilities: all()})
		if o := b.run(user, other, "revoke"); o.status != 0 || o.out != "OK\n" {
			t.Errorf("%+v", o)
		}
		list, _, err := b.keys.List(ctx, who)
		must(t, err)
		for _, k := range list {
			if k.Name == "gone" {
				t.Error("a key without a mytoken is listed")
			}
		}
		if o := b.run(user, other, "AT"); o.status == 0 {
			t.Errorf("%+v", o)
		}
	})
}

// TestSomebodyElse: the person who logs in has to be the one whose key it is.
func TestSomebodyElse(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	who, key := b.login(), newSigner(t)
	_, err := b.desk.SetGrant(ctx, who, mytoken.GrantSSH, true)
	must(t, err)
	begun, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line(key)})
	must(t, err)
	b.op.set(func(o *op) { o.subject = "mallory" })
	b.agree(begun)
	_, err = b.keys.Poll(ctx, begun.PollingCode, origin())
	refused(t, err, http.StatusForbidden, desk.CodeDenied)
	list, err := b.ledger.List(ctx, ledgerUser("mallory"))
	must(t, err)
	for _, mt := range list {
		if mt.Condition == ledger.Live {
			t.Errorf("%s lives on", mt.Name)
		}
	}
	t.Run("polling_code_of_another_kind", func(t *testing.T) {
		b.op.set(func(o *op) { o.subject = "alice" })
		begun, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line(key)})
		must(t, err)
		b.agree(begun)
		_, err = b.desk.Poll(ctx, begun.PollingCode, origin())
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	})
}

func TestKeyLines(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	who := b.login()
	_, err := b.desk.SetGrant(ctx, who, mytoken.GrantSSH, true)
	must(t, err)
	good := line(newSigner(t))
	for name, text := range map[string]string{
		"empty": "", "words": "hello world", "options": `command="x" ` + good, "two": good + "\n" + line(newSigner(t)),
		"cut": good[:40], "private": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
		"small_RSA": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7", "long": "ssh-ed25519 " + strings.Repeat("A", 1<<20),
	} {
		_, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: text})
		var no *desk.Error
		if !errors.As(err, &no) || no.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: good}); err != nil {
		t.Error(err)
	}
}
