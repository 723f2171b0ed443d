//go:build unix

package applets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMytokenServerKey: a server that has a key at its provider and no secret: neither side has anything to lose that the
// other could use.
func TestMytokenServerKey(t *testing.T) {
	s := &mytokenSite{house: bareHouse(t)}
	address := freeAddress(t)
	s.url = "http://" + address
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.write("client-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	s.write("client-public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	s.write("clients.yaml", fmt.Sprintf(`clients:
- id: mytoken
  key_file: client-public.pem
  redirect_uris: ["%s/redirect"]
  grants: [authorization_code, refresh_token]
`, s.url))
	s.background("issuer", "issuer", "--url-file", "issuer.url", "--auto-login", "alice", "--client-file", "clients.yaml",
		"--test-controls")
	s.issuer = strings.TrimSpace(s.await(s.path("issuer.url")))
	s.write("op-secret", "not used\n")
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", s.issuer, "--client-id", "mytoken", "--client-secret-file", "op-secret")
	conf, err := os.ReadFile(s.path("server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secretLine := regexp.MustCompile(`client_secret_file: .*`)
	s.write("server.yaml", secretLine.ReplaceAllString(string(conf), "client_key_file: client-key.pem")+"limits: {polling_interval: 1s}\n")
	s.serve(t)
	mt := s.login("--capability", "AT")
	if o := s.client(mt, "AT"); o.code != 0 {
		t.Fatalf("AT: %+v", o)
	}
	if o := s.client(mt, "revoke"); o.code != 0 {
		t.Fatalf("revoke: %+v", o)
	}
	resp, err := http.Get(s.issuer + "/_test/log")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var log struct {
		Requests []struct {
			Path, Auth string
			Form       map[string][]string
			Status     int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range log.Requests {
		if r.Path != "/par" && r.Path != "/token" && r.Path != "/revoke" {
			continue
		}
		seen[r.Path]++
		if len(r.Form["client_assertion"]) != 1 || r.Auth != "" || len(r.Form["client_secret"]) > 0 || r.Status >= 300 {
			t.Errorf("%+v", r)
		}
	}
	if seen["/par"] != 1 || seen["/token"] != 2 || seen["/revoke"] != 1 {
		t.Errorf("requests: %v", seen)
	}
}
