package jose

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

func edJWK(x []byte) []byte {
	return fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","kid":"k","x":%q}`, base64.RawURLEncoding.EncodeToString(x))
}

// All points of order 1, 2, 4 and 8, with both signs and with their other encodings.
func TestParsePublicKey_small_order(t *testing.T) {
	for _, y := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		for _, sign := range []byte{0, 0x80} {
			x, err := hex.DecodeString(y)
			if err != nil {
				t.Fatal(err)
			}
			x[31] |= sign
			if _, err := ParsePublicKey(edJWK(x)); !errors.Is(err, ErrWeakKey) {
				t.Errorf("%x: %v, want %v", x, err, ErrWeakKey)
			}
		}
	}
}

// Why: for the identity as key one signature is right for every message.
func TestParsePublicKey_identity_signs_everything(t *testing.T) {
	identity := make([]byte, ed25519.PublicKeySize)
	identity[0] = 1
	forged := append(identity[:32:32], make([]byte, 32)...)
	if !ed25519.Verify(identity, []byte("anything"), forged) {
		t.Error("crypto/ed25519 refuses it by now: smallOrder is not needed any more")
	}
}

func TestParsePublicKey_usual_keys(t *testing.T) {
	for seed := range byte(16) {
		key := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)).Public().(ed25519.PublicKey)
		if _, err := ParsePublicKey(edJWK(key)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
