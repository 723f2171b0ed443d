//go:build unix

package applets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMytokenServerProofAfterReload: a proof of possession that was used is known after the configuration was read anew.
func TestMytokenServerProofAfterReload(t *testing.T) {
	t.Parallel()
	s := newMytokenSite(t, "")
	url := s.url + "/api/v0/token/my"
	proof := dpopProof(t, url)
	ask := func() (int, string) {
		t.Helper()
		body := fmt.Sprintf(`{"grant_type":"oidc_flow","oidc_issuer":%q}`, s.issuer)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("DPoP", proof)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := ask(); code != http.StatusOK {
		t.Fatalf("the first time: %d %s", code, body)
	}
	if err := s.server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.await(s.path("server.log")), "read anew"); {
		if time.Now().After(deadline) {
			t.Fatal("the configuration was not read anew")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code, body := ask(); code != http.StatusUnauthorized || !strings.Contains(body, "invalid_dpop_proof") {
		t.Errorf("the same proof after the reload: %d %s", code, body)
	}
}

// dpopProof makes a proof for a POST (RFC 9449 section 4.2) with a new key.
func dpopProof(t *testing.T, url string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	part := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	object := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return part(b)
	}
	jwk := map[string]string{"kty": "EC", "crv": "P-256", "x": part(point[1:33]), "y": part(point[33:])}
	text := object(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}) + "." +
		object(map[string]any{"jti": rand.Text(), "htm": "POST", "htu": url, "iat": time.Now().Unix()})
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	v.FillBytes(sig[32:])
	return text + "." + part(sig)
}
