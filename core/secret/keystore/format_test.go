package keystore

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/oidcbox/oidcbox/store"
)

// golden is what a keystore of version 1 was on the day the format was fixed: the header and one record.
type golden struct{ header, key, value []byte }

func readGolden(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		name, digits, _ := strings.Cut(line, " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "header":
			g.header = raw
		case "key":
			g.key = raw
		case "value":
			g.value = raw
		}
	}
	return g
}

// TestFormat reads a keystore of version 1 by docs/formats/keystore.md and nothing of this package, so that neither the
// page nor the code can drift away from files that people have.
func TestFormat(t *testing.T) {
	g := readGolden(t)
	h := g.header
	u16, u32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32
	if string(h[:8]) != "oidcboxK" || u16(h[8:]) != 1 || u32(h[10:]) != 1 || u32(h[14:]) != 0 || h[42] != 1 {
		t.Fatalf("beginning of the header: %x", h[:43])
	}
	id := h[18:34]
	slot := h[43:]
	slotID, kind, label := slot[:4], slot[4], int(slot[13])
	rest := slot[14+label:]
	n := int(u16(rest))
	params, wrapped := rest[2:2+n], rest[2+n:2+n+72]
	if kind != 1 || n != 25 {
		t.Fatalf("kind %d, %d bytes of parameters", kind, n)
	}
	slotKey := argon2.IDKey([]byte("first"), params[:16], u32(params[16:]), u32(params[20:]), params[24], 32)
	ad := bytes.Join([][]byte{
		[]byte("oidcbox keystore slot"), {0, 1}, id, h[10:14], slotID, {kind}, rest[:2], params,
	}, nil)
	dataKey := unbox(t, slotKey, wrapped, ad)

	derive := func(info string) []byte {
		k, err := hkdf.Key(sha256.New, dataKey, nil, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	m := hmac.New(sha256.New, derive("oidcbox keystore v1 header"))
	m.Write(h[:len(h)-64])
	if !bytes.Equal(m.Sum(nil), h[len(h)-64:len(h)-32]) {
		t.Error("MAC of the header")
	}
	if sum := sha256.Sum256(h[:len(h)-32]); !bytes.Equal(sum[:], h[len(h)-32:]) {
		t.Error("checksum of the header")
	}

	hash, err := blake2b.New(16, derive("oidcbox keystore v1 hash key parts"))
	if err != nil {
		t.Fatal(err)
	}
	hash.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x08logins@1cern"))
	if !bytes.Equal(hash.Sum(nil), g.key) {
		t.Error("hash of the key")
	}
	ad = bytes.Join([][]byte{
		[]byte("oidcbox store 1\x00\x01"), make([]byte, 8), {0, 8}, []byte("logins@1"), store.Key{string(g.key)}.Encode(),
	}, nil)
	if got := unbox(t, derive("oidcbox keystore v1 seal"), g.value, ad); string(got) != "\x00\x05cern\x00refresh token" {
		t.Errorf("record %q", got)
	}
}

func unbox(t *testing.T, key, box, ad []byte) []byte {
	t.Helper()
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, box[:24], box[24:], ad)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// TestFormatIsStillRead opens the same keystore with this package.
func TestFormatIsStillRead(t *testing.T) {
	h, err := parseHeader(readGolden(t).header)
	if err != nil {
		t.Fatal(err)
	}
	_, dataKey, err := byPhrase("first").open(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.verify(dataKey); err != nil {
		t.Error(err)
	}
}
