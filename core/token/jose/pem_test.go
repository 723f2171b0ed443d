package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestReadPrivateKey is the files that openssl and others make.
func TestReadPrivateKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	made, err := GenerateKey(ES256, "mine")
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := made.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	withParameters := append([]byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n"),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	for _, c := range []struct {
		name string
		file []byte
		alg  Alg
		want Alg
		err  error
	}{
		{"pkcs8_rsa", pkcs8(t, rsaKey), "", RS256, nil},
		{"pkcs8_rsa_pss", pkcs8(t, rsaKey), PS256, PS256, nil},
		{"pkcs1", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), "", RS256, nil},
		{"pkcs8_ec", pkcs8(t, ec), "", ES512, nil},
		{"sec1_after_parameters", withParameters, "", ES512, nil},
		{"ed25519", pkcs8(t, ed), "", EdDSA, nil},
		{"jwk", []byte(" " + jwk.Expose() + "\n"), "", ES256, nil},
		{"jwk_for_another_algorithm", []byte(jwk.Expose()), ES384, "", ErrKeyMismatch},
		{"ec_for_another_curve", pkcs8(t, ec), ES256, "", ErrKeyMismatch},
		{"curve_nobody_takes", pkcs8(t, p224), "", "", ErrKeyType},
		{"public_only", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "", "", ErrKey},
		{"broken", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "", "", ErrKey},
		{"empty", nil, "", "", ErrKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := ReadPrivateKey(c.file, c.alg)
			if !errors.Is(err, c.err) || err == nil && k.Alg() != c.want {
				t.Fatalf("got %v, %v", k, err)
			}
			if err != nil {
				return
			}
			tok, err := k.Sign("", []byte(`{"a":"b"}`))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse([]byte(tok.Expose()))
			if err != nil || m.Verify(k.Public()) != nil {
				t.Fatalf("its signature does not verify: %v", err)
			}
		})
	}
	t.Run("errors_repeat_nothing", func(t *testing.T) {
		_, err := ReadPrivateKey([]byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), "")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Fatalf("got %v", err)
		}
	})
}

// TestReadPublicKey: what one half signs the other verifies, found by its kid.
func TestReadPublicKey(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	weak, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	spki := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	for name, pair := range map[string][2][]byte{
		"ec": {pkcs8(t, ec), spki(ec.Public())}, "ed25519": {pkcs8(t, ed), spki(ed.Public())},
	} {
		private, err := ReadPrivateKey(pair[0], "")
		if err != nil {
			t.Fatal(err)
		}
		public, err := ReadPublicKey(pair[1])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tok, err := private.Sign("", []byte(`{"a":"b"}`))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse([]byte(tok.Expose()))
		if err != nil {
			t.Fatal(err)
		}
		found := NewKeySet(public).Candidates(m.Header)
		if len(found) != 1 || m.Verify(found[0]) != nil {
			t.Errorf("%s: %d candidates", name, len(found))
		}
	}
	for name, file := range map[string][]byte{
		"private": pkcs8(t, ec), "empty": nil, "broken": []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"curve nobody takes": spki(weak.Public()),
	} {
		if k, err := ReadPublicKey(file); err == nil {
			t.Errorf("%s: %v", name, k)
		}
	}
}
