package vault

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/oidcbox/oidcbox/core/secret"
)

func TestForeign(t *testing.T) {
	password, salt := secret.FromString("pw"), []byte("0123456789abcdef")
	small := Params{Time: 1, Memory: 64, Threads: 1}
	for name, test := range map[string]struct {
		kind Foreign
		want []byte
	}{
		"argon2id_64": {Foreign{Params: small, Size: 64}, argon2.IDKey([]byte("pw"), salt, 1, 64, 1, 64)},
		"argon2i_32":  {Foreign{Params: small, Size: 32, Argon2i: true}, argon2.Key([]byte("pw"), salt, 1, 64, 1, 32)},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := test.kind.Derive(t.Context(), password, salt)
			if err != nil {
				t.Fatal(err)
			}
			_ = key.Use(func(b []byte) error {
				if !bytes.Equal(b, test.want) {
					t.Error("another key")
				}
				return nil
			})
		})
	}
	for name, bad := range map[string]Foreign{
		"no_passes":   {Params: Params{Memory: 64, Threads: 1}, Size: 64},
		"too_much":    {Params: Params{Time: 1, Memory: maxMemory + 1, Threads: 1}, Size: 64},
		"short_key":   {Params: small, Size: 1},
		"endless_key": {Params: small, Size: 1 << 30},
	} {
		if _, err := bad.Derive(t.Context(), password, salt); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Foreign{Params: small, Size: 64}).Derive(ended, password, salt); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
