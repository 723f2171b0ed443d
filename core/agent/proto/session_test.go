package proto

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// Vectors of the protocol: the client's secret key is 32 times 0x01, the agent's 32 times 0x02.
const (
	vecClientKey = "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk="
	vecAgentKey  = "zo060cy2M+x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVk="
	vecShared    = "18a99320f3488fa18a04239715d8ee738065e65c3d4b2898522d6c3d4ead588c"
	vecRequest   = "19:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD:enK2JE01mh3q9eu1NKoMNpgJDWpaY1/dUCIcVRnCpZiheN0="
	vecReply     = "20:BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE:Vs/iX1Be6FH2+mi1FrKjIF59iBRwI+2aqw5EWv3ZL2HH+lKT"
)

func fixedKey(t testing.TB, b byte) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func agree(own *ecdh.PrivateKey, peer string) (*session, error) {
	key, err := parseKey([]byte(peer))
	if err != nil {
		return nil, err
	}
	return newSession(own, key)
}

func vectorSession(t testing.TB) *session {
	t.Helper()
	s, err := agree(fixedKey(t, 2), vecClientKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectors(t *testing.T) {
	if got := string(publicText(fixedKey(t, 1))); got != vecClientKey {
		t.Errorf("client's public key is %s", got)
	}
	if got := string(publicText(fixedKey(t, 2))); got != vecAgentKey {
		t.Errorf("agent's public key is %s", got)
	}
	client, err := agree(fixedKey(t, 1), vecAgentKey)
	if err != nil {
		t.Fatal(err)
	}
	agent := vectorSession(t)
	for _, s := range []*session{client, agent} {
		if got := hex.EncodeToString(s.key[:]); got != vecShared {
			t.Errorf("shared key is %s", got)
		}
	}
	for _, v := range []struct {
		nonce      byte
		text, wire string
	}{
		{3, `{"request":"check"}`, vecRequest},
		{4, `{"status":"success"}`, vecReply},
	} {
		var nonce [24]byte
		copy(nonce[:], bytes.Repeat([]byte{v.nonce}, 24))
		if got := string(client.sealWith([]byte(v.text), &nonce)); got != v.wire {
			t.Errorf("sealed is %s, want %s", got, v.wire)
		}
		if got, err := agent.open([]byte(v.wire)); err != nil || string(got) != v.text {
			t.Errorf("opened is %q, %v", got, err)
		}
	}
}

func TestSessionRefuses(t *testing.T) {
	own := fixedKey(t, 2)
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, key := range map[string]string{
		"point of low order": zero,
		"31 bytes":           base64.StdEncoding.EncodeToString(make([]byte, 31)) + "====",
		"url alphabet":       strings.Replace(vecClientKey, "+", "-", 1),
		"padding missing":    vecClientKey[:43] + "A",
		"line end inside":    vecClientKey[:10] + "\n" + vecClientKey[11:],
	} {
		if _, err := agree(own, key); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	s := vectorSession(t)
	nonce, box, _ := strings.Cut(vecRequest[3:], ":")
	for name, msg := range map[string]string{
		"other nonce":       "19:B" + nonce[1:] + ":" + box,
		"changed cipher":    "19:" + nonce + ":f" + box[1:],
		"cipher cut":        "19:" + nonce + ":" + box[:len(box)-4],
		"no cipher":         "19:" + nonce + ":",
		"short nonce":       "19:" + nonce[4:] + ":" + box,
		"one colon":         "19:" + nonce + box,
		"negative length":   "-1:" + nonce + ":" + box,
		"length no number":  "1x:" + nonce + ":" + box,
		"endless length":    "19000000000:" + nonce + ":" + box,
		"line end in it":    "19:" + nonce + ":" + box[:8] + "\n" + box[8:],
		"nothing":           "",
		"colons only":       "::",
		"length of nothing": "0::",
	} {
		if got, err := s.open([]byte(msg)); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
	t.Run("length is not believed", func(t *testing.T) {
		for _, n := range []string{"0", "5", "9999999"} {
			got, err := s.open([]byte(n + ":" + nonce + ":" + box))
			if err != nil || string(got) != `{"request":"check"}` {
				t.Errorf("length %s: %q, %v", n, got, err)
			}
		}
	})
}
