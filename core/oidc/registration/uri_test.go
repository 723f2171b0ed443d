package registration_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestRegistrationURI: a provider that is reached by https cannot send our later PUT and DELETE, with a token of its
// choice, to plain http: that leads to the services of this machine.
func TestRegistrationURI(t *testing.T) {
	var uri string
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"client_id":"c","registration_client_uri":%q,"registration_access_token":"rat"}`, uri)
	})
	secure := httptest.NewTLSServer(h)
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(h)
	t.Cleanup(plain.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	hc, err := httpc.New(httpc.Options{CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	for _, tt := range []struct {
		name, endpoint, uri string
		kept                bool
	}{
		{"https", secure.URL, "https://op.example/reg/1", true},
		{"https_to_this_machine_in_plain", secure.URL, "http://127.0.0.1:631/jobs/1", false},
		{"https_to_plain", secure.URL, "http://op.example/reg/1", false},
		{"https_to_a_file", secure.URL, "file:///etc/passwd", false},
		{"with_a_password", secure.URL, "https://u:p@op.example/reg/1", false},
		{"no_URL", secure.URL, "/reg/1", false},
		{"plain_stays_plain", plain.URL, "http://127.0.0.1:8080/reg/1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			uri = tt.uri
			c, err := registration.Register(t.Context(), hc, tt.endpoint, box(), none)
			if err != nil || c.ID != "c" {
				t.Fatalf("%+v, %v", c, err)
			}
			var raw string
			_ = c.Raw.Use(func(b []byte) error { raw = string(b); return nil })
			if strings.Contains(raw, "registration_client_uri") != tt.kept || c.RegistrationToken.Empty() {
				t.Errorf("raw %s", raw)
			}
			if kept := c.RegistrationURI == tt.uri; kept != tt.kept || !kept && c.RegistrationURI != "" {
				t.Fatalf("registration URI %q", c.RegistrationURI)
			}
		})
	}
}
